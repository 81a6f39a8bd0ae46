//! What an operator asks a running host: health, metrics, the state of each pipeline, and a page that shows it.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process answers |
//! | `/readyz` | 200 while every pipeline runs; 503 with the reasons once one has failed |
//! | `/metrics` | Prometheus text |
//! | `/api/v1/pipelines` | state and tasks of each pipeline, JSON |
//! | `/` | a page that draws the above |
//!
//! Everything here only reads; what operators may do is in [`admin`]. It listens on localhost unless the configuration says otherwise.

pub mod admin;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;

use crate::config::HttpOptions;
use crate::reload::Reload;
use crate::supervisor::{State, Supervisor};

const PAGE: &str = include_str!("page.html");

/// Buckets of [`crate::metrics::COMMIT_SECONDS`]: a local disk takes milliseconds, a store far away seconds.
const COMMIT_BUCKETS: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];
/// The other histograms are of swaps, which are rare: their quantiles are of the last day, in three parts of which the oldest is dropped.
const SUMMARY_PART: Duration = Duration::from_secs(8 * 3600);

#[derive(Clone)]
struct Served {
    supervisor: Arc<Supervisor>,
    metrics: PrometheusHandle,
}

/// Begins to record metrics. Once, before anything counts.
///
/// # Errors
/// If something else records them already.
pub fn record_metrics() -> Result<PrometheusHandle, String> {
    let builder = PrometheusBuilder::new();
    let builder = builder
        .set_buckets_for_metric(
            metrics_exporter_prometheus::Matcher::Full(crate::metrics::COMMIT_SECONDS.to_owned()),
            &COMMIT_BUCKETS,
        )
        .and_then(|builder| builder.set_bucket_duration(SUMMARY_PART))
        .map_err(|error| error.to_string())?;
    let handle = builder.install_recorder().map_err(|error| error.to_string())?;
    crate::metrics::describe();
    Ok(handle)
}

/// Serves until the runtime ends. Returns the address once it listens.
///
/// # Errors
/// If the address can't be listened on.
pub async fn serve(
    options: &HttpOptions,
    supervisor: Arc<Supervisor>,
    reload: Arc<Reload>,
    metrics: PrometheusHandle,
) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let routes = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
        .route("/api/v1/pipelines", get(pipelines))
        .merge(admin::routes(reload, options.clone()))
        .with_state(Served { supervisor, metrics });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the HTTP side has ended; the pipelines go on");
        }
    });
    Ok(address)
}

async fn ready(Shared(served): Shared<Served>) -> Response {
    let status = served.supervisor.status();
    let failed = status.iter().filter_map(|pipeline| match &pipeline.state {
        State::Failed(reason) => Some(format!("{}: {reason}\n", pipeline.pipeline)),
        _ => None,
    });
    let failed: String = failed.collect();
    if failed.is_empty() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, failed).into_response()
    }
}

async fn prometheus(Shared(served): Shared<Served>) -> Response {
    served.metrics.run_upkeep();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], served.metrics.render()).into_response()
}

async fn pipelines(Shared(served): Shared<Served>) -> Response {
    Json(json!({ "pipelines": served.supervisor.status() })).into_response()
}
