//! A registry inside this process, for the demo: in memory, and no more of the API than rillgate itself asks for.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::avro::{Schema, SchemaText};

/// A registry on a free port of localhost, for as long as its runtime lives.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    url: String,
}

/// Schemas by id, from 1, and the ids of each subject's versions.
#[derive(Debug, Default)]
struct Content {
    schemas: Vec<String>,
    subjects: HashMap<String, Vec<u32>>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Content>>);

impl EmbeddedRegistry {
    /// Starts one. Blocks until it listens.
    ///
    /// # Errors
    /// No port to be had, in words.
    pub fn start(runtime: &Handle) -> Result<Self, String> {
        let said = |error: std::io::Error| format!("embedded schema registry: {error}");
        let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(said)?;
        listener.set_nonblocking(true).map_err(said)?;
        let url = format!("http://{}", listener.local_addr().map_err(said)?);
        let _within = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(said)?;
        let routes = Router::new()
            .route("/schemas/ids/{id}", get(by_id))
            .route("/subjects/{subject}/versions", post(register))
            .route("/subjects/{subject}/versions/{version}", get(version))
            .with_state(Shared::default());
        runtime.spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the embedded schema registry has ended");
            }
        });
        Ok(Self { url })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn by_id(State(shared): State<Shared>, Path(id): Path<u32>) -> Response {
    let content = shared.lock();
    match (id as usize).checked_sub(1).and_then(|at| content.schemas.get(at)) {
        Some(schema) => Json(json!({ "schema": schema })).into_response(),
        None => error(StatusCode::NOT_FOUND, 40_403, "Schema not found"),
    }
}

async fn version(State(shared): State<Shared>, Path((subject, version)): Path<(String, String)>) -> Response {
    let content = shared.lock();
    let Some(versions) = content.subjects.get(&subject) else {
        return error(StatusCode::NOT_FOUND, 40_401, "Subject not found");
    };
    let number = if version == "latest" { Some(versions.len()) } else { version.parse().ok() };
    match number.and_then(|number: usize| Some((number, *versions.get(number.checked_sub(1)?)?))) {
        Some((number, id)) => {
            let schema = &content.schemas[id as usize - 1];
            Json(json!({ "subject": subject, "id": id, "version": number, "schema": schema })).into_response()
        }
        None => error(StatusCode::NOT_FOUND, 40_402, "Version not found"),
    }
}

async fn register(State(shared): State<Shared>, Path(subject): Path<String>, body: String) -> Response {
    let body: Option<Value> = serde_json::from_str(&body).ok();
    let schema = body.as_ref().and_then(|body| body.get("schema")?.as_str()).unwrap_or_default();
    let text = SchemaText { schema: schema.to_owned(), references: Vec::new() };
    if let Err(reason) = Schema::parse(&text) {
        return error(StatusCode::UNPROCESSABLE_ENTITY, 42_201, &format!("Invalid schema: {reason}"));
    }
    let mut content = shared.lock();
    let at = content.schemas.iter().position(|known| known == schema).unwrap_or_else(|| {
        content.schemas.push(text.schema);
        content.schemas.len() - 1
    });
    let id = at as u32 + 1;
    let versions = content.subjects.entry(subject).or_default();
    if !versions.contains(&id) {
        versions.push(id);
    }
    Json(json!({ "id": id })).into_response()
}

fn error(status: StatusCode, code: u32, message: &str) -> Response {
    (status, Json(json!({ "error_code": code, "message": message }))).into_response()
}
