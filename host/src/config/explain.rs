//! serde's messages in the words of someone who writes TOML, with what to write instead.

use super::schema;
use super::secret::is_secret;
use super::tree::Path;

/// How many choices are listed in a hint; past that, only the nearest.
const MAX_CHOICES: usize = 24;

/// How the message about an unknown key begins.
const UNKNOWN: &str = "unknown key ";

/// A message of serde, explained.
pub(super) enum Explained {
    /// A key that must be there isn't.
    Missing { key: String, message: String, hint: Option<String> },
    /// The value at the path, or its key, is wrong.
    Wrong { message: String, hint: Option<String> },
}

/// Whether the message says that a key is missing.
pub(super) fn is_missing(message: &str) -> bool {
    message.starts_with("missing field `")
}

/// Whether a message that was explained is about an unknown key.
pub(super) fn is_unknown(explained: &str) -> bool {
    explained.starts_with(UNKNOWN)
}

/// The key that serde's message says is unknown.
pub(super) fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// What serde says about the value at `path`, explained.
pub(super) fn explain(path: &Path, message: &str) -> Explained {
    // `found x, expected one of a, b`: the first name in backquotes is what stands there, the others are choices.
    let mut names = message.split('`').skip(1).step_by(2).map(str::to_owned);
    let name = names.next().unwrap_or_default();
    let mut all: Vec<String> = names.collect();
    if is_missing(message) {
        let about = schema::description(&path.key(&name));
        return Explained::Missing { message: format!("the key `{name}` is missing"), key: name, hint: about };
    }
    if unknown_key(message).is_some() {
        let parent = Path(path.0[..path.0.len().saturating_sub(1)].to_vec());
        if all.is_empty() {
            all = schema::keys(&parent);
        }
        return Explained::Wrong { message: format!("{UNKNOWN}`{name}`"), hint: choices("keys", &name, &all) };
    }
    if message.starts_with("unknown variant `") {
        let message = format!("`{name}` is none of the values it can have");
        return Explained::Wrong { message, hint: choices("values", &name, &all) };
    }
    let message = match mistaken(message) {
        Some((_, expected)) if path.last_key().is_some_and(is_secret) => format!("expected {expected}"),
        Some((found, expected)) => format!("expected {expected}, found {found}"),
        None => message.to_owned(),
    };
    Explained::Wrong { message, hint: schema::description(path) }
}

/// `did you mean x? keys: x, y`.
pub(super) fn choices(what: &str, found: &str, all: &[String]) -> Option<String> {
    let listed = match all.len() {
        0 => return None,
        1..=MAX_CHOICES => format!("{what}: {}", all.join(", ")),
        _ => String::new(),
    };
    match (nearest(found, all.iter().map(String::as_str)), listed.as_str()) {
        (Some(near), "") => Some(format!("did you mean `{near}`?")),
        (Some(near), _) => Some(format!("did you mean `{near}`? {listed}")),
        (None, "") => None,
        (None, _) => Some(listed),
    }
}

/// The name that is likely meant by `found`, if one is near enough.
pub fn nearest<'a>(found: &str, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_ascii_lowercase();
    let rated = all.map(|name| (strsim::jaro_winkler(&found, &name.to_ascii_lowercase()), name));
    rated.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// `invalid type: A, expected B`, in TOML's words.
fn mistaken(message: &str) -> Option<(String, String)> {
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .or_else(|| message.strip_prefix("invalid length "))?;
    let (found, expected) = rest.split_once(", expected ")?;
    let found = match found {
        "map" => "a table",
        "sequence" => "an array",
        other => return Some((in_words(other), wanted(expected))),
    };
    Some((found.to_owned(), wanted(expected)))
}

fn in_words(found: &str) -> String {
    match found.split_once(' ') {
        Some((kind @ ("string" | "boolean"), value)) => format!("the {kind} {value}"),
        Some((kind @ "integer", value)) => format!("the {kind} {}", value.trim_matches('`')),
        Some(("floating", value)) => format!("the number {}", value.trim_start_matches("point ").trim_matches('`')),
        _ => found.to_owned(),
    }
}

fn wanted(expected: &str) -> String {
    let words = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "a table",
        "a character" => "one character",
        other if other.starts_with("struct ") || other.contains("enum ") => "a table",
        other => other,
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        let names = ["partition_by", "compression", "format"].map(str::to_owned);
        let hint = |found| choices("keys", found, &names).unwrap();
        assert_eq!(hint("partiton_by"), "did you mean `partition_by`? keys: partition_by, compression, format");
        assert_eq!(hint("zzz"), "keys: partition_by, compression, format");
        assert_eq!(choices("keys", "x", &[]), None);
    }

    #[test]
    fn types_are_named_as_in_toml() {
        for (message, expected) in [
            ("invalid type: string \"x\", expected u32", "expected a whole number, found the string \"x\""),
            ("invalid type: map, expected a string", "expected a string, found a table"),
            ("invalid type: integer `3`, expected a boolean", "expected true or false, found the integer 3"),
            ("must be at least \"1h\"", "must be at least \"1h\""),
        ] {
            let Explained::Wrong { message, .. } = explain(&Path::default(), message) else { panic!("{message}") };
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn secrets_are_not_in_messages() {
        let path = Path::default().key("sasl.password");
        let message = "invalid type: string \"hunter2\", expected a map";
        let Explained::Wrong { message, .. } = explain(&path, message) else { panic!("{message}") };
        assert_eq!(message, "expected a table");
    }
}
