//! What another configuration changes: which pipelines come, go, or go on otherwise.

use indexmap::IndexMap;
use serde::Serialize;

use crate::config::{Config, PipelineOptions};
use crate::pipeline::{Pipeline, TableDescription};
use crate::supervisor::{Way, way};

/// What becomes of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// It begins.
    Added {
        /// The pipeline.
        pipeline: String,
    },
    /// It commits what it has, and ends.
    Removed {
        /// The pipeline.
        pipeline: String,
    },
    /// Its tasks go on with it, each after an epoch.
    Swapped {
        /// The pipeline.
        pipeline: String,
        /// What is otherwise.
        differences: Vec<String>,
    },
    /// It commits what it has, and begins again.
    Restarted {
        /// The pipeline.
        pipeline: String,
        /// The key that can't be changed while it runs.
        key: &'static str,
        /// What is otherwise.
        differences: Vec<String>,
    },
    /// It goes on as it is.
    Refused {
        /// The pipeline.
        pipeline: String,
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, differences: &[String]| {
            differences.iter().try_for_each(|difference| write!(f, "\n    {difference}"))
        };
        match self {
            Self::Added { pipeline } => write!(f, "+ {pipeline}: begins"),
            Self::Removed { pipeline } => write!(f, "- {pipeline}: commits what it has, and ends"),
            Self::Swapped { pipeline, differences } => {
                write!(f, "~ {pipeline}: goes on with")?;
                list(f, differences)
            }
            Self::Restarted { pipeline, key, differences } => {
                write!(f, "! {pipeline}: commits what it has, and begins again, because of `{key}`")?;
                list(f, differences)
            }
            Self::Refused { pipeline, reason } => write!(f, "x {pipeline}: stays as it is: {reason}"),
        }
    }
}

/// What can't be changed while the host runs.
pub(super) fn needs_another_host(from: &Config, to: &Config) -> Option<&'static str> {
    let same = [
        ("store", from.store == to.store),
        ("http", from.http == to.http),
        ("schema_registry", from.schema_registry == to.schema_registry),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(key, _)| key)
}

/// What becomes of each pipeline, in the order of the new file; those that go come last. Those that stay as they are aren't named.
pub(super) fn changes(from: &IndexMap<String, PipelineOptions>, to: &IndexMap<String, PipelineOptions>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, to) in to {
        let pipeline = name.clone();
        let Some(from) = from.get(name) else {
            changes.push(Change::Added { pipeline });
            continue;
        };
        if from == to {
            continue;
        }
        let differences = differences(from, to);
        changes.push(match way(from, to) {
            Way::Swap => Change::Swapped { pipeline, differences },
            Way::Restart(key) => Change::Restarted { pipeline, key, differences },
            Way::Refused(reason) => Change::Refused { pipeline, reason },
        });
    }
    let gone = from.keys().filter(|name| !to.contains_key(*name));
    changes.extend(gone.map(|name| Change::Removed { pipeline: name.clone() }));
    changes
}

/// What is otherwise, by key. Secrets are masked where options are printed.
pub(super) fn differences(from: &PipelineOptions, to: &PipelineOptions) -> Vec<String> {
    fn keys(options: &PipelineOptions) -> [(&'static str, String); 16] {
        [
            ("topics", options.topics.join(", ")),
            ("group", options.group.clone()),
            ("start", format!("{:?}", options.start)),
            ("decode", format!("{:?}", options.decode)),
            ("columns", format!("{:?}", options.columns)),
            ("transform", format!("{:?}", options.transform)),
            ("aggregate", format!("{:?}", options.aggregate)),
            ("sink", format!("{:?}", options.sink)),
            ("outputs", format!("{:?}", options.outputs)),
            ("dead_letters", format!("{:?}", options.dead_letters)),
            ("swap", format!("{:?}", options.swap)),
            ("delivery", format!("{:?}", options.delivery)),
            ("on_data_loss", format!("{:?}", options.on_data_loss)),
            ("kafka", options.kafka.to_string()),
            ("log_retention", humantime::format_duration(options.log_retention).to_string()),
            ("max_batch_rows", options.max_batch_rows.to_string()),
        ]
    }
    let both = keys(from).into_iter().zip(keys(to));
    let differ = both.filter(|((_, from), (_, to))| from != to);
    differ.map(|((key, from), (_, to))| format!("{key}: {from} -> {to}")).collect()
}

/// Where the rows of a pipeline go, and how their columns differ from those of the version that is live.
pub(super) fn notes_of(live: Option<&Pipeline>, next: &Pipeline) -> Vec<String> {
    let before = live.map(|live| live.describe().tables).unwrap_or_default();
    let mut notes = Vec::new();
    for table in next.describe().tables {
        let TableDescription { output, columns, .. } = &table;
        let Some(place) = table.table.as_ref().or(table.topic.as_ref()) else { continue };
        let before = before.iter().find(|before| before.output == *output);
        if before.is_none_or(|before| (&before.table, &before.topic) != (&table.table, &table.topic)) {
            notes.push(format!("`{output}` goes to {place}"));
        }
        let Some(before) = before else { continue };
        let come = columns.iter().filter(|column| !before.columns.contains(column)).map(|column| ('+', column));
        let go = before.columns.iter().filter(|column| !columns.contains(column)).map(|column| ('-', column));
        for (sign, column) in go.chain(come) {
            let null = if column.nullable { "" } else { ", never null" };
            notes.push(format!("{sign} `{}` of {place}: {}{null}", column.name, column.data_type));
        }
    }
    notes
}
