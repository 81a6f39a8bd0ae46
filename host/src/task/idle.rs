//! Whether a partition has nothing new.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{LOOK, Resources};

/// Since when a partition has nothing new, as far as the broker knows.
pub(super) struct Idle {
    /// When its last message came.
    pub(super) since: Instant,
    /// The broker was asked where the partition ends, and when that was.
    pub(super) asked: Option<(Instant, oneshot::Receiver<Option<i64>>)>,
    /// Until when the broker has nothing to be asked.
    pub(super) next: Instant,
}

impl Idle {
    pub(super) fn new(idle_after: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { since: now, asked: None, next: now + idle_after.unwrap_or_default() }
    }

    /// Takes note that messages came.
    pub(super) fn end(&mut self) {
        self.since = Instant::now();
        self.asked = None;
    }

    /// For how long nothing has come, once that is `idle_after` and the broker says that nothing is there up to `position`; and when to
    /// look again.
    pub(super) fn look(
        &mut self,
        idle_after: Duration,
        position: i64,
        resources: &Resources,
    ) -> (Option<Duration>, Option<Instant>) {
        let now = Instant::now();
        if let Some((asked_at, answer)) = &mut self.asked {
            let ended = match answer.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return (None, Some(now + LOOK)),
                Err(oneshot::error::TryRecvError::Closed) => None,
                Ok(end) => end,
            };
            let asked_at = *asked_at;
            self.asked = None;
            self.next = now + idle_after;
            // Past it: what has come since changes nothing, or `end` would have been called.
            if ended.is_some_and(|end| end <= position) {
                return (Some(asked_at - self.since), Some(self.next));
            }
        }
        let due = self.next.max(self.since + idle_after);
        if now < due {
            return (None, Some(due));
        }
        let (tell, answer) = oneshot::channel();
        let end_offset = std::sync::Arc::clone(&resources.end_offset);
        let thread = std::thread::current();
        resources.runtime.spawn_blocking(move || {
            // Nobody listens: the task has gone.
            let _ = tell.send(end_offset());
            thread.unpark();
        });
        self.asked = Some((now, answer));
        (None, Some(now + LOOK))
    }
}
