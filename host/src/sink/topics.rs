//! The topics that records go to: what they are like, what they should be like, and making those that aren't there.

use std::collections::HashMap;
use std::time::Duration;

use indexmap::IndexMap;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;

use super::client::{self, Events};
use crate::encode::TopicOptions;

/// How long a cluster that has just told its topics may take to tell their configuration. Those that never do (librdkafka's own) let
/// the question time out.
const CONFIG_PATIENCE: Duration = Duration::from_secs(3);

/// Why a pipeline's topics can't be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// librdkafka doesn't take a property: mend the configuration.
    #[error("[kafka]: {0}")]
    Property(String),
    /// No broker answers.
    #[error("topics can't be looked at: {0}")]
    Unreachable(String),
    /// A topic that isn't there can't be made.
    #[error("topic {topic} can't be created: {reason}")]
    Create {
        /// The topic.
        topic: String,
        /// What the cluster says.
        reason: String,
    },
    /// A record that was to be sent isn't there.
    #[error("records for {topic} were not delivered: {reason}")]
    Undelivered {
        /// The topic.
        topic: String,
        /// What the cluster says.
        reason: String,
    },
    /// A topic is of another kind than the pipeline needs.
    #[error("{0}")]
    Differs(String),
}

/// A topic that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many partitions it has.
    pub partitions: usize,
    /// Its configuration, as far as the cluster tells.
    pub config: HashMap<String, String>,
}

impl Found {
    /// Changes the options to what the topic is really like: whether it is compacted, and how large a record may be of what a client
    /// with these properties sends.
    pub fn apply_to(&self, options: &mut TopicOptions, properties: &IndexMap<String, String>) {
        if let Some(policy) = self.config.get("cleanup.policy") {
            options.config.insert("cleanup.policy".to_owned(), policy.clone());
        }
        let bytes = |of: Option<&String>| of.and_then(|bytes| bytes.parse().ok());
        options.limit_to(bytes(properties.get("message.max.bytes")), bytes(self.config.get("max.message.bytes")));
    }
}

/// What is otherwise at a topic than the sink says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The sink's key: `partitions`, `config.retention.ms`.
    pub key: String,
    /// What is there, and what was asked for.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Whether the pipeline can't run so.
    pub is_error: bool,
}

/// What differs, of a topic that is there.
pub fn differences(options: &TopicOptions, found: &Found) -> Vec<Difference> {
    let mut all = Vec::new();
    let topic = &options.topic;
    if let Some(asked) = options.partitions.filter(|asked| found.partitions < *asked as usize) {
        let have = found.partitions;
        all.push(Difference {
            key: "partitions".to_owned(),
            message: format!("topic {topic} has {have} partitions, not {asked}"),
            hint: "rillgate adds none: keys would move to other partitions. Add them yourself, or ask for fewer"
                .to_owned(),
            is_error: false,
        });
    }
    for (name, asked) in &options.config {
        let Some(there) = found.config.get(name).filter(|there| !is_same(name, there, asked)) else { continue };
        all.push(Difference {
            key: format!("config.{name}"),
            message: format!("topic {topic} has {name} = {there}, not {asked}"),
            hint: format!("rillgate changes no topic that is there: change {name} at the topic, or here"),
            // What readers find in the topic depends on it.
            is_error: name == "cleanup.policy",
        });
    }
    all
}

fn is_same(name: &str, one: &str, other: &str) -> bool {
    let parts = |text: &str| {
        let mut parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        parts.sort();
        parts
    };
    if name == "cleanup.policy" { parts(one) == parts(other) } else { one == other }
}

fn connect(properties: &IndexMap<String, String>) -> Result<AdminClient<Events>, SinkError> {
    AdminClient::from_config_and_context(&client::admin(properties), Events::default())
        .map_err(|error| SinkError::Property(error.to_string()))
}

/// What the topics are like that are there. Blocks for about `timeout`, at most.
pub fn look(
    properties: &IndexMap<String, String>,
    topics: &[&str],
    runtime: &Handle,
    timeout: Duration,
) -> Result<HashMap<String, Found>, SinkError> {
    let admin = connect(properties)?;
    // Asked for one by one, a cluster might make them.
    let metadata = admin.inner().fetch_metadata(None, timeout);
    let metadata =
        metadata.map_err(|error| SinkError::Unreachable(admin.inner().context().explain(&error.to_string())))?;
    let there = metadata.topics().iter().filter(|topic| topics.contains(&topic.name()) && topic.error().is_none());
    let mut found: HashMap<String, Found> = there
        .map(|topic| (topic.name().to_owned(), Found { partitions: topic.partitions().len(), config: HashMap::new() }))
        .collect();
    let names: Vec<String> = found.keys().cloned().collect();
    let wanted: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    if wanted.is_empty() {
        return Ok(found);
    }
    let options = AdminOptions::new().request_timeout(Some(timeout.min(CONFIG_PATIENCE)));
    match runtime.block_on(admin.describe_configs(&wanted, &options)) {
        Ok(described) => {
            for resource in described.into_iter().filter_map(Result::ok) {
                let rdkafka::admin::OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
                let Some(found) = found.get_mut(name) else { continue };
                let entries = resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
                found.config.extend(entries);
            }
        }
        // Not everyone may look, and not every cluster tells.
        Err(error) => tracing::debug!(%error, "the configuration of topics isn't told"),
    }
    Ok(found)
}

/// Makes the topics that aren't there; says what those that are there are like.
pub fn create_missing(
    properties: &IndexMap<String, String>,
    topics: &[&TopicOptions],
    runtime: &Handle,
    timeout: Duration,
) -> Result<HashMap<String, Found>, SinkError> {
    let names: Vec<&str> = topics.iter().map(|options| options.topic.as_str()).collect();
    let found = look(properties, &names, runtime, timeout)?;
    let mut missing: Vec<NewTopic<'_>> = Vec::new();
    for options in topics {
        let topic = options.topic.as_str();
        if found.contains_key(topic) || missing.iter().any(|other| other.name == topic) {
            continue;
        }
        let replication = TopicReplication::Fixed(options.replication.unwrap_or(-1));
        let new = NewTopic::new(topic, options.partitions.unwrap_or(-1), replication);
        missing.push(options.config.iter().fold(new, |new, (name, value)| new.set(name, value)));
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let failed = |topic: &str, reason: String| SinkError::Create { topic: topic.to_owned(), reason };
    let all = missing.iter().map(|topic| topic.name).collect::<Vec<_>>().join(", ");
    let admin = connect(properties)?;
    // Until they are there for all brokers, within reason.
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let created = match runtime.block_on(admin.create_topics(&missing, &options)) {
        Ok(created) => created,
        Err(KafkaError::AdminOp(code)) => return Err(failed(&all, code.to_string())),
        Err(error) => return Err(failed(&all, error.to_string())),
    };
    for topic in created {
        match topic {
            Ok(topic) => tracing::info!(topic, "created"),
            // Somebody else has just done it.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(failed(&topic, code.to_string())),
        }
    }
    // What it was created with may not be all that holds for it.
    look(properties, &names, runtime, timeout)
}
