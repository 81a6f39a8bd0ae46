//! What a pipeline asks of Kafka, and the librdkafka properties that follow from it.

use indexmap::IndexMap;
use rdkafka::ClientConfig;

/// Where a pipeline begins that has never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that Kafka has.
    Earliest,
    /// With the next record that comes.
    Latest,
    /// With the first record at or after this time, milliseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
}

/// What to do where Kafka no longer has the records that come next: retention has passed, or the topic was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDataLoss {
    /// The pipeline stops and says what is lost.
    #[default]
    Fail,
    /// It goes on with the oldest record there is; what is lost stays written in the commit log.
    Continue,
}

/// The source of one pipeline.
#[derive(Clone)]
pub struct SourceOptions {
    /// librdkafka properties as configured. May hold secrets: never printed.
    pub properties: IndexMap<String, String>,
    /// The consumer group.
    pub group: String,
    /// The topics.
    pub topics: Vec<String>,
    /// Where to begin.
    pub start: Start,
    /// What to do where records are lost.
    pub on_data_loss: OnDataLoss,
}

/// Ours to choose, theirs to override.
///
/// - `fetch.queue.backoff.ms`: the default of 1000 makes a fast consumer wait a second each time its queue was full.
/// - `queued.max.messages.kbytes`: holds per partition, since each has a queue of its own. A task's memory rests on it,
///   and it is the backpressure: librdkafka stops fetching a partition whose queue is full, and goes on when it isn't.
///   Each message takes some 300 bytes beside its own. 4 MiB are enough for 80 MB/s of one partition at 50 ms to the broker;
///   the reference job takes a third less memory than with 16 MiB, and no more CPU.
/// - `queued.min.messages`: the same bound for small records, for which those 300 bytes are most of it. Six partitions of 27-byte records
///   took 328 MiB with librdkafka's default of 100000, and take 194.
/// - `topic.metadata.refresh.interval.ms`: a topic made after the start is found within this time.
const DEFAULTS: [(&str, &str); 7] = [
    ("client.id", "rillgate"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "4096"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("socket.nagle.disable", "true"),
];

/// What the commit protocol stands on: offsets come from the commit log, and nothing is reset silently.
///
/// `enable.partition.eof` loses records (seen with librdkafka 2.12.1): a batch that holds the end-of-partition event moves
/// the position past the offset that comes next, and a rebalance goes on from there.
const REQUIRED: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "false"),
];

impl SourceOptions {
    /// `bootstrap.servers`, for messages.
    pub fn servers(&self) -> &str {
        self.properties.get("bootstrap.servers").map_or("(bootstrap.servers is not set)", String::as_str)
    }

    /// The properties that may not be set, because delivery stands on them.
    pub fn reserved_properties() -> impl Iterator<Item = &'static str> {
        REQUIRED.iter().map(|(name, _)| *name).chain(["group.id"])
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let given = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in DEFAULTS.into_iter().chain(given).chain(REQUIRED) {
            config.set(name, value);
        }
        config.set("group.id", &self.group);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_properties_override_defaults_but_not_what_delivery_stands_on() {
        let options = SourceOptions {
            properties: [("queued.min.messages", "7"), ("auto.offset.reset", "latest")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            group: "g".to_owned(),
            topics: vec!["t".to_owned()],
            start: Start::Earliest,
            on_data_loss: OnDataLoss::Fail,
        };
        let config = options.client_config();
        assert_eq!(config.get("queued.min.messages"), Some("7"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("group.id"), Some("g"));
    }
}
