//! What must not be printed: which keys hold secrets, and texts with those values blotted out.

/// What stands in place of a secret value.
pub const MASK: &str = "***";

/// Whether a key of this name looks as if its value were a secret: passwords, tokens, keys, whatever holds them.
pub fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["password", "passwd", "secret", "token", "key", "credential", "jaas", "user.info", "oauthbearer.config"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) || name.split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w == "sas")
}

/// How values end in a text that is to be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Values are quoted, or end at a comma, brace or line end.
    Toml,
    /// `name=value` to the end of the line, as in `--set` and Java's properties files.
    Line,
}

/// The text with every secret value replaced by `*`, byte for byte, so that places in it stay where they are.
/// A value that is just a reference to the environment, `${NAME}`, stays: it is no secret.
pub(super) fn mask(text: &str, syntax: Syntax) -> String {
    let mut masked = text.as_bytes().to_vec();
    for (at, byte) in text.bytes().enumerate() {
        let separates = byte == b'=' || (byte == b':' && syntax == Syntax::Line);
        if separates && is_secret(name_before(&text[..at])) {
            let (start, end) = value_after(text, at + 1, syntax);
            let value = &text[start..end];
            if !(value.starts_with("${") && value.ends_with('}') && !value.contains(":-")) {
                blot(&mut masked[start..end]);
            }
        }
    }
    // User and password inside of a URL.
    for (at, _) in text.match_indices("://") {
        let rest = &text[at + 3..];
        let authority = rest.find(|c: char| c.is_whitespace() || "/\"'".contains(c)).unwrap_or(rest.len());
        if let Some(user) = rest[..authority].rfind('@') {
            blot(&mut masked[at + 3..at + 3 + user]);
        }
    }
    // Whole characters are overwritten, from the first byte to the last, so this never fails; if it did, hide it all.
    String::from_utf8(masked).unwrap_or_else(|_| "*".repeat(text.len()))
}

fn blot(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b'*';
    }
}

/// The key that ends where `before` ends, without its quotes.
fn name_before(before: &str) -> &str {
    let before = before.trim_end_matches([' ', '\t', '"', '\'']);
    let start = before
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    &before[start..]
}

/// The range of the value that starts after its separator at `from`, without its quotes.
fn value_after(text: &str, from: usize, syntax: Syntax) -> (usize, usize) {
    let start = from + (text[from..].len() - text[from..].trim_start_matches([' ', '\t']).len());
    let value = &text[start..];
    if syntax == Syntax::Line {
        return (start, start + line_end(value));
    }
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        if let Some(inside) = value.strip_prefix(quote) {
            let start = start + quote.len();
            return (start, start + quoted_end(inside, quote));
        }
    }
    match value.bytes().next() {
        // A list or table has keys of its own.
        Some(b'{' | b'[') => (start, start),
        _ => (start, start + value.find([',', '}', '\n']).unwrap_or(value.len())),
    }
}

/// Where the line ends; one that ends in a backslash goes on.
fn line_end(value: &str) -> usize {
    let ends =
        value.match_indices('\n').map(|(at, _)| at).find(|at| !value[..*at].trim_end_matches('\r').ends_with('\\'));
    ends.unwrap_or(value.len())
}

/// Where the closing quote is. One that is missing ends the text: better too much is hidden than too little.
fn quoted_end(inside: &str, quote: &str) -> usize {
    let mut at = 0;
    while let Some(found) = inside[at..].find(quote) {
        let end = at + found;
        let backslashes = inside[..end].len() - inside[..end].trim_end_matches('\\').len();
        if quote.starts_with('\'') || backslashes.is_multiple_of(2) {
            return end;
        }
        at = end + 1;
    }
    inside.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_secret() {
        for name in ["sasl.password", "AWS_SECRET_ACCESS_KEY", "ssl.key.pem", "sasl.jaas.config", "sas", "api-token"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["bootstrap.servers", "sasl.mechanisms", "sasl.username", "region", "topic"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn values_of_secrets_are_blotted_out_in_place() {
        for (text, expected) in [
            ("\"sasl.password\" = \"p\\\"w\" # x", "\"sasl.password\" = \"****\" # x"),
            ("a = { secret = 'x', b = 1 }", "a = { secret = '*', b = 1 }"),
            ("token = 12\nb = 3", "token = **\nb = 3"),
            ("sasl.jaas.config = '''a\nb'''\nc = 1", "sasl.jaas.config = '''*\n*'''\nc = 1"),
            ("password = \"ö\"", "password = \"**\""),
            ("password = \"${PW}\"", "password = \"${PW}\""),
            ("password = \"${PW:-x}\"", "password = \"********\""),
            ("url = \"s3://me:pw@host/x\"", "url = \"s3://*****@host/x\""),
            ("key = [\"CA\"]", "key = [\"CA\"]"),
        ] {
            assert_eq!(mask(text, Syntax::Toml), expected);
        }
        assert_eq!(mask("kafka.sasl.password=a,b", Syntax::Line), "kafka.sasl.password=***");
        assert_eq!(mask("password: a \\\n  b\nc=d", Syntax::Line), "password: ***\n***\nc=d");
    }
}
