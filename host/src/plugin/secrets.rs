//! The values of a plugin's settings, which may be secrets.
//!
//! What never happens: one of them is in a plugin's words where these are shown, logged or kept. The names of settings are enough.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

/// Shorter values are too common to be taken out of words.
const SECRET_BYTES: usize = 6;

/// What is taken out of a plugin's words.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets(Arc<[String]>);

impl Secrets {
    /// The values of these settings, longer ones first: another may be a part of them. Those of several lines line by line, as words
    /// may come on one line.
    pub(super) fn new(settings: &[(String, String)]) -> Self {
        let lines = settings.iter().flat_map(|(_, value)| value.lines().map(str::trim));
        let mut secrets: Vec<String> = lines.filter(|line| line.len() >= SECRET_BYTES).map(str::to_owned).collect();
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        Self(secrets.into())
    }

    /// Words without them.
    pub(super) fn redact<'a>(&self, words: &'a str) -> Cow<'a, str> {
        let taken_out = |words: Cow<'a, str>, secret: &String| match words.contains(secret.as_str()) {
            true => Cow::Owned(words.replace(secret.as_str(), "***")),
            false => words,
        };
        self.0.iter().fold(Cow::Borrowed(words), taken_out)
    }

    /// The first `bytes` bytes of words, and whatever more it takes to find each of them that begins there.
    pub(super) fn head<'a>(&self, words: &'a str, bytes: usize) -> &'a str {
        let longest = self.0.first().map_or(0, String::len);
        &words[..words.ceil_char_boundary(bytes + longest)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        Secrets::new(&values.iter().map(|value| ("name".to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_taken_out_and_what_is_too_common_stays() {
        let secrets = secrets(&["token", "token-1", "token-123", "-----BEGIN KEY-----\nabcdefgh\n"]);
        assert_eq!(secrets.redact("a token, token-123 and token-1"), "a token, *** and ***");
        assert_eq!(secrets.redact("key -----BEGIN KEY----- abcdefgh"), "key *** ***");
        assert!(matches!(secrets.redact("a token"), Cow::Borrowed("a token")));
    }

    #[test]
    fn a_value_that_is_cut_off_is_found() {
        let secrets = secrets(&["secret"]);
        let words = "a secret, and ä";
        assert_eq!(secrets.redact(secrets.head(words, 3)), "a ***,");
        assert_eq!(secrets.head(words, 100), words);
        assert_eq!(secrets.head("äää", 0), "äää");
    }
}
