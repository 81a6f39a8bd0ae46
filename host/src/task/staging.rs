//! What a task hands over: bytes to the upload, groups to their table, an epoch to its COMMIT.
//!
//! What never happens: a row is written that was not checked against its table or topic: what is decided can be published and sent.

use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::aggregate::StateDeltas;
use super::{BATCH_BYTES, LogAt, Task, TaskError};
use crate::batch::{MemoryMessage, MemoryMessages, RecordBatch};
use crate::encode::{Output, ROW_HEADER, Sifted, Target, json_lines};
use crate::plugin::Plugins;
use crate::source::TopicPartition;

impl Task {
    /// Writes the rows of groups that are complete or have changed; returns what has to be written of their states.
    pub(super) fn give_out(&mut self, plugins: &mut Plugins) -> Result<Option<StateDeltas>, TaskError> {
        let (Some(folding), Some(aggregate)) = (&mut self.folding, &mut plugins.aggregate) else { return Ok(None) };
        let ended = folding.end_epoch(aggregate);
        let at = |reason| format!("{} up to offset {}: {reason}", self.queue.partition, self.epoch.end);
        let (rows, state) = ended.map_err(|reason| self.version.ends(at(reason)))?;
        let (count, bytes) = folding.size();
        self.metrics.groups.set(count as f64);
        self.metrics.state_bytes.set(bytes as f64);
        self.write_fitting(0, &rows, self.epoch.end - 1)?;
        self.write_dead_letters()?;
        Ok(Some(state))
    }

    /// Writes the rows that their table takes. Each of the others becomes a dead letter by itself, as JSON: which records it was made of,
    /// up to that at `offset`, nobody knows any more.
    pub(super) fn write_fitting(
        &mut self,
        table: usize,
        batches: &[RecordBatch],
        offset: i64,
    ) -> Result<(), TaskError> {
        for batch in batches {
            let (Some(writer), Some((target, _))) = (&self.tools.writers[table], &self.plan.tables[table]) else {
                break;
            };
            let Sifted { fit, unfit } = writer.sift(batch);
            let headers = vec![(ROW_HEADER.to_owned(), Some(target.name().as_bytes().to_vec()))];
            for (row, reason) in unfit {
                let message = MemoryMessage { offset, headers: headers.clone(), ..MemoryMessage::default() };
                let message = row_message(&self.queue.partition, &row, message);
                let message = message.map_err(|error| self.unwritten(&error.into()))?;
                self.tools.dead.push(&message, 0, "sink", &reason, None);
                if self.tools.dead.bytes() >= BATCH_BYTES {
                    self.write_dead_letters()?;
                }
            }
            self.write(table, &fit)?;
        }
        Ok(())
    }

    /// Writes the dead letters at hand, and counts them.
    pub(super) fn write_dead_letters(&mut self) -> Result<(), TaskError> {
        let count = self.tools.dead.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let written = self.tools.dead_writer.write(&self.tools.dead.take(), &mut self.outputs);
        written.map_err(|error| self.unwritten(&error))?;
        self.stage_outputs(self.tools.writers.len());
        self.epoch.dead_letters += count;
        self.metrics.dead_letters.increment(count);
        Ok(())
    }

    pub(super) fn hear_of_commit(&mut self) -> Result<(), TaskError> {
        let LogAt::Deciding { began, answer } = &mut self.log else { return Ok(()) };
        let log = match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => {
                return Err(TaskError::Again("the commit was cut off".to_owned()));
            }
            Ok(Err(error)) if error.may_pass() => return Err(TaskError::Again(error.to_string())),
            Ok(Err(error)) => return Err(TaskError::Fatal(error.to_string())),
            Ok(Ok(log)) => log,
        };
        self.metrics.commits.increment(1);
        self.metrics.commit_seconds.record(began.elapsed());
        self.metrics.committed_offset.set(log.next_offset() as f64);
        self.resources.progress.committed.store(log.next_offset(), Ordering::Release);
        self.log = LogAt::Here(log);
        Ok(())
    }

    /// Hands what the writers gave out over to the upload.
    pub(super) fn stage_outputs(&mut self, writer: usize) {
        let table = match self.plan.tables.get(writer) {
            Some(Some((Target::Table(options), _))) => Ok(options.table.clone()),
            Some(Some((Target::Topic(options), _))) => Err(options.topic.clone()),
            Some(Some((Target::Placed(topic), _))) => Err(topic.clone()),
            _ => Ok(self.tools.dead.table_options(&self.plan.pipeline).table),
        };
        for output in self.outputs.drain(..) {
            match output {
                Output::Bytes { file, bytes } => self.stage.write(writer, file, bytes),
                Output::Closed { file, directory, extension, rows } => {
                    let table = match &table {
                        Ok(table) => table,
                        Err(topic) => {
                            self.stage.close_records(writer, file, topic.clone(), rows);
                            continue;
                        }
                    };
                    let name = self.epoch.next_file(&self.queue.partition, self.generation, extension);
                    let path = match directory.as_str() {
                        "" => format!("{table}/{name}"),
                        directory => format!("{table}/{directory}/{name}"),
                    };
                    self.stage.close(writer, file, path, rows);
                }
            }
        }
    }
}

/// A message whose value is the row as JSON.
pub(super) fn row_message(
    from: &TopicPartition,
    row: &RecordBatch,
    message: MemoryMessage,
) -> Result<MemoryMessages, arrow::error::ArrowError> {
    let mut value = json_lines(row)?;
    value.pop_if(|last| *last == b'\n');
    let messages = vec![MemoryMessage { value: Some(value), ..message }];
    Ok(MemoryMessages { topic: from.topic.clone(), partition: from.partition, messages })
}
