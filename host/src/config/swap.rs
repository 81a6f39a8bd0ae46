//! `swap`: what a new version of a pipeline's plugins has to show before it goes live, and after.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::units;

/// What a new version of a pipeline's plugins has to show before it goes live, and after.
#[derive(Debug, Clone, PartialEq)]
pub struct SwapOptions {
    /// It goes live when someone says so.
    pub manual: bool,
    /// Rows that it is tried on beside the old one; 0: none.
    pub shadow_rows: usize,
    /// Rows of the output that may differ, as a share of all.
    pub max_changed: f64,
    /// Time per row, as a multiple of the old version's.
    pub max_slower: f64,
    /// Rejected messages, as a share of all, above what the old version rejects.
    pub max_rejected: f64,
    /// For how long it goes back by itself if it doesn't keep to these limits, or fails.
    pub probation: Duration,
}

impl Default for SwapOptions {
    fn default() -> Self {
        Table::default().into()
    }
}

/// `swap` as a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Table {
    /// `"automatic"`: it goes live when it has passed. `"manual"`: when someone says `rillgate plugin promote`.
    mode: Mode,
    /// Rows that it is tried on beside the old one, the newest there are: `"10000 rows"`. `"0 rows"` for none.
    #[serde(deserialize_with = "rows")]
    #[schemars(with = "String")]
    shadow: usize,
    /// Rows of the output that may differ: `"100%"`, which is any.
    #[serde(deserialize_with = "percent")]
    #[schemars(with = "String")]
    max_changed: f64,
    /// Time per row, as a multiple of the old version's: `"3x"`.
    #[serde(deserialize_with = "times")]
    #[schemars(with = "String")]
    max_slower: f64,
    /// Rejected messages, as a share of all, above what the old version rejects: `"1%"`.
    #[serde(deserialize_with = "percent")]
    #[schemars(with = "String")]
    max_rejected: f64,
    /// For how long, from its first row on, it goes back by itself if it doesn't keep to these limits, or fails: `"60s"`.
    #[serde(deserialize_with = "units::time")]
    #[schemars(with = "String")]
    probation: Duration,
}

/// When a new version goes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// When it has passed.
    #[default]
    Automatic,
    /// When someone says so.
    Manual,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            mode: Mode::Automatic,
            shadow: 10_000,
            max_changed: 1.0,
            max_slower: 3.0,
            max_rejected: 0.01,
            probation: Duration::from_secs(60),
        }
    }
}

impl From<Table> for SwapOptions {
    fn from(table: Table) -> Self {
        let Table { mode, shadow, max_changed, max_slower, max_rejected, probation } = table;
        Self { manual: mode == Mode::Manual, shadow_rows: shadow, max_changed, max_slower, max_rejected, probation }
    }
}

impl<'de> Deserialize<'de> for SwapOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;
        impl<'de> Visitor<'de> for WordOrTable {
            type Value = SwapOptions;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"automatic\", \"manual\" or a table like { max_slower = \"3x\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SwapOptions, E> {
                let mode = match text {
                    "automatic" => Mode::Automatic,
                    "manual" => Mode::Manual,
                    _ => return Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                };
                Ok(Table { mode, ..Table::default() }.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SwapOptions, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(SwapOptions::from)
            }
        }
        deserializer.deserialize_any(WordOrTable)
    }
}

impl JsonSchema for SwapOptions {
    fn schema_name() -> Cow<'static, str> {
        "SwapOptions".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (mode, table) = (generator.subschema_for::<Mode>(), generator.subschema_for::<Table>());
        json_schema!({ "anyOf": [mode, table] })
    }
}

/// `"10000 rows"`, or a number.
fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    number(deserializer, "a number of rows like \"10000 rows\"", |text| {
        text.strip_suffix("rows").unwrap_or(text).trim().parse().ok()
    })
}

/// `"5%"`, as a share: 0.05.
fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number(deserializer, "a share like \"5%\"", |text| {
        let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
        (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
    })
}

/// `"3x"`: 3.0.
fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number(deserializer, "a multiple like \"3x\", at least \"1x\"", |text| {
        let times: f64 = text.strip_suffix('x')?.trim().parse().ok()?;
        (times >= 1.0 && times.is_finite()).then_some(times)
    })
}

fn number<'de, D: Deserializer<'de>, N>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Option<N>,
) -> Result<N, D::Error> {
    let units::Text(text) = units::Text::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pipeline {
        #[serde(default)]
        swap: SwapOptions,
    }

    fn parse(text: &str) -> Result<SwapOptions, String> {
        toml::from_str(text).map(|Pipeline { swap }| swap).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_word_a_table_or_nothing() {
        assert_eq!(parse(""), Ok(SwapOptions::default()));
        assert_eq!(parse("swap = 'automatic'"), Ok(SwapOptions::default()));
        assert_eq!(parse("swap = 'manual'"), Ok(SwapOptions { manual: true, ..SwapOptions::default() }));
        let text = "swap = { mode = 'manual', shadow = '500 rows', max_changed = '0%', max_slower = '1.5x', \
                    max_rejected = '12.5%', probation = '5m' }";
        let expected = SwapOptions {
            manual: true,
            shadow_rows: 500,
            max_changed: 0.0,
            max_slower: 1.5,
            max_rejected: 0.125,
            probation: Duration::from_secs(300),
        };
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse("swap = { shadow = 0 }").map(|swap| swap.shadow_rows), Ok(0));
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, expected) in [
            ("'later'", "expected \"automatic\", \"manual\" or a table like { max_slower = \"3x\" }"),
            ("{ shadow = 'many' }", "invalid value: string \"many\", expected a number of rows like \"10000 rows\""),
            ("{ max_changed = '101%' }", "invalid value: string \"101%\", expected a share like \"5%\""),
            (
                "{ max_slower = '0.5x' }",
                "invalid value: string \"0.5x\", expected a multiple like \"3x\", at least \"1x\"",
            ),
            ("{ max_rejected = 1 }", "invalid value: string \"1\", expected a share like \"5%\""),
            ("{ fast = true }", "unknown field `fast`"),
        ] {
            let error = parse(&format!("swap = {text}")).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
