//! Values from the command line (`--set`) and the environment, put in place of those in the file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tree::{Path, Step, Table, Value, moved};

/// Environment variables that stand for a key of the file.
pub const ENVIRONMENT: [(&str, &str); 4] = [
    ("RILLGATE_BOOTSTRAP_SERVERS", "kafka.bootstrap.servers"),
    ("RILLGATE_STORE", "store.url"),
    ("RILLGATE_STORE_CONTROL", "store.control"),
    ("RILLGATE_LISTEN", "http.listen"),
];

/// Why a value can't be put into the tree, the part of the override's text that is at fault, and the way out.
#[derive(Debug)]
pub(super) struct OverrideError {
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// `a.b.c=value`, taken apart.
#[derive(Debug)]
pub(super) struct Override<'t> {
    pub(super) path: Path,
    key: Range<usize>,
    value: Value<'t>,
    text: &'t str,
}

impl<'t> Override<'t> {
    /// Reads `a.b.c=value`, which starts at offset `at` of the sources. The value is TOML; what isn't is a string.
    pub(super) fn parse(text: &'t str, at: usize) -> Result<Self, OverrideError> {
        let whole = at..at + text.len();
        let error = |message: &str| OverrideError {
            range: whole.clone(),
            message: message.to_owned(),
            hint: Some("write --set pipeline.NAME.sink.every=30s".to_owned()),
        };
        let Some((key, value)) = text.split_once('=') else { return Err(error("an override needs a `=`")) };
        let path = parse_path(key).ok_or_else(|| error("this is no path of keys"))?;
        let value_at = at + key.len() + 1;
        Ok(Self { path, key: at..at + key.len(), value: parse_value(value, value_at), text: value })
    }

    /// The text as the string value of the key at `path`, a constant.
    pub(super) fn text(path: &str, text: &'t str, at: usize) -> Option<Self> {
        let range = at..at + text.len();
        let value = Spanned::new(range.clone(), DeValue::String(text.into()));
        Some(Self { path: parse_path(path)?, key: range, value, text })
    }

    /// Where its value stands in the sources, and what else it may have been meant as.
    pub(super) fn other_spelling(&self) -> Option<(Range<usize>, DeValue<'t>)> {
        let other = match self.value.get_ref() {
            DeValue::String(_) => scalar(self.text)?,
            _ => DeValue::String(self.text.into()),
        };
        Some((self.value.span(), other))
    }

    /// Puts the value into the tree. What leads there must exist, but for tables that hold nothing yet.
    pub(super) fn apply(self, root: &mut Value<'t>) -> Result<(), OverrideError> {
        let error = |message: String, hint: Option<String>| OverrideError { range: self.key.clone(), message, hint };
        let Some((last, before)) = self.path.0.split_last() else { return Ok(()) };
        let (mut place, mut so_far) = (root, Path::default());
        for step in before {
            let new = matches!(so_far.0.as_slice(), [Step::Key(first)] if first == "pipeline");
            so_far = so_far.step(step.clone());
            place = match (place.get_mut(), step) {
                (DeValue::Table(table), Step::Key(key)) => {
                    if new && !table.contains_key(key.as_str()) {
                        let names: Vec<String> = table.keys().map(|key| key.get_ref().to_string()).collect();
                        let hint = super::explain::choices("pipelines", key, &names);
                        return Err(error(format!("there is no pipeline `{key}`"), hint));
                    }
                    let empty = Spanned::new(self.key.clone(), DeValue::Table(Table::new()));
                    table.entry(Spanned::new(self.key.clone(), key.clone().into())).or_insert(empty)
                }
                (DeValue::Array(array), Step::Index(index)) => {
                    let length = array.len();
                    let missing = || error(format!("`{so_far}` does not exist: there are {length}, from 0"), None);
                    array.get_mut(*index).ok_or_else(missing)?
                }
                (value, step) => return Err(error(wrong_step(&so_far, value, step), None)),
            };
        }
        match (place.get_mut(), last) {
            (DeValue::Table(table), Step::Key(key)) => {
                table.insert(Spanned::new(self.key, key.clone().into()), self.value);
            }
            (DeValue::Array(array), Step::Index(index)) if *index < array.len() => array.as_mut()[*index] = self.value,
            (value, step) => return Err(error(wrong_step(&so_far.step(last.clone()), value, step), None)),
        }
        Ok(())
    }
}

fn wrong_step(path: &Path, value: &DeValue<'_>, step: &Step) -> String {
    let wanted = match step {
        Step::Key(_) => "a table",
        Step::Index(_) => "an array that is long enough",
    };
    format!("`{path}` does not exist: what should hold it is not {wanted} but a value of type {}", value.type_str())
}

/// `a.b."c.d"[0].e` or `a.b."c.d".0.e`. All that follows `kafka` is one name: the properties have dots in theirs.
fn parse_path(text: &str) -> Option<Path> {
    let document = format!("{} = 0", text.trim().replace('[', ".").replace(']', ""));
    let mut table = DeTable::parse(&document).ok()?.into_inner();
    let mut keys = Vec::new();
    loop {
        let (key, value) = table.into_iter().next()?;
        keys.push(key.into_inner().into_owned());
        match value.into_inner() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    let properties = match keys.as_slice() {
        [first, ..] if first == "kafka" => Some(1),
        [first, _, third, ..] if first == "pipeline" && third == "kafka" => Some(3),
        _ => None,
    };
    if let Some(from) = properties.filter(|from| *from < keys.len()) {
        let name = keys.split_off(from).join(".");
        keys.push(name);
    }
    // Arrays lie only inside of pipelines, so a pipeline may be called `1`.
    let steps = keys.into_iter().enumerate().map(|(at, key)| match key.parse() {
        Ok(index) if at > 2 && properties.is_none() => Step::Index(index),
        _ => Step::Key(key),
    });
    Some(Path(steps.collect()))
}

fn parse_value(text: &str, at: usize) -> Value<'_> {
    match DeValue::parse(text) {
        Ok(value) => moved(value, at),
        Err(_) => Spanned::new(at..at + text.len(), DeValue::String(text.into())),
    }
}

/// The text as a number or boolean, if it is one.
pub(super) fn scalar(text: &str) -> Option<DeValue<'_>> {
    let value = DeValue::parse(text).ok()?.into_inner();
    matches!(value, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_keys_and_indices() {
        for (text, expected) in [
            ("store.url", "store.url"),
            ("pipeline.x.transform[0].plugin", "pipeline.x.transform[0].plugin"),
            ("pipeline.x.transform.0.plugin", "pipeline.x.transform[0].plugin"),
            ("pipeline.1.topic", "pipeline.1.topic"),
            ("kafka.bootstrap.servers", "kafka.bootstrap.servers"),
            ("kafka.\"a.b\"", "kafka.a.b"),
        ] {
            assert_eq!(parse_path(text).unwrap().to_string(), expected);
        }
        assert_eq!(parse_path("pipeline.x.kafka.a.b").unwrap().0.len(), 4);
        for text in ["", "a..b", "a b", "a.b]=["] {
            assert!(parse_path(text).is_none(), "{text}");
        }
    }
}
