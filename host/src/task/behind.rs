//! The way of the data behind an exchange: records of its topic, rows or states, groups.

use super::folding::Folding;
use super::staging::row_message;
use super::{Task, TaskError};
use crate::batch::{MemoryMessage, Messages, Rows};
use crate::exchange::{self, Content, HEADER, Unreadable};
use crate::plugin::{BatchTime, Plugins};
use crate::source::KafkaMessages;

impl Task {
    /// Folds what came through the exchange, one record after another: each is judged by what was heard before it.
    pub(super) fn process_chunks(&mut self, plugins: &mut Plugins) -> Result<(), TaskError> {
        let folded = self.fold_chunks(plugins);
        self.keep_failures(plugins, folded.is_err());
        folded?;
        self.processed(0)
    }

    /// A row that can't be folded becomes a dead letter by itself, as JSON: its own record has been taken apart before the exchange.
    fn fold_chunks(&mut self, plugins: &mut Plugins) -> Result<(), TaskError> {
        let (Some(Folding::Groups(groups)), Some(aggregate), Some(plan)) =
            (&mut self.folding, &mut plugins.aggregate, &self.plan.aggregate)
        else {
            return Ok(());
        };
        let Some((_, exchange)) = &plan.exchange else { return Ok(()) };
        let messages = &self.pending;
        for index in 0..messages.len() {
            let offset = messages.offset(index);
            let at = |reason: &str| format!("{} offset {offset}: {reason}", self.queue.partition);
            let fatal = |reason: &str| TaskError::Fatal(at(reason));
            let chunk = match exchange::read(messages, index, &plan.rows) {
                Ok(chunk) => chunk,
                Err(Unreadable::Foreign(reason)) => {
                    self.tools.dead.push(messages, index, "exchange", &reason, None);
                    continue;
                }
                Err(Unreadable::Columns(reason)) => return Err(fatal(&changed(&reason))),
            };
            let (rule, now_rule) = (&chunk.heading.rule, exchange.placing.rule());
            if rule != now_rule {
                return Err(fatal(&changed(&format!("rows were placed by `{rule}`, and it is `{now_rule}` now"))));
            }
            // The same whenever it is done again.
            let timestamp_ms = messages.timestamp_ms(index).unwrap_or_default();
            let now = BatchTime { timestamp_ms, seed: offset as u64 };
            match chunk.content {
                Content::None => groups.hear(&chunk.heading),
                Content::States(states) => {
                    self.version.begin();
                    let merged = groups.merge(&states, aggregate, now, &self.metrics);
                    merged.map_err(|reason| self.version.ends(at(&reason)))?;
                }
                Content::Rows(batch) => {
                    let rows = Rows { origin: (0..batch.num_rows() as u32).collect(), batch };
                    let (metrics, mut dead) = (&self.metrics, Vec::new());
                    let mut take = |_, batch: &_| groups.fold(batch, aggregate, now, metrics);
                    let folded = self.version.apply(&mut plugins.chain, &rows, now, &mut take, &mut dead);
                    folded.map_err(|stopped| stopped.ends(format_args!("{} offset {offset}", self.queue.partition)))?;
                    for letter in dead {
                        let row = rows.batch.slice(letter.message as usize, 1);
                        let row = row_message(&self.queue.partition, &row, origin(messages, index));
                        let row = row.map_err(|error| fatal(&error.to_string()))?;
                        self.tools.dead.push(&row, 0, &letter.stage, &letter.reason, letter.plugin.as_deref());
                    }
                }
            }
        }
        Ok(())
    }
}

/// What to do where records wait in the exchange that were made otherwise.
fn changed(what: &str) -> String {
    format!(
        "{what}: this came through the exchange before the configuration was changed. Put it back until the pipeline has caught up, or \
         give the pipeline another name to begin anew"
    )
}

/// What is known of the record that a row came with.
fn origin(messages: &KafkaMessages, index: usize) -> MemoryMessage {
    let headers = messages.headers(index).into_iter().filter(|(name, _)| name == HEADER);
    MemoryMessage {
        offset: messages.offset(index),
        timestamp_ms: messages.timestamp_ms(index),
        headers: headers.collect(),
        ..MemoryMessage::default()
    }
}
