//! `aggregate` of a pipeline: what is typed, what must agree in it, and what it means.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::options::Properties;
use super::read::Report;
use super::units;
use crate::plugin::Limits;
use crate::window::{Emit, OnStateChange, WINDOW_END, WINDOW_START, Window, WindowOptions, micros};

/// How rows are folded into groups, by key and by windows of event time.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregateOptions {
    /// The plugin's file, relative to the folder of the configuration: `plugins/mta_turnstiles.wasm`.
    pub plugin: String,
    /// What the plugin is told when it is opened. Strings, numbers and booleans, all as text.
    #[serde(default)]
    pub settings: Properties,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Columns whose values make a group. None: all rows are one.
    #[serde(default)]
    pub key: Vec<String>,
    /// The column of event time, a timestamp. Needed for windows and for `dedup`.
    pub time: Option<String>,
    /// Windows of event time: `{ tumbling = "5m" }`, `{ hopping = "5m", slide = "1m" }` or `{ session = "10m" }`. None: groups
    /// last for ever.
    pub window: Option<Window>,
    /// How far the watermark stays behind the latest event time seen: how much rows may be out of order. None unless given.
    #[serde(default, deserialize_with = "units::time")]
    #[schemars(with = "String")]
    pub delay: Duration,
    /// How long after the watermark has passed a window's end rows still count. None unless given.
    #[serde(default, deserialize_with = "units::time")]
    #[schemars(with = "String")]
    pub allowed_lateness: Duration,
    /// A partition with nothing new for so long moves on by the clock, so that its last windows are given out. Never unless given.
    #[serde(default, deserialize_with = "units::idle")]
    #[schemars(with = "Option<String>")]
    pub idle_after: Option<Duration>,
    /// `"close"`: a group is given out once its window is over (the default where there are windows); `"change"`: at each commit, if it
    /// has changed (the default where there are none).
    pub on: Option<Emit>,
    /// Rows that are the same in these columns count once, for as long as their event time isn't past.
    #[serde(default)]
    pub dedup: Vec<String>,
    /// How rows of a group come together that are in several partitions: `"kafka"`, the default where more than one partition is read, or
    /// `"none"`.
    pub exchange: Option<Exchange>,
    /// What becomes of the groups where the plugin has changed and their states can't be carried over to it: `"fail"`, the default, stops
    /// the pipeline with nothing lost; `"reset"` begins them anew with nothing.
    #[serde(default)]
    pub on_state_change: OnStateChange,
}

/// How rows of a group come together that are in several partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Exchange {
    /// They don't have to: records are in partitions by what makes the group.
    None,
    /// Through a topic of the pipeline's own, `rillgate.<pipeline>.exchange`.
    Kafka,
}

impl AggregateOptions {
    /// What it means to the stage that groups rows.
    pub fn window_options(&self) -> WindowOptions {
        WindowOptions {
            key: self.key.clone(),
            time: self.time.clone(),
            window: self.window,
            delay_us: micros(self.delay),
            allowed_lateness_us: micros(self.allowed_lateness),
            emit: self.on.unwrap_or(if self.window.is_some() { Emit::Close } else { Emit::Change }),
            dedup: self.dedup.clone(),
        }
    }

    /// Whether what is remembered of groups is of use to both.
    pub fn has_groups_of(&self, other: &Self) -> bool {
        let groups = |one: &Self| (one.key.clone(), one.time.clone(), one.window, one.dedup.clone(), one.exchange);
        groups(self) == groups(other)
    }
}

/// Reports what doesn't go together.
pub(super) fn check(path: &str, options: &AggregateOptions, report: &mut Report) {
    let at = |key: &str| format!("{path}.{key}");
    if options.plugin.is_empty() {
        report.error(
            &at("plugin"),
            "the plugin's file is not named",
            "plugins/NAME.wasm, from the configuration's folder",
        );
    }
    if options.time.is_none() {
        let hint = "time = \"timestamp\", the column that says when it happened";
        if options.window.is_some() {
            report.error(&at("window"), "windows need event time, and `time` names no column", hint);
        }
        if !options.dedup.is_empty() {
            let message = "`dedup` forgets by event time, and `time` names no column";
            report.error(&at("dedup"), message, hint);
        }
    }
    if options.window.is_none() {
        if options.on == Some(Emit::Close) {
            let message = "without a `window` no group is ever complete";
            report.error(&at("on"), message, "on = \"change\", or window = { tumbling = \"5m\" }");
        }
        if options.idle_after.is_some() {
            let message = "without a `window` there is nothing to move on to";
            report.error(&at("idle_after"), message, "leave it out, or window = { tumbling = \"5m\" }");
        }
    }
    for (index, name) in options.key.iter().enumerate().filter(|_| options.window.is_some()) {
        if [WINDOW_START, WINDOW_END].contains(&name.as_str()) {
            let message = format!("`{name}` is what a window's own column is called beside those of the key");
            report.error(&format!("{path}.key[{index}]"), message, "give the column another name in `columns`");
        }
    }
    for (key, names) in [("key", &options.key), ("dedup", &options.dedup)] {
        if let Some((index, name)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            report.error(&format!("{path}.{key}[{index}]"), format!("`{name}` is named twice"), "name it once");
        }
    }
}
