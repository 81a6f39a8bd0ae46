//! What a task passes on through the exchange or folds behind it, and what it remembers.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::StateChange;
use super::super::kafka::{Batch, Message};
use super::super::sides::{self, Kept, Side};
use super::{TOPIC, Task, TaskError};

impl Task {
    /// Sends what goes through the exchange there, or folds what came through it.
    pub(super) fn pass_on(&mut self, batch: &Batch) -> Result<(), TaskError> {
        match &mut self.side {
            Side::Alone => {}
            Side::Before(before) => {
                let mut records = batch.messages.iter().filter(|(_, message)| *message != Message::Gap).peekable();
                if records.peek().is_none() {
                    return Ok(());
                }
                let name = |offset: i64| (self.partition, batch.generation, offset);
                let written = before.fold(records.map(|(offset, message)| (name(*offset), *message)));
                sides::stage(written, &mut self.stage, TOPIC);
                self.idle_since = Instant::now();
            }
            Side::Behind(behind) => {
                self.epoch.rows += batch.chunks.messages.len() as u64;
                let seen = behind.fold(&batch.chunks).map_err(TaskError::Fatal)?;
                self.world.with(|state| seen.into_iter().for_each(|point| state.figures.reach(point)));
            }
        }
        Ok(())
    }

    /// Says that nothing new has come for long, if the broker says that nothing waits.
    pub(super) fn look_idle(&mut self, idle_after: Option<Duration>) {
        self.next_look = Instant::now() + idle_after.unwrap_or_default();
        let high = self.world.with(|state| state.topic.high(self.partition));
        if let Side::Before(before) = &mut self.side
            && !self.process.is_cut()
            && high <= self.epoch.end
        {
            before.is_idle();
            self.epoch.since = Some(Instant::now());
        }
    }

    /// What goes out at the end of an epoch, and what is remembered of it.
    pub(super) fn end_epoch(&mut self) -> Kept {
        if let Side::Behind(behind) = &mut self.side {
            let (lines, kept) = behind.end_epoch();
            lines.iter().for_each(|line| self.write_line(0, line));
            return kept;
        }
        let changes = vec![self.remember()];
        match &mut self.side {
            Side::Before(before) => {
                let (written, kept) = before.end_epoch(changes);
                sides::stage(written, &mut self.stage, TOPIC);
                kept
            }
            _ => Kept { changes, ..Kept::default() },
        }
    }

    /// Adds an epoch to the state: its line, and with it those of files that are not much larger.
    fn remember(&mut self) -> StateChange {
        let mut lines = vec![format!("{}:{}..{}", self.generation, self.epoch.start, self.epoch.end)];
        while let Some(mut before) = self.memory.pop_if(|before| before.len() <= 2 * lines.len()) {
            before.append(&mut lines);
            lines = before;
        }
        let content = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (kept, rows) = (self.memory.len(), lines.len() as u64);
        self.memory.push(lines);
        StateChange { table: "groups", kept, file: Some((Bytes::from(content), rows)) }
    }
}
