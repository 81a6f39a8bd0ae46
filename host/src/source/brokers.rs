//! Brokers that the client has lost sight of.
//!
//! librdkafka gives up brokers that an answer about metadata doesn't name. A broker that has just come back may name none; then the
//! client should begin again with `bootstrap.servers`, but takes one of them that it is still giving up for one that it has, and is
//! left without any: it never connects again (librdkafka 2.12.1, <https://github.com/confluentinc/librdkafka/issues/5301>). So for a while after
//! all brokers were away it is told of them again, which changes nothing where it knows them.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

/// How often it is told, and for how long after all were away.
const AGAIN: Duration = Duration::from_secs(10);
const WHILE: Duration = Duration::from_secs(60);

/// The brokers that a client begins with.
#[derive(Debug)]
pub(super) struct Brokers {
    servers: Option<CString>,
    /// When all were said to be away, and when to tell the client again.
    away: Mutex<Option<(Instant, Instant)>>,
}

impl Brokers {
    pub(super) fn new(servers: &str) -> Self {
        Self { servers: CString::new(servers).ok(), away: Mutex::default() }
    }

    /// Takes note that all are away.
    pub(super) fn are_away(&self) {
        let now = Instant::now();
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let next = away.map_or(now + AGAIN, |(_, next)| next);
        *away = Some((now, next));
    }

    /// Tells the client of them, if it is time to. Returns whether it was.
    pub(super) fn tell<C: ConsumerContext + ClientContext>(&self, consumer: &BaseConsumer<C>) -> bool {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some((since, next)), Some(servers), now) = (*away, &self.servers, Instant::now()) else { return false };
        if now < next {
            return false;
        }
        *away = (now < since + WHILE).then_some((since, now + AGAIN));
        // SAFETY: the client is alive while we borrow it, and the list is a C string that it copies.
        unsafe { rd::rd_kafka_brokers_add(consumer.client().native_ptr(), servers.as_ptr()) };
        true
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;

    use super::*;

    #[test]
    fn a_client_is_told_for_a_while_and_no_longer() {
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", "127.0.0.1:1").create().unwrap();
        let brokers = Brokers::new("127.0.0.1:1");
        assert!(!brokers.tell(&consumer), "nothing is wrong");
        brokers.are_away();
        assert!(!brokers.tell(&consumer), "not at once");
        let now = Instant::now();
        let ago = |time: Duration| now.checked_sub(time).unwrap();
        *brokers.away.lock().unwrap() = Some((ago(AGAIN), now));
        assert!(brokers.tell(&consumer) && !brokers.tell(&consumer));
        *brokers.away.lock().unwrap() = Some((ago(WHILE), now));
        assert!(brokers.tell(&consumer), "for the last time");
        assert_eq!(*brokers.away.lock().unwrap(), None);
    }
}
