//! What a task takes, and whether it can be read.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::oneshot;

use super::{BATCH_BYTES, Task, TaskError};

impl Task {
    /// Whether all schemas are known that what is pending was written by. Those that aren't are asked for, and it is pending
    /// until they are: for as long as that takes.
    pub(super) fn has_schemas(&mut self) -> Result<bool, TaskError> {
        if let Some(Err(oneshot::error::TryRecvError::Empty)) = self.schemas.as_mut().map(oneshot::Receiver::try_recv) {
            return Ok(false);
        }
        self.schemas = None;
        let lacking = self.tools.decoder.prepare(&self.pending);
        if lacking.is_empty() {
            return Ok(true);
        }
        let Some(registry) = self.plan.registry.clone() else {
            return Err(TaskError::Fatal("there is no schema registry to ask".to_owned()));
        };
        let (mut tell, told) = oneshot::channel();
        let thread = std::thread::current();
        self.resources.runtime.spawn(async move {
            tokio::select! {
                () = registry.fetch(&lacking) => drop(tell.send(())),
                () = tell.closed() => {}
            }
            thread.unpark();
        });
        self.schemas = Some(told);
        Ok(false)
    }

    pub(super) fn take(&mut self) -> Result<usize, TaskError> {
        if self.finishing || self.stage.is_full() || self.is_over_full() {
            return Ok(0);
        }
        let taken = self.queue.take(&mut self.pending, &mut self.position, self.plan.batch_rows, BATCH_BYTES);
        if let Some(reason) = taken.offset_lost {
            return Err(TaskError::Again(format!("Kafka no longer has offset {}: {reason}", self.position)));
        }
        for error in taken.errors {
            tracing::warn!(pipeline = %self.plan.pipeline, partition = %self.queue.partition, error, "Kafka");
        }
        if taken.messages > 0 {
            self.pending_since.get_or_insert_with(Instant::now);
        } else if self.resources.targets.is_some() && !self.is_at_target() {
            // The last offsets of a transactional topic hold no message.
            self.position = self.position.max(self.queue.position().unwrap_or_default());
        }
        self.resources.progress.position.store(self.position, Ordering::Relaxed);
        Ok(taken.messages)
    }
}
