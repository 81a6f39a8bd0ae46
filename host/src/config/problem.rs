//! What is wrong with a configuration: for people as miette's reports, for machines as one JSON object a line.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;

use super::source::Location;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is started.
    Error,
    /// It works, but perhaps not as meant.
    Warning,
}

/// One thing that is wrong, with the place and the way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The key at fault, `pipeline.x.transform[0].plugin`; empty if it is the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// Where it stands.
    pub location: Option<Location>,
    source: Option<NamedSource<String>>,
}

impl Problem {
    /// An error about the key of that path.
    pub fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        Self { severity: Severity::Error, path, message, hint: None, location: None, source: None }
    }

    /// A warning about the key of that path.
    pub fn warning(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    /// The same problem with the way out.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same problem with the way out, if one is known.
    pub(super) fn hinted(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The same problem with its place.
    pub fn at(self, location: Option<Location>) -> Self {
        let source = location.as_ref().map(|place| NamedSource::new(&place.file, place.source.to_string()));
        Self { location, source, ..self }
    }

    /// Whether it keeps the pipelines from starting.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// A report for people: message, the lines around the place, hint.
    pub fn render(&self, color: bool) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(theme).with_width(110).with_links(false);
        // Writing to a string doesn't fail; if the report can't be drawn, the message alone must do.
        if handler.render_report(&mut text, self).is_err() {
            text = format!("{}: {}\n", self.path, self.message);
        }
        text
    }

    /// The fields of `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        let place = self.location.as_ref();
        serde_json::json!({
            "severity": self.severity,
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
            "file": place.map(|place| &place.file),
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "text": place.map(|place| &place.text),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl miette::Diagnostic for Problem {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.location.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::underline(place.range.clone()))))
    }
}

/// All that is wrong with a configuration, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Whether one of them keeps the pipelines from starting.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Problem::is_error)
    }

    /// Reports for people, one after another, and how many there are.
    pub fn render(&self, color: bool) -> String {
        let reports: Vec<String> = self.0.iter().map(|problem| problem.render(color)).collect();
        let errors = self.0.iter().filter(|problem| problem.is_error()).count();
        let count = match errors {
            0 => String::new(),
            1 => "\n1 error\n".to_owned(),
            _ => format!("\n{errors} errors\n"),
        };
        reports.join("\n") + &count
    }

    /// One JSON object a line.
    pub fn to_json_lines(&self) -> String {
        self.0.iter().map(|problem| format!("{}\n", problem.to_json())).collect()
    }

    /// In the order of the texts they are found in; those without a place come last.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_by_key(|problem| {
            let place = problem.location.as_ref();
            (
                place.is_none(),
                place.map(|place| (place.file.starts_with(['-', '$']), place.file.clone(), place.range.start)),
            )
        });
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
