//! What a task hands over: bytes to the upload, groups to their table, an epoch to its COMMIT.

use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::aggregate::StateDeltas;
use super::{LogAt, Task, TaskError};
use crate::encode::{Output, Target};
use crate::plugin::Plugins;

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
        self.write(0, &rows)?;
        Ok(Some(state))
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
