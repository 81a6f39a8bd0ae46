//! `${NAME}` and `${NAME:-default}` inside of values. Expansion comes after parsing, so a value can't inject TOML.

/// Why a text can't be expanded: the part at fault, what is wrong with it, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExpandError {
    pub(super) part: String,
    pub(super) message: String,
    pub(super) hint: String,
}

/// The text with every reference replaced; `None` if it has none. `$${` stands for `${` itself; what `env` gives and
/// what stands as a default are taken as they are, not expanded again. All that is wrong is reported at once.
pub(super) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Vec<ExpandError>> {
    if !text.contains("${") {
        return Ok(None);
    }
    let (mut expanded, mut errors, mut rest) = (String::new(), Vec::new(), text);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            expanded.push_str(&rest[..at]);
            expanded.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        expanded.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}').map(|end| at + end) else {
            errors.push(ExpandError {
                part: rest[at..].to_owned(),
                message: "`${` without `}`".to_owned(),
                hint: "close it: `${NAME}`; `$${` stands for `${` itself".to_owned(),
            });
            return Err(errors);
        };
        let (part, reference) = (&rest[at..=end], &rest[at + 2..end]);
        match resolve(reference, env) {
            Ok(value) => expanded.push_str(&value),
            Err((message, hint)) => errors.push(ExpandError { part: part.to_owned(), message, hint }),
        }
        rest = &rest[end + 1..];
    }
    expanded.push_str(rest);
    if errors.is_empty() { Ok(Some(expanded)) } else { Err(errors) }
}

fn resolve(reference: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let hint = "write `${NAME}` or `${NAME:-default}`; `$${` stands for `${` itself";
        return Err((format!("`{name}` can't be the name of an environment variable"), hint.to_owned()));
    }
    // As in a shell, an empty variable counts as unset where there is a default.
    match (env(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment variable `{name}` is not set"),
            format!("set it, or give a default: `${{{name}:-...}}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn references_are_replaced() {
        for (text, expected) in [
            ("plain $A", None),
            ("x${A}y${A}", Some("xaya")),
            ("${B:-b}", Some("b")),
            ("${A:-b}", Some("a")),
            ("${B:-}", Some("")),
            ("${EMPTY:-b}${EMPTY}", Some("b")),
            ("$${A} ${A}", Some("${A} a")),
            ("${NESTED}", Some("${A}")),
            ("${B:-file:./lake}", Some("file:./lake")),
        ] {
            assert_eq!(expand(text, &env), Ok(expected.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_named() {
        for (text, parts, message) in [
            ("${B} ${A} ${C}", vec!["${B}", "${C}"], "the environment variable `B` is not set"),
            ("${A", vec!["${A"], "`${` without `}`"),
            ("${1A}", vec!["${1A}"], "`1A` can't be the name of an environment variable"),
            ("${}", vec!["${}"], "`` can't be the name of an environment variable"),
        ] {
            let errors = expand(text, &env).unwrap_err();
            assert_eq!(errors.iter().map(|error| error.part.as_str()).collect::<Vec<_>>(), parts);
            assert_eq!(errors[0].message, message);
        }
    }
}
