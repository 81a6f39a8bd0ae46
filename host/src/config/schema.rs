//! The JSON Schema of pipelines.toml, for editors, and what it says about a key, for hints.

use std::sync::LazyLock;

use serde_json::Value;

use super::raw;
use super::tree::{Path, Step};

/// The JSON Schema of the file, as docs/pipelines.schema.json holds it.
pub fn json_schema() -> Value {
    schemars::schema_for!(raw::File).to_value()
}

static SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);

/// The keys that the table at the path can have.
pub(super) fn keys(path: &Path) -> Vec<String> {
    let keys = at(path).into_iter().filter_map(|schema| schema.get("properties")?.as_object());
    keys.flat_map(|properties| properties.keys().cloned()).collect()
}

/// The first sentences about the value at the path.
pub(super) fn description(path: &Path) -> Option<String> {
    let mut texts = at(path).into_iter().filter_map(|schema| schema.get("description")?.as_str());
    Some(texts.next()?.split("\n\n").next()?.replace('\n', " "))
}

/// The schemas that hold for the value at the path, the most particular first.
fn at(path: &Path) -> Vec<&'static Value> {
    let mut here = alternatives(&SCHEMA);
    for step in &path.0 {
        let below = here.into_iter().flat_map(|schema| match step {
            Step::Key(key) => {
                let named = schema.get("properties").and_then(|properties| properties.get(key));
                named.or_else(|| schema.get("additionalProperties"))
            }
            Step::Index(_) => schema.get("items"),
        });
        here = below.flat_map(alternatives).collect();
    }
    here
}

/// A schema, what it refers to, and what it is one of.
fn alternatives(schema: &'static Value) -> Vec<&'static Value> {
    let mut all = vec![schema];
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    all.extend(reference.and_then(|pointer| SCHEMA.pointer(pointer)).into_iter().flat_map(alternatives));
    for choice in ["anyOf", "oneOf", "allOf"] {
        let choices = schema.get(choice).and_then(Value::as_array);
        all.extend(choices.into_iter().flatten().flat_map(alternatives));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(keys: &[&str]) -> Path {
        keys.iter().fold(Path::default(), |path, key| path.key(key))
    }

    #[test]
    fn keys_and_descriptions_are_found_through_references() {
        let sink = keys(&path(&["pipeline", "x", "sink"]));
        assert!(sink.contains(&"partition_by".to_owned()) && sink.contains(&"every".to_owned()), "{sink:?}");
        assert!(keys(&path(&["pipeline", "x", "decode"])).contains(&"delimiter".to_owned()));
        let transform = path(&["pipeline", "x", "transform"]).step(Step::Index(0));
        assert!(description(&transform.key("plugin")).unwrap().starts_with("The plugin's file"));
        assert_eq!(description(&path(&["nothing"])), None);
    }

    /// Written anew by `RILLGATE_WRITE_SCHEMA=1 cargo test -p rillgate schema`.
    #[test]
    fn the_schema_in_docs_is_current() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pipelines.schema.json");
        let current = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
        if std::env::var_os("RILLGATE_WRITE_SCHEMA").is_some() {
            std::fs::write(file, &current).unwrap();
        }
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        assert!(committed == current, "docs/pipelines.schema.json is not current: RILLGATE_WRITE_SCHEMA=1 writes it");
    }
}
