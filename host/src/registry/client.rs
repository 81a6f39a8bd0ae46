//! One request and its answer, within bounds of time and size.

use std::error::Error;
use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use url::Url;

use super::RegistryOptions;
use super::error::{RegistryError, plain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
/// An answer is no longer than this: schemas are some kilobytes.
const MAX_ANSWER: usize = 8 << 20;

/// A client of one registry.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    login: Option<Login>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    pub fn new(options: &RegistryOptions) -> Result<Self, RegistryError> {
        let (base, login) = base_and_login(options)?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("rillgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| RegistryError::Options(format!("no client for the schema registry: {}", words(&error))))?;
        Ok(Self { http, base, login })
    }

    pub async fn get(&self, path: &[&str]) -> Result<Value, RegistryError> {
        self.ask(self.http.get(self.url(path))).await
    }

    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, RegistryError> {
        let request = self.http.post(self.url(path)).body(body.to_string());
        self.ask(request.header("content-type", "application/vnd.schemaregistry.v1+json")).await
    }

    /// The id in an answer.
    pub fn id(&self, answer: &Value) -> Result<u32, RegistryError> {
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.odd("an answer without an id"))
    }

    /// It doesn't answer as a registry does.
    pub fn odd(&self, reason: &str) -> RegistryError {
        RegistryError::Away { url: self.base.to_string(), reason: reason.to_owned() }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Made sure of in `new`.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Value, RegistryError> {
        let request = request.header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        let request = match &self.login {
            Some((user, password)) => request.basic_auth(user, password.as_ref()),
            None => request,
        };
        let failed = |error: reqwest::Error| self.odd(&words(&error));
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.odd(&format!("an answer of more than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        if status.is_success() {
            return answer.ok_or_else(|| self.odd("an answer that is no JSON: is this the URL of a registry?"));
        }
        Err(self.refusal(status, answer.as_ref()))
    }

    fn refusal(&self, status: StatusCode, answer: Option<&Value>) -> RegistryError {
        let said = |key: &str| answer.and_then(|answer| answer.get(key));
        let message = plain(said("message").and_then(Value::as_str).unwrap_or_default());
        let code = said("error_code").and_then(Value::as_u64).unwrap_or_default();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                RegistryError::Refused { url: self.base.to_string(), status: status.as_u16() }
            }
            // Any server says 404 of a path that it doesn't serve; a registry says which of its things isn't there.
            StatusCode::NOT_FOUND if (40_400..40_500).contains(&code) => RegistryError::NotFound(message),
            StatusCode::NOT_FOUND => self.odd("HTTP 404, not as a registry says it: is the URL's path right?"),
            StatusCode::CONFLICT => RegistryError::Incompatible { subject: String::new(), reason: message },
            StatusCode::UNPROCESSABLE_ENTITY => RegistryError::Invalid { subject: String::new(), reason: message },
            _ if message.is_empty() => self.odd(&format!("HTTP {}", status.as_u16())),
            _ => self.odd(&format!("HTTP {}: {message}", status.as_u16())),
        }
    }
}

/// User and password.
type Login = (String, Option<String>);

/// The URL without what must not be shown, and who logs in.
pub(super) fn base_and_login(options: &RegistryOptions) -> Result<(Url, Option<Login>), RegistryError> {
    let wrong = |reason: String| RegistryError::Options(format!("the schema registry's URL: {reason}"));
    let mut base = Url::parse(&options.url).map_err(|error| wrong(error.to_string()))?;
    if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
        return Err(wrong("it has to begin with http:// or https://".to_owned()));
    }
    // In every error the URL is shown, so it must not hold a password.
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let login = match (&options.username, base.username()) {
        (Some(user), _) => Some((user.clone(), options.password.clone())),
        (None, "") => None,
        (None, user) => Some((decoded(user), base.password().map(decoded))),
    };
    // These fail for URLs without a host only.
    let _ = (base.set_username(""), base.set_password(None));
    base.set_query(None);
    base.set_fragment(None);
    Ok((base, login))
}

/// An error and its causes, without the URL.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    // The first of them names the URL, and says nothing more.
    let mut cause = error.source();
    let mut words = Vec::new();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    if words.is_empty() { "it can't be asked".to_owned() } else { plain(&words.join(": ")) }
}
