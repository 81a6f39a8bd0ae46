//! A process of the simulation: what runs, is stopped, is told to leave and dies together.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Running,
    /// By SIGSTOP: it does nothing, and its clock goes on.
    Stopped,
    Dead,
}

/// One process. What it does at the store or at Kafka passes [`Process::alive`] before and after.
#[derive(Debug)]
pub struct Process {
    pub id: u32,
    life: Mutex<Life>,
    changed: Notify,
    terminating: AtomicBool,
    terminated: Notify,
    /// Whether the brokers can't be reached from it.
    cut: AtomicBool,
    /// Told when the group has something to say to it.
    pub mail: Notify,
    /// How often it was stopped or cut off: tells whether a time-out is still about the same stop.
    absences: AtomicU32,
}

impl Process {
    pub fn new(id: u32) -> Arc<Self> {
        Arc::new(Self {
            id,
            life: Mutex::new(Life::Running),
            changed: Notify::new(),
            terminating: AtomicBool::new(false),
            terminated: Notify::new(),
            cut: AtomicBool::new(false),
            mail: Notify::new(),
            absences: AtomicU32::new(0),
        })
    }

    pub fn life(&self) -> Life {
        *self.life.lock().unwrap()
    }

    /// Waits while it is stopped; for good once it is dead.
    pub async fn alive(&self) {
        loop {
            let changed = self.changed.notified();
            match self.life() {
                Life::Running => return,
                Life::Stopped => changed.await,
                Life::Dead => std::future::pending().await,
            }
        }
    }

    /// Changes its life; nothing brings the dead back. Whether anything has changed.
    pub fn becomes(&self, life: Life) -> bool {
        {
            let mut now = self.life.lock().unwrap();
            if *now == life || *now == Life::Dead {
                return false;
            }
            *now = life;
        }
        self.absences.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        true
    }

    /// SIGTERM. Whether it is the first one.
    pub fn terminate(&self) -> bool {
        let first = !self.terminating.swap(true, Ordering::SeqCst);
        self.terminated.notify_one();
        first
    }

    pub fn is_terminating(&self) -> bool {
        self.terminating.load(Ordering::SeqCst)
    }

    /// Returns when SIGTERM has come.
    pub async fn told_to_leave(&self) {
        if !self.is_terminating() {
            self.terminated.notified().await;
        }
    }

    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
        self.absences.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// Waits until it runs and reaches the brokers.
    pub async fn reaches_kafka(&self) {
        loop {
            let changed = self.changed.notified();
            match (self.life(), self.is_cut()) {
                (Life::Dead, _) => std::future::pending().await,
                (Life::Running, false) => return,
                _ => changed.await,
            }
        }
    }

    pub fn absences(&self) -> u32 {
        self.absences.load(Ordering::SeqCst)
    }
}
