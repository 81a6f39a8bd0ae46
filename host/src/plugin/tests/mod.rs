//! Plugins of all kinds, kind and hostile, run by the real engine.

mod guest;
mod keep;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use tempfile::TempDir;

use super::*;
use crate::batch::{DataType, Field, RecordBatch, Schema, SchemaRef};
pub(crate) use guest::{Guest, identity};
pub(crate) use keep::Keep;

pub(crate) mod aggregates;
mod chain;
mod compiler;
pub(crate) mod failed;
mod hostile;
mod load;
pub(crate) mod migrations;
mod surroundings;
mod well_behaved;

/// One engine for all tests, as a process has one.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(None).unwrap());

/// Time limit of tests that reach it.
const SHORT: Duration = Duration::from_millis(50);

fn file(folder: &TempDir, content: &[u8]) -> PathBuf {
    let path = folder.path().join("plugin.wasm");
    std::fs::File::create(&path).unwrap().write_all(content).unwrap();
    path
}

fn load(content: &[u8]) -> Result<Arc<Plugin>, PluginError> {
    let folder = tempfile::tempdir().unwrap();
    ENGINE.load(&file(&folder, content))
}

/// The error's words after the path, which differs each time.
fn words(error: PluginError) -> String {
    let words = error.to_string();
    let start = words.find("plugin.wasm").map_or(0, |start| start + "plugin.wasm".len());
    words[start..].trim_start().to_owned()
}

pub(crate) fn guest(code: &str) -> Arc<Plugin> {
    load(&Guest { code, ..Guest::default() }.build()).unwrap()
}

pub(super) fn limits() -> Limits {
    Limits { memory: 16 << 20, time: Duration::from_secs(10), output: 8 << 20 }
}

/// Columns `station` utf8, `passengers` int64, `duration` float64, the last with nulls.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("station", DataType::Utf8, false),
        Field::new("passengers", DataType::Int64, false),
        Field::new("duration", DataType::Float64, true),
    ]))
}

pub(crate) fn batch(rows: usize) -> RecordBatch {
    let station: StringArray = (0..rows).map(|row| Some(format!("Süd {row}"))).collect();
    let passengers: Int64Array = (0..rows as i64).map(Some).collect();
    let duration: Float64Array = (0..rows).map(|row| (row % 3 != 1).then_some(row as f64 / 4.0)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(station), Arc::new(passengers), Arc::new(duration)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub(super) fn open(plugin: &Arc<Plugin>, limits: &Limits) -> Result<Transform, PluginError> {
    Transform::open(plugin, limits, &[], &schema())
}

pub(super) fn now() -> BatchTime {
    BatchTime { timestamp_ms: 1_700_000_000_123, seed: 7 }
}
