//! What an operator tells a running host, and what only an operator may see.
//!
//! | method and path | what it does |
//! |---|---|
//! | `GET /api/v1/pipelines/{name}/versions` | which versions there are, and what became of those before |
//! | `GET /api/v1/pipelines/{name}/sample` | what the live version makes of some of the newest rows, and what the one before it does |
//! | `POST /api/v1/pipelines/{name}/promote` | has the version go live that waits, or that did not pass |
//! | `POST /api/v1/pipelines/{name}/rollback?to=` | has the version before be live again, or that of a plugin's digest |
//! | `POST /api/v1/pipelines/{name}/plugins/{index}` | puts the plugin in the body in the place of this one |
//! | `POST /api/v1/plan` | what the configuration in the body would do in the place of that which is live |
//! | `POST /api/v1/reload` | reads it again |
//!
//! What never happens: a page in someone's browser gets here. Without a token only this machine is heard, by its own name or address,
//! and only with a header that no page can send to another site without asking first.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State as Shared};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::config::HttpOptions;
use crate::reload::{Command, Reload};

/// Sent by `rillgate plugin` and whoever else means it.
pub const HEADER: &str = "x-rillgate";
/// The largest plugin that can be pushed: as large as any that is loaded.
const MAX_BODY_BYTES: usize = 256 << 20;

#[derive(Clone)]
struct Admin {
    reload: Arc<Reload>,
    options: HttpOptions,
}

#[derive(Deserialize)]
struct To {
    to: Option<String>,
}

/// The routes of operators.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(reload: Arc<Reload>, options: HttpOptions) -> Router<S> {
    let admin = Admin { reload, options };
    Router::new()
        .route("/api/v1/pipelines/{name}/versions", get(versions))
        .route("/api/v1/pipelines/{name}/sample", get(sample))
        .route("/api/v1/pipelines/{name}/promote", post(promote))
        .route("/api/v1/pipelines/{name}/rollback", post(rollback))
        .route("/api/v1/pipelines/{name}/plugins/{index}", post(push).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)))
        .route("/api/v1/plan", post(plan))
        .route("/api/v1/reload", post(reload_all))
        .layer(from_fn_with_state(admin.clone(), admit))
        .with_state(admin)
}

async fn versions(Shared(admin): Shared<Admin>, Path(name): Path<String>) -> Response {
    ask(admin, Command::Show(name)).await
}

async fn sample(Shared(admin): Shared<Admin>, Path(name): Path<String>) -> Response {
    ask(admin, Command::Sample(name)).await
}

async fn promote(Shared(admin): Shared<Admin>, Path(name): Path<String>) -> Response {
    ask(admin, Command::Promote(name)).await
}

async fn rollback(Shared(admin): Shared<Admin>, Path(name): Path<String>, Query(To { to }): Query<To>) -> Response {
    ask(admin, Command::Rollback(name, to)).await
}

async fn push(Shared(admin): Shared<Admin>, Path((name, index)): Path<(String, usize)>, body: Bytes) -> Response {
    ask(admin, Command::Push(name, index, body.into())).await
}

async fn plan(Shared(admin): Shared<Admin>, text: String) -> Response {
    ask(admin, Command::Plan(text)).await
}

async fn reload_all(Shared(admin): Shared<Admin>) -> Response {
    ask(admin, Command::Reload).await
}

/// Asks the thread that does it. Nothing is blocked by waiting for that: uploads and commits need the same threads.
async fn ask(admin: Admin, command: Command) -> Response {
    match admin.reload.ask(command).await {
        Ok(answer) => Json(answer).into_response(),
        Err(reason) => (StatusCode::CONFLICT, Json(json!({ "error": reason }))).into_response(),
    }
}

async fn admit(Shared(admin): Shared<Admin>, request: Request, next: Next) -> Response {
    match may(&admin.options, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(reason) => (StatusCode::FORBIDDEN, Json(json!({ "error": reason }))).into_response(),
    }
}

/// Whether a request is an operator's; `Err` says what it lacks.
fn may(options: &HttpOptions, headers: &HeaderMap) -> Result<(), String> {
    if !headers.contains_key(HEADER) {
        return Err(format!("the header `{HEADER}` is missing"));
    }
    if let Some(token) = &options.token {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        // Of their digests, so that the time it takes tells nothing of the token.
        return match Sha256::digest(given) == Sha256::digest(&token.0) {
            true => Ok(()),
            false => Err("the token is another: `Authorization: Bearer` with that of [http]".to_owned()),
        };
    }
    if !options.listen.ip().is_loopback() {
        return Err("others than this machine could ask: set a `token` in [http]".to_owned());
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_here = name == "localhost"
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match is_here {
        true => Ok(()),
        false => Err(format!("{host} is not this machine's own name: ask localhost, or set a `token` in [http]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Token;

    fn asked(options: &HttpOptions, headers: &[(&'static str, &str)]) -> Result<(), String> {
        let headers = headers.iter().map(|(name, value)| {
            let name = axum::http::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        may(options, &headers.collect())
    }

    #[test]
    fn without_a_token_only_this_machine_is_heard() {
        let options = HttpOptions::default();
        for host in ["localhost:9464", "127.0.0.1:9464", "localhost", "[::1]:9464"] {
            assert_eq!(asked(&options, &[("x-rillgate", "1"), ("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example:9464", "10.0.0.1:9464", "", "localhost.evil.example"] {
            assert!(asked(&options, &[("x-rillgate", "1"), ("host", host)]).is_err(), "{host}");
        }
        assert!(asked(&options, &[("host", "localhost")]).unwrap_err().contains("x-rillgate"));
        let open = HttpOptions { listen: "0.0.0.0:9464".parse().unwrap(), ..options };
        assert!(asked(&open, &[("x-rillgate", "1"), ("host", "localhost")]).unwrap_err().contains("token"));
    }

    /// All wait at once, and something else still gets a thread of those that may block.
    #[test]
    fn waiting_for_an_answer_holds_no_thread() {
        const ASKED: usize = 8;
        let (reload, inbox) = Reload::without_thread();
        let admin = Admin { reload: Arc::new(reload), options: HttpOptions::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let answers = (0..ASKED).map(|_| ask(admin.clone(), Command::Reload));
        let answered = std::thread::spawn(move || {
            // `Err`: not all of them come.
            let next = || inbox.recv_timeout(std::time::Duration::from_secs(10));
            let all: Result<Vec<_>, _> = (0..ASKED).map(|_| next()).collect();
            all.map(|all| all.into_iter().for_each(|(_, tell)| tell.send(Ok(json!({}))).unwrap()))
        });
        let statuses = runtime.block_on(futures::future::join_all(answers)).into_iter().map(|answer| answer.status());
        assert_eq!(statuses.collect::<Vec<_>>(), [StatusCode::OK; ASKED]);
        answered.join().unwrap().unwrap();
    }

    #[test]
    fn with_a_token_whoever_has_it_is_heard() {
        let listen = "0.0.0.0:9464".parse().unwrap();
        let options = HttpOptions { listen, token: Some(Token("opensesame".to_owned())) };
        let with =
            |given: &str| asked(&options, &[("x-rillgate", "1"), ("host", "rillgate:1"), ("authorization", given)]);
        assert_eq!(with("Bearer opensesame"), Ok(()));
        for wrong in ["Bearer opensesam", "Bearer ", "opensesame", "Basic opensesame"] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
        assert!(asked(&options, &[("authorization", "Bearer opensesame")]).is_err(), "a page could send that");
        assert!(!format!("{options:?}").contains("sesame"));
    }
}
