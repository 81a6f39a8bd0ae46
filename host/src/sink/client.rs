//! Clients of librdkafka: their properties, what they report, and what their errors mean.

use std::sync::{Mutex, PoisonError};

use indexmap::IndexMap;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// Ours to choose, theirs to override.
///
/// - `partitioner`: as Java's clients do it, so that records meet those of others by key.
/// - `queue.buffering.max.kbytes`: bounds the memory of a task that sends; the default is 1 GiB.
/// - `topic.metadata.refresh.interval.ms`: as for the source.
const DEFAULTS: [(&str, &str); 5] = [
    ("client.id", "rillgate"),
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.kbytes", "32768"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("socket.nagle.disable", "true"),
];

fn config(given: &IndexMap<String, String>, required: &[(&str, &str)]) -> ClientConfig {
    let given = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all = DEFAULTS.into_iter().chain(given).chain(required.iter().copied());
    let mut config = ClientConfig::new();
    for (name, value) in all {
        config.set(name, value);
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// A transactional producer. Whoever has the same id later fences it.
pub(super) fn producer(given: &IndexMap<String, String>, id: &str) -> ClientConfig {
    config(given, &[("transactional.id", id), ("enable.idempotence", "true"), ("acks", "all")])
}

/// A producer without transactions, whose records come once and in order.
pub(super) fn idempotent(given: &IndexMap<String, String>) -> ClientConfig {
    config(given, &[("enable.idempotence", "true"), ("acks", "all")])
}

/// A consumer that never consumes: it reads the offsets of a group, and waits for open transactions that change them.
pub(super) fn reader(given: &IndexMap<String, String>, group: &str) -> ClientConfig {
    config(given, &[("group.id", group), ("enable.auto.commit", "false"), ("isolation.level", "read_committed")])
}

/// A client for questions about topics.
pub(super) fn admin(given: &IndexMap<String, String>) -> ClientConfig {
    config(given, &[])
}

/// What a client reports.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The first record of the transaction that Kafka didn't take: its topic, and why.
    undelivered: Mutex<Option<(String, RDKafkaErrorCode)>>,
    /// What the client complained about last.
    trouble: Mutex<Option<String>>,
}

impl Events {
    /// Forgets what has become of earlier records.
    pub(super) fn begin(&self) {
        *lock(&self.undelivered) = None;
    }

    /// The first record since [`Events::begin`] that Kafka didn't take.
    pub(super) fn undelivered(&self) -> Option<(String, RDKafkaErrorCode)> {
        lock(&self.undelivered).clone()
    }

    /// `reason`, and what the client complained about last.
    pub(super) fn explain(&self, reason: &str) -> String {
        match lock(&self.trouble).as_deref() {
            Some(trouble) if !reason.contains(trouble) => format!("{reason} ({trouble})"),
            _ => reason.to_owned(),
        }
    }
}

impl ClientContext for Events {
    fn error(&self, error: KafkaError, reason: &str) {
        // While a broker is away the same is said again and again.
        tracing::debug!(%error, reason, "Kafka");
        *lock(&self.trouble) = Some(reason.to_owned());
    }

    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // Properties of consumers are no mistake: source and sink are configured as one.
        if facility != "CONFWARN" {
            tracing::debug!(facility, message, "librdkafka");
        }
    }
}

impl ConsumerContext for Events {}

impl ProducerContext for Events {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        // Purged when a transaction is aborted: the reason for that came before.
        if !matches!(code, RDKafkaErrorCode::PurgeInflight | RDKafkaErrorCode::PurgeQueue) {
            let topic = rdkafka::Message::topic(message).to_owned();
            lock(&self.undelivered).get_or_insert((topic, code));
        }
    }
}

/// What is to be done about an error in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The same call again: it goes on where it was.
    Retry(String),
    /// The transaction is void: abort it, and begin it again.
    Abort(String),
    /// This producer is of no use any more: fenced, most likely.
    Over(String),
    /// Kafka refuses, and waiting doesn't mend it.
    Refused(String),
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        let code = error.rdkafka_error_code();
        let reason = error.to_string();
        if code.is_some_and(is_refusal) {
            return Self::Refused(reason);
        }
        match &error {
            KafkaError::Transaction(inner) if inner.is_fatal() => Self::Over(inner.string()),
            KafkaError::Transaction(inner) if inner.txn_requires_abort() => Self::Abort(inner.string()),
            KafkaError::Transaction(inner) if inner.is_retriable() => Self::Retry(inner.string()),
            KafkaError::Flush(_) => Self::Retry(reason),
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => Self::Retry(reason),
            KafkaError::MessageProduction(code) if !is_end(*code) => Self::Abort(reason),
            _ => Self::Over(reason),
        }
    }
}

/// Whether the producer has come to its end by this.
fn is_end(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced)
}

/// Whether waiting doesn't mend it.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::InvalidTransactionTimeout
            | Code::UnsupportedForMessageFormat
    )
}

/// A lock whose holder panicked holds plain data all the same.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
