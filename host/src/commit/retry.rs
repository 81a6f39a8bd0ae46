//! Requests to the store, done again for as long as waiting may mend them.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use object_store::Error as StoreError;

use super::task_log::LogError;

/// Does it again until it works, or fails for good.
pub(super) async fn retried<T, F, R>(what: &'static str, operation: F) -> Result<T, LogError>
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, StoreError>>,
{
    let pauses = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times();
    operation
        .retry(pauses)
        .when(may_pass)
        .notify(|error, pause| tracing::warn!(%error, ?pause, "the store refused to {what}; trying again"))
        .await
        .map_err(LogError::Store)
}

/// Whether waiting may mend it. `Generic` is what clients give for 409, 429, 5xx, time-outs and cut connections.
pub(super) fn may_pass(error: &StoreError) -> bool {
    matches!(error, StoreError::Generic { .. } | StoreError::JoinError { .. })
}
