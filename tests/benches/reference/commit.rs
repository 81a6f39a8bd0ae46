//! How long a small epoch takes to commit: from its bytes handed over to the time that every reader sees its file. The same
//! code as in a task, without what comes before it.

use std::time::Instant;

use bytes::Bytes;
use rillgate::commit::{Commit, LogOptions, Stage, Store, StoreOptions, TaskLog, folder};

use crate::common;
use support::store::{Place, runtime};

/// Epochs that are committed, on each kind of store.
const COMMITS: usize = 200;
/// The one file of an epoch.
const FILE_BYTES: usize = 64 << 10;

/// Commits on local files and on S3.
pub fn measure() {
    println!("{COMMITS} commits of one file of {FILE_BYTES} bytes, ms: p50, p99, max");
    for (name, place) in [("local", Place::local()), ("s3", Place::s3())] {
        let millis = commits(&place);
        let (p50, p99) = (millis[COMMITS / 2], millis[COMMITS * 99 / 100]);
        println!("{name:<8} {p50:>8.2} {p99:>8.2} {:>8.2}", millis[COMMITS - 1]);
        common::record(&format!("commit_{name}_p50_ms"), p50, "ms");
        common::record(&format!("commit_{name}_p99_ms"), p99, "ms");
        let files = place.list("bench").len();
        assert_eq!(files, COMMITS, "files that a reader sees on {name}");
    }
}

/// What each commit took, sorted.
fn commits(place: &Place) -> Vec<f64> {
    let store = Store::open(&options(place)).expect("a store");
    let folder = folder("bench", "topic", 0);
    let options = LogOptions::new(std::time::Duration::from_secs(3600 * 24), true);
    let claim = TaskLog::claim(store.clone(), folder.clone(), "bench".to_owned(), options, |_| async { Ok(0) });
    let mut log = runtime().block_on(claim).expect("a log of our own");
    let mut stage = Stage::new(store, folder, log.attempt().to_owned(), runtime().handle().clone());
    let mut millis: Vec<f64> = (0..COMMITS as i64)
        .map(|epoch| {
            let bytes = Bytes::from(vec![epoch as u8; FILE_BYTES]);
            let begin = Instant::now();
            stage.write(0, 0, bytes);
            stage.close(0, 0, format!("bench/topic-0-{epoch}-0.parquet"), 1);
            let staged = stage.take();
            runtime().block_on(async {
                let (files, _) = staged.finish().await.expect("files staged");
                let commit = Commit { start: epoch, end: epoch + 1, files, ..Commit::default() };
                log.commit(commit, |_| {}).await.expect("an epoch committed");
            });
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    millis
}

fn options(place: &Place) -> StoreOptions {
    match place {
        Place::Local(folder) => {
            StoreOptions { url: folder.path().display().to_string(), control: None, options: Default::default() }
        }
        Place::S3 { server, prefix, .. } => {
            let options = [
                ("aws_endpoint", server.endpoint.as_str()),
                ("aws_access_key_id", &server.key),
                ("aws_secret_access_key", &server.secret),
                ("aws_region", "us-east-1"),
                ("aws_allow_http", "true"),
            ];
            let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
            StoreOptions { url: format!("s3://{}/{prefix}", server.bucket), control: None, options }
        }
    }
}
