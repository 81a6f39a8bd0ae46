//! Calls of plugins that failed, kept as files below the pipeline's control folder for `rillgate replay`.
//!
//! What never happens: a task waits for it, or fails since it can't be had; nothing is counted by it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};

use super::Task;
use crate::batch::Messages;
use crate::plugin::{FailedCall, Plugins};

/// Files kept of one version of a plugin in one pipeline, by one process.
const MOST: usize = 5;
/// Columns of more than this are not kept, bytes.
const LARGEST: usize = 16 << 20;

/// How many are kept of which pipeline and plugin.
static KEPT: Mutex<BTreeMap<(String, String), usize>> = Mutex::new(BTreeMap::new());

/// A call that failed, and what it was for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The pipeline.
    pub pipeline: String,
    /// Digest of its configuration at that time.
    pub config: String,
    /// Where the messages of the batch came from.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the batch's first message.
    pub first_offset: i64,
    /// The offset of its last.
    pub last_offset: i64,
    /// The call.
    #[serde(flatten)]
    pub call: FailedCall,
}

impl Task {
    /// Keeps what plugins have failed on since this was last called: messages alone; or, where the task can't go on, anything.
    pub(super) fn keep_failures(&self, plugins: &mut Plugins, is_fatal: bool) {
        for call in plugins.take_failed(is_fatal) {
            if !may_keep(&self.plan.pipeline, &call.digest) {
                continue;
            }
            let messages = self.pending.len();
            let offset = |index: Option<usize>| index.map_or(self.epoch.end, |index| self.pending.offset(index));
            let failure = Failure {
                pipeline: self.plan.pipeline.clone(),
                config: self.plan.config.clone(),
                topic: self.queue.partition.topic.clone(),
                partition: self.queue.partition.partition,
                first_offset: offset((messages > 0).then_some(0)),
                last_offset: offset(messages.checked_sub(1)),
                call,
            };
            let store = self.resources.store.clone();
            self.resources.runtime.spawn(async move {
                let pipeline = failure.pipeline.clone();
                match keep(&store, &failure).await {
                    Ok(path) => {
                        tracing::warn!(pipeline, path, "a call that a plugin failed in is kept: rillgate replay {path}")
                    }
                    Err(error) => tracing::warn!(pipeline, error, "a call that a plugin failed in can't be kept"),
                }
            });
        }
    }
}

/// Whether one more may be kept; it counts then.
fn may_keep(pipeline: &str, digest: &str) -> bool {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.entry((pipeline.to_owned(), digest.to_owned())).or_default();
    *kept += 1;
    *kept <= MOST
}

/// Writes a file; returns its path in the store.
async fn keep(store: &crate::commit::Store, failure: &Failure) -> Result<String, String> {
    let bytes = failure.call.bytes();
    if bytes > LARGEST {
        return Err(format!("it was given {bytes} bytes; {LARGEST} are the most"));
    }
    let content = serde_json::to_vec(failure).map_err(|error| error.to_string())?;
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "");
    let id = &uuid::Uuid::new_v4().simple().to_string()[..8];
    let path = format!("_rillgate/{}/failures/{time}-{id}.json", failure.pipeline);
    let to = store.control.path(&path).map_err(|error| error.to_string())?;
    store.control.store.put(&to, content.into()).await.map_err(|error| error.to_string())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_kept_of_each_version_of_a_plugin_in_a_pipeline() {
        let all = |pipeline: &str, digest: &str| (0..2 * MOST).filter(|_| may_keep(pipeline, digest)).count();
        assert_eq!([all("kept_test", "a"), all("kept_test", "b"), all("kept_test_2", "a")], [MOST; 3]);
        assert_eq!(all("kept_test", "a"), 0);
    }
}
