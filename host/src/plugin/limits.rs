//! What a plugin may use before the host stops it, as written in pipelines.toml.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// The most that `memory` and `output` can be: a component's memories are addressed with 32 bits.
const MAX_BYTES: u64 = 4 << 30;
/// Shorter limits than the tick of the clock that enforces them would stop every call.
const MIN_TIME: Duration = Duration::from_millis(20);

/// Limits of one plugin instance. A call that goes past one of them is stopped; its rows are tried again in halves.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of one instance, all its linear memories and tables together, e.g. `"256MiB"` (the default).
    #[serde(deserialize_with = "size")]
    #[schemars(with = "String")]
    pub memory: u64,
    /// Time for one batch, e.g. `"10s"` (the default). Enforced to within some 10 ms.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub time: Duration,
    /// Size of what one call may return, as it takes room in the host, e.g. `"256MiB"` (the default).
    #[serde(deserialize_with = "size")]
    #[schemars(with = "String")]
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 256 << 20, time: Duration::from_secs(10), output: 256 << 20 }
    }
}

/// `bytes` as people write it: `256 MiB`.
pub(super) fn human(bytes: u64) -> String {
    format!("{:.0}", ByteSize(bytes).display().iec())
}

/// `"256MiB"`, or a number of bytes.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Size;
    impl Visitor<'_> for Size {
        type Value = u64;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("a size like \"256MiB\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            let size: ByteSize = text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
            self.visit_u64(size.0)
        }
        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
            let bytes = u64::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))?;
            self.visit_u64(bytes)
        }
        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
            match bytes {
                0 => Err(E::custom("must be more than nothing, e.g. \"256MiB\"")),
                1..=MAX_BYTES => Ok(bytes),
                _ => Err(E::custom("must be at most \"4GiB\", all that a plugin can address")),
            }
        }
    }
    deserializer.deserialize_any(Size)
}

/// `"10s"`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = humantime::parse_duration(&text)
        .map_err(|_| de::Error::invalid_value(de::Unexpected::Str(&text), &"a duration like \"10s\" or \"500ms\""))?;
    if time < MIN_TIME {
        return Err(de::Error::custom("must be at least \"20ms\", two ticks of the clock that enforces it"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(toml: &str) -> Result<Limits, String> {
        toml::from_str(toml).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn units_are_those_that_people_write() {
        assert_eq!(parse(""), Ok(Limits::default()));
        let limits = parse("memory = \"64MiB\"\ntime = \"500ms\"\noutput = 1000").unwrap();
        assert_eq!(limits, Limits { memory: 64 << 20, time: Duration::from_millis(500), output: 1000 });
        assert_eq!(human(limits.memory), "64 MiB");
    }

    #[test]
    fn errors_say_what_to_write() {
        for (toml, expected) in [
            ("memory = \"lots\"", "invalid value: string \"lots\", expected a size like \"256MiB\""),
            ("memory = -1", "invalid value: integer `-1`, expected a size like \"256MiB\""),
            ("output = 0", "must be more than nothing, e.g. \"256MiB\""),
            ("memory = \"8GiB\"", "must be at most \"4GiB\", all that a plugin can address"),
            ("time = \"soon\"", "invalid value: string \"soon\", expected a duration like \"10s\" or \"500ms\""),
            ("time = \"1ms\"", "must be at least \"20ms\", two ticks of the clock that enforces it"),
        ] {
            assert_eq!(parse(toml), Err(expected.to_owned()), "{toml}");
        }
        assert!(parse("cpu = 1").unwrap_err().starts_with("unknown field `cpu`"));
    }
}
