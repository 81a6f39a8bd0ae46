//! The texts that a configuration comes from, laid end to end: a byte range says which text, and where in it.
//!
//! Only masked texts are kept, so no report can show a secret.

use std::ops::Range;
use std::sync::Arc;

use super::secret::{Syntax, mask};

/// A place in a configuration file, in the environment or on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named, `--set`, or the name of an environment variable with a `$` before it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What stands there, on that line; secrets masked.
    pub text: String,
    pub(super) source: Arc<str>,
    pub(super) range: Range<usize>,
}

/// The texts, masked.
#[derive(Debug, Default, Clone)]
pub(super) struct Sources {
    texts: Vec<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    start: usize,
    text: Arc<str>,
}

impl Sources {
    /// Adds a text and says at which offset it starts.
    pub(super) fn add(&mut self, name: &str, text: &str, syntax: Syntax) -> usize {
        let start = self.texts.last().map_or(0, |last| last.start + last.text.len() + 1);
        self.texts.push(Source { name: name.to_owned(), start, text: mask(text, syntax).into() });
        start
    }

    /// The masked text of the range, which lies in one of the texts.
    pub(super) fn text(&self, range: &Range<usize>) -> &str {
        self.source(range.start)
            .and_then(|source| source.text.get(range.start - source.start..range.end.checked_sub(source.start)?))
            .unwrap_or_default()
    }

    /// Whether the range lies in the first text, the file.
    pub(super) fn in_file(&self, range: &Range<usize>) -> bool {
        self.texts.first().is_some_and(|file| range.start <= file.text.len())
    }

    /// File, line and column of the range.
    pub(super) fn locate(&self, range: &Range<usize>) -> Option<Location> {
        let source = self.source(range.start)?;
        let start = range.start - source.start;
        let end = range.end.saturating_sub(source.start).clamp(start, source.text.len());
        let before = source.text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let text = source.text.get(start..end)?.lines().next().unwrap_or_default();
        Some(Location {
            file: source.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: text.to_owned(),
            source: Arc::clone(&source.text),
            range: start..end,
        })
    }

    fn source(&self, offset: usize) -> Option<&Source> {
        self.texts.iter().rev().find(|source| source.start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_in_their_text() {
        let mut sources = Sources::default();
        assert_eq!(sources.add("a.toml", "x = 1\nö = 'y'\n", Syntax::Toml), 0);
        let start = sources.add("--set", "a.secret=pw", Syntax::Line);
        let location = sources.locate(&(11..14)).unwrap();
        assert_eq!((location.file.as_str(), location.line, location.column), ("a.toml", 2, 5));
        assert_eq!(location.text, "'y'");
        let location = sources.locate(&(start + 9..start + 11)).unwrap();
        assert_eq!((location.file.as_str(), location.line, location.column), ("--set", 1, 10));
        assert_eq!(location.text, "**");
        assert!(sources.in_file(&(14..15)) && !sources.in_file(&(start..start + 1)));
    }
}
