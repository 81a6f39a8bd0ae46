//! The way of the data behind an exchange: records of its topic, rows or states, groups.

use super::folding::Folding;
use super::{Task, TaskError};
use crate::batch::{MemoryMessage, MemoryMessages, Messages, RecordBatch, Rows};
use crate::encode::json_lines;
use crate::exchange::{self, Content, HEADER, Unreadable};
use crate::plugin::{BatchTime, Plugins};
use crate::source::KafkaMessages;

impl Task {
    /// Folds what came through the exchange, one record after another: each is judged by what was heard before it.
    pub(super) fn process_chunks(&mut self, plugins: &mut Plugins) -> Result<(), TaskError> {
        let folded = self.fold_chunks(plugins);
        self.keep_failures(plugins, folded.is_err());
        self.processed(0, folded?)
    }

    /// A row that can't be folded becomes a dead letter by itself, as JSON: its own record has been taken apart before the exchange.
    /// Returns how many there are.
    fn fold_chunks(&mut self, plugins: &mut Plugins) -> Result<u64, TaskError> {
        let (Some(Folding::Groups(groups)), Some(aggregate), Some(plan)) =
            (&mut self.folding, &mut plugins.aggregate, &self.plan.aggregate)
        else {
            return Ok(0);
        };
        let Some((_, exchange)) = &plan.exchange else { return Ok(0) };
        let messages = &self.pending;
        let mut dead_letters = 0;
        for index in 0..messages.len() {
            let offset = messages.offset(index);
            let at = |reason: &str| format!("{} offset {offset}: {reason}", self.queue.partition);
            let fatal = |reason: &str| TaskError::Fatal(at(reason));
            let chunk = match exchange::read(messages, index, &plan.rows) {
                Ok(chunk) => chunk,
                Err(Unreadable::Foreign(reason)) => {
                    self.tools.dead.push(messages, index, "exchange", &reason, None);
                    dead_letters += 1;
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
                    dead_letters += dead.len() as u64;
                    for letter in dead {
                        let row = row_of(messages, index, &rows.batch, letter.message as usize);
                        let row = row.map_err(|error| fatal(&error.to_string()))?;
                        self.tools.dead.push(&row, 0, &letter.stage, &letter.reason, letter.plugin.as_deref());
                    }
                }
            }
        }
        Ok(dead_letters)
    }
}

/// What to do where records wait in the exchange that were made otherwise.
fn changed(what: &str) -> String {
    format!(
        "{what}: this came through the exchange before the configuration was changed. Put it back until the pipeline has caught up, or \
         give the pipeline another name to begin anew"
    )
}

/// A row of a record as a message of its own.
fn row_of(
    messages: &KafkaMessages,
    index: usize,
    rows: &RecordBatch,
    row: usize,
) -> Result<MemoryMessages, arrow::error::ArrowError> {
    let mut value = json_lines(&rows.slice(row, 1))?;
    value.pop_if(|last| *last == b'\n');
    let headers = messages.headers(index).into_iter().filter(|(name, _)| name == HEADER);
    let message = MemoryMessage {
        offset: messages.offset(index),
        timestamp_ms: messages.timestamp_ms(index),
        key: None,
        value: Some(value),
        headers: headers.collect(),
    };
    let (topic, partition) = (messages.topic().to_owned(), messages.partition());
    Ok(MemoryMessages { topic, partition, messages: vec![message] })
}
