//! A schema registry that speaks Confluent's REST API: schemas by id, the newest of a subject, schemas registered.
//!
//! What never happens: a schema counts as unknown because the registry was away, slow, or another kind of server; a password
//! is in an error or a log line.

mod client;
mod embedded;
mod error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::avro::{SchemaText, Schemas};
use client::Client;

pub use embedded::EmbeddedRegistry;
pub use error::RegistryError;

/// How many schemas are asked for at the same time.
const AT_ONCE: usize = 8;
/// How many schemas a schema may refer to, directly or not.
const MAX_REFERENCES: usize = 100;
/// How often something is tried at start, where somebody waits for the answer.
const TRIES: usize = 4;

/// Where the registry is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Its URL, with a base path where it has one: `http://localhost:8081`, `https://host/apis/ccompat/v7`.
    pub url: String,
    /// The user of HTTP's basic authentication.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a password in it, too.
        f.debug_struct("RegistryOptions").field("username", &self.username).finish_non_exhaustive()
    }
}

impl RegistryOptions {
    /// Whether they make sense. Connects to nothing.
    ///
    /// # Errors
    /// [`RegistryError::Options`].
    pub fn check(&self) -> Result<(), RegistryError> {
        client::base_and_login(self).map(drop)
    }
}

/// The newest schema of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its id.
    pub id: u32,
    /// The schema.
    pub schema: SchemaText,
}

/// A schema registry, and the schemas that it was asked for.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    schemas: Arc<Schemas>,
    /// By the id's last bits: an id that many tasks lack is asked for once.
    asking: [Mutex<()>; 16],
}

/// A schema that the registry has, or why it is of no use here.
type Found = Result<SchemaText, String>;

impl Registry {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`RegistryError::Options`].
    pub fn new(options: &RegistryOptions) -> Result<Self, RegistryError> {
        Ok(Self { client: Client::new(options)?, schemas: Arc::default(), asking: Default::default() })
    }

    /// The schemas by id, as far as they have been asked for.
    pub fn schemas(&self) -> &Arc<Schemas> {
        &self.schemas
    }

    /// Asks for the schemas of these ids, for as long as it takes: ends when each is known, or known not to be there.
    pub async fn fetch(&self, ids: &[u32]) {
        futures::stream::iter(ids).for_each_concurrent(AT_ONCE, |id| self.fetch_one(*id)).await;
    }

    async fn fetch_one(&self, id: u32) {
        let _alone = self.asking[id as usize % self.asking.len()].lock().await;
        if self.schemas.get(id).is_some() {
            return;
        }
        let asked = (|| self.schema(id))
            .retry(pauses().without_max_times())
            // A password that is refused today may have been changed on one side only: nothing is lost by waiting.
            .when(|error| error.may_pass() || matches!(error, RegistryError::Refused { .. }))
            .notify(|error, pause| tracing::warn!(%error, ?pause, id, "waiting for a schema"));
        match asked.await {
            Ok(Ok(text)) => self.schemas.insert(id, &text),
            Ok(Err(reason)) => self.schemas.insert_unusable(id, reason),
            Err(RegistryError::NotFound(_)) => {
                self.schemas.insert_unusable(id, "the schema registry has no schema of this id".to_owned());
            }
            Err(error) => self.schemas.insert_unusable(id, error.to_string()),
        }
    }

    /// The schema of an id.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], or the registry can't be asked.
    async fn schema(&self, id: u32) -> Result<Found, RegistryError> {
        let answer = self.client.get(&["schemas", "ids", &id.to_string()]).await?;
        self.text(&answer).await
    }

    /// Asks for a subject, once, to see whether the registry answers us at all.
    ///
    /// # Errors
    /// It doesn't.
    pub async fn knock(&self, subject: &str) -> Result<(), RegistryError> {
        match self.client.get(&["subjects", subject, "versions", "latest"]).await {
            Ok(_) | Err(RegistryError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The newest schema of a subject; `None` if there is no such subject.
    ///
    /// # Errors
    /// The registry can't be asked after some tries, or what it has is no Avro.
    pub async fn newest(&self, subject: &str) -> Result<Option<Newest>, RegistryError> {
        let ask = || async {
            let answer = match self.client.get(&["subjects", subject, "versions", "latest"]).await {
                Err(RegistryError::NotFound(_)) => return Ok(None),
                answer => answer?,
            };
            let schema = self
                .text(&answer)
                .await?
                .map_err(|reason| RegistryError::Invalid { subject: subject.to_owned(), reason })?;
            Ok(Some(Newest { id: self.client.id(&answer)?, schema }))
        };
        ask.retry(pauses().with_max_times(TRIES)).when(RegistryError::may_pass).await
    }

    /// Registers a schema under a subject; gives the id that it then has, or has had before.
    ///
    /// # Errors
    /// [`RegistryError::Incompatible`], [`RegistryError::Invalid`], or the registry can't be asked after some tries.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let body = json!({ "schema": schema, "schemaType": "AVRO" });
        let ask = || async {
            let answer = self.client.post(&["subjects", subject, "versions"], &body).await;
            let answer = answer.map_err(|error| error.of_subject(subject))?;
            self.client.id(&answer)
        };
        ask.retry(pauses().with_max_times(TRIES)).when(RegistryError::may_pass).await
    }

    /// The schema of an answer, with all that it refers to.
    async fn text(&self, answer: &Value) -> Result<Found, RegistryError> {
        if let Some(other) = answer.get("schemaType").and_then(Value::as_str).filter(|kind| *kind != "AVRO") {
            return Ok(Err(format!("it is {}, not Avro", error::plain(other))));
        }
        let Some(schema) = answer.get("schema").and_then(Value::as_str) else {
            return Err(self.client.odd("an answer without a schema"));
        };
        let mut references = Vec::new();
        // What is referred to comes before what refers to it; each is looked at twice for that.
        let mut open: Vec<(Value, bool)> = refers_to(answer).into_iter().map(|one| (one, false)).collect();
        let mut seen: Vec<Value> = Vec::new();
        while let Some((reference, asked)) = open.pop() {
            if asked {
                references.push(reference.as_str().unwrap_or_default().to_owned());
                continue;
            }
            if seen.contains(&reference) {
                continue;
            }
            if seen.len() == MAX_REFERENCES {
                return Ok(Err(format!("it refers to more than {MAX_REFERENCES} others")));
            }
            let (subject, version) = (&reference["subject"], &reference["version"]);
            let name = subject.as_str().unwrap_or_default();
            let answer = match self.client.get(&["subjects", name, "versions", &version.to_string()]).await {
                Err(RegistryError::NotFound(_)) => {
                    return Ok(Err(format!("it refers to `{}`, which the registry hasn't got", error::plain(name))));
                }
                answer => answer?,
            };
            seen.push(reference);
            open.push((answer["schema"].clone(), true));
            open.extend(refers_to(&answer).into_iter().map(|one| (one, false)));
        }
        Ok(Ok(SchemaText { schema: schema.to_owned(), references }))
    }
}

/// What a schema refers to: a subject and a version each.
fn refers_to(answer: &Value) -> Vec<Value> {
    let all = answer.get("references").and_then(Value::as_array).into_iter().flatten();
    all.map(|one| json!({ "subject": one["subject"], "version": one["version"] })).collect()
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
}
