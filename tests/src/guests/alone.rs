//! Each guest under the plugin layer by itself: the reason is exactly what it should be, and what comes out is what went in.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use rillgate::batch::{DataType, Field, RecordBatch, Schema};
use rillgate::plugin::{ApplyError, BatchTime, Engine, Limits, PluginError, Transform};

use super::{Guest, MEMORY_MIB, OUTPUT_MIB, Outcome, aggregates, corpus};

/// Calls of a guest that isn't expected to fail in each.
pub const CALLS: usize = 40;

#[test]
fn every_guest_becomes_what_it_says() {
    let engine = Engine::new(None).unwrap();
    let guests = corpus();
    let next = AtomicUsize::new(0);
    let work = || {
        let folder = tempfile::tempdir().unwrap();
        let mut wrong = Vec::new();
        while let Some(guest) = guests.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(check(&engine, folder.path(), guest).err().map(|error| format!("{}: {error}", guest.name)));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), guests.len(), wrong.join("\n"));
}

/// `n`, `id` and `x`, of which the last is null, so that it has a bitmap; the same in each row but for `n`.
pub fn batch(rows: usize) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..rows as i64).map(Some).collect::<Int64Array>()),
        Arc::new((0..rows).map(|_| Some("Süd")).collect::<StringArray>()),
        Arc::new((0..rows).map(|_| None).collect::<Float64Array>()),
    ];
    let fields = vec![
        Field::new("n", DataType::Int64, false),
        Field::new("id", DataType::Utf8, false),
        Field::new("x", DataType::Float64, true),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// What was opened, if that is what was expected; `None` for what was refused as expected.
pub fn as_expected<T>(opened: Result<T, PluginError>, path: &Path, guest: &Guest) -> Result<Option<T>, String> {
    match (opened, &guest.outcome) {
        (Err(error), Outcome::Refused(why)) => {
            let error = error.to_string();
            let words = error.strip_prefix(&format!("{} ", path.display())).unwrap_or(&error);
            if why.matches(words) { Ok(None) } else { Err(format!("refused: {words}")) }
        }
        (Err(error), _) => Err(format!("refused: {error}")),
        (Ok(_), Outcome::Refused(_)) => Err("was opened".to_owned()),
        (Ok(opened), _) => Ok(Some(opened)),
    }
}

fn check(engine: &Engine, folder: &Path, guest: &Guest) -> Result<(), String> {
    let path = folder.join("guest.wasm");
    std::fs::write(&path, &guest.bytes).map_err(|error| error.to_string())?;
    let limits = Limits { memory: MEMORY_MIB << 20, time: guest.time_limit, output: OUTPUT_MIB << 20 };
    if guest.is_aggregate() {
        return aggregates::check(engine, &path, &limits, guest);
    }
    let schema = batch(1).schema();
    let opened = engine.load(&path).and_then(|plugin| Transform::open(&plugin, &limits, &[], &schema));
    let Some(mut transform) = as_expected(opened, &path, guest)? else { return Ok(()) };
    let mut call = |rows: usize| -> Result<(), ApplyError> {
        let applied = transform.apply(&batch(rows), BatchTime::default())?;
        let is_input = applied.rejected.is_empty() && applied.batches == [batch(rows)];
        if is_input { Ok(()) } else { Err(ApplyError::Failed(format!("gave {applied:?}"))) }
    };
    let fails = |result: Result<(), ApplyError>| result.map_err(|error| error.to_string());
    match &guest.outcome {
        Outcome::Refused(_) => Ok(()),
        Outcome::FailsIn(_) => Err("has an outcome of aggregates".to_owned()),
        Outcome::Passes => (0..CALLS).try_for_each(|index| fails(call(1 + index % 9))),
        // A fresh instance says the same, and a larger batch fails, too.
        Outcome::Fails(why) => {
            for _ in 0..2 {
                match fails(call(1)) {
                    Err(error) if why.matches(&error) => {}
                    Err(error) => return Err(format!("fails: {error}")),
                    Ok(()) => return Err("did not fail".to_owned()),
                }
            }
            fails(call(9)).err().map(drop).ok_or_else(|| "did not fail on nine rows".to_owned())
        }
        Outcome::Some(why) => {
            let results: Vec<Result<(), String>> = (0..CALLS).map(|index| fails(call(1 + index % 9))).collect();
            let failed: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
            match failed.iter().find(|error| !why.matches(error)) {
                Some(error) => Err(format!("fails: {error}")),
                None if failed.is_empty() || failed.len() == CALLS => Err(format!("{} of {CALLS} fail", failed.len())),
                None => Ok(()),
            }
        }
    }
}
