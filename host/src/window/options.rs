//! How rows are grouped: `aggregate` in pipelines.toml, but for its plugin.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

/// Windows that a row may belong to at once.
const MAX_WINDOWS: u128 = 100;
/// The shortest window, slide or gap: event time has microseconds, but nobody's clock does.
const MIN_SIZE: Duration = Duration::from_millis(1);

/// Which windows of event time rows are grouped by, beside their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// One after another: each row is in one.
    Tumbling {
        /// Microseconds.
        size_us: i64,
    },
    /// Overlapping: a row is in `size / slide` of them.
    Hopping {
        /// Microseconds.
        size_us: i64,
        /// Microseconds between the starts of two of them.
        slide_us: i64,
    },
    /// As long as rows of a key follow one another.
    Session {
        /// Microseconds without a row after which one ends.
        gap_us: i64,
    },
}

/// `{ tumbling = "5m" }`, `{ hopping = "5m", slide = "1m" }`, `{ session = "10m" }`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Window")]
struct Given {
    /// Size of windows that follow one another: `"5m"`.
    #[serde(default, deserialize_with = "some_size")]
    #[schemars(with = "Option<String>")]
    tumbling: Option<Duration>,
    /// Size of windows that overlap: `"5m"`. `slide` says how far apart they begin.
    #[serde(default, deserialize_with = "some_size")]
    #[schemars(with = "Option<String>")]
    hopping: Option<Duration>,
    /// Time between the starts of two hopping windows; their size unless given.
    #[serde(default, deserialize_with = "some_size")]
    #[schemars(with = "Option<String>")]
    slide: Option<Duration>,
    /// Windows that end when a key has had no row for so long: `"10m"`.
    #[serde(default, deserialize_with = "some_size")]
    #[schemars(with = "Option<String>")]
    session: Option<Duration>,
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Given::deserialize(deserializer)?;
        match (given.tumbling, given.hopping, given.session, given.slide) {
            (Some(size), None, None, None) => Ok(Self::Tumbling { size_us: micros(size) }),
            (None, Some(size), None, slide) => {
                let slide = slide.unwrap_or(size);
                if slide > size {
                    return Err(de::Error::custom(
                        "`slide` is longer than the window: rows between two of them would be lost",
                    ));
                }
                if size.as_micros().div_ceil(slide.as_micros()) > MAX_WINDOWS {
                    let most = format_args!("a row would be in more than {MAX_WINDOWS} windows; make `slide` longer");
                    return Err(de::Error::custom(most));
                }
                Ok(Self::Hopping { size_us: micros(size), slide_us: micros(slide) })
            }
            (None, None, Some(gap), None) => Ok(Self::Session { gap_us: micros(gap) }),
            (_, None, _, Some(_)) => Err(de::Error::custom("`slide` goes with `hopping`")),
            _ => Err(de::Error::custom(
                "one of { tumbling = \"5m\" }, { hopping = \"5m\", slide = \"1m\" } and { session = \"10m\" }",
            )),
        }
    }
}

impl JsonSchema for Window {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Given::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Given::json_schema(generator)
    }
}

/// When the groups of an aggregate are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Emit {
    /// Once, when the watermark has passed the end of their window. Rows that come later, but within `allowed_lateness`, give it
    /// out again.
    Close,
    /// At each commit those that have changed.
    Change,
}

/// What becomes of states that can't be carried over to the plugin that is there now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnStateChange {
    /// The pipeline says so, and stops with nothing lost.
    #[default]
    Fail,
    /// All groups begin anew with nothing. What `dedup` remembers and the watermark stay.
    Reset,
}

/// How rows are grouped.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowOptions {
    /// The columns whose values make a group.
    pub key: Vec<String>,
    /// The column of event time.
    pub time: Option<String>,
    /// Which windows; `None`: groups last for ever.
    pub window: Option<Window>,
    /// How far the watermark stays behind the latest event time seen, microseconds.
    pub delay_us: i64,
    /// How long after the watermark has passed a window's end rows still count, microseconds.
    pub allowed_lateness_us: i64,
    /// When groups are given out.
    pub emit: Emit,
    /// Rows that are the same in these columns count once.
    pub dedup: Vec<String>,
}

impl WindowOptions {
    /// The columns by which rows that have to meet are the same: those of one group, and those that are doubles of one another. None:
    /// all rows have to meet.
    pub fn placed_by(&self) -> Vec<String> {
        let is_common = |name: &&String| self.dedup.is_empty() || self.dedup.contains(name);
        self.key.iter().filter(is_common).cloned().collect()
    }

    /// Whether rows may be folded where they are and their states merged elsewhere: not where rows have to be seen one by one.
    pub fn states_can_be_sent(&self) -> bool {
        self.dedup.is_empty() && !matches!(self.window, Some(Window::Session { .. }))
    }
}

/// Microseconds of a duration, as many as there are.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || de::Error::invalid_value(de::Unexpected::Str(&text), &"a duration like \"5m\" or \"1h\"");
    let size = humantime::parse_duration(&text).map_err(|_| wrong())?;
    if size < MIN_SIZE {
        return Err(de::Error::custom(format_args!("must be at least \"{}\"", humantime::format_duration(MIN_SIZE))));
    }
    Ok(Some(size))
}
