//! Versions of pipelines with real plugins, tried and checked.

mod golden;
mod sample;
mod shadow;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use tempfile::TempDir;

use crate::batch::{DataType, Field, RecordBatch, Rows, Schema, SchemaRef};
use crate::config::{Config, parse};
use crate::pipeline::Pipeline;
use crate::plugin::tests::{Guest, Keep, identity};
use crate::plugin::{BatchTime, Engine};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(None).unwrap());

const TRAP: &str = "trap: wasm `unreachable` instruction executed";

/// A folder with a plugin of this code.
fn plugin(is_aggregate: bool, code: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = Guest { is_aggregate, code, ..Guest::default() }.build();
    std::fs::write(folder.path().join("x.wasm"), file).unwrap();
    folder
}

fn open_in(folder: &Path, pipeline: &str) -> Pipeline {
    let text = format!("kafka.bootstrap.servers = 'k:1'\nstore.url = 'lake'\n[pipeline.p]\ntopic = 't'\n{pipeline}");
    let config: Config =
        parse(&text, "pipelines.toml", folder, &[], &|_| None).unwrap_or_else(|flawed| panic!("{}", flawed.problems));
    Pipeline::open("p", &config.pipelines["p"], &ENGINE, folder).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// `n`, int64 without nulls, into one transform of this code.
fn transform(code: &str, more: &str) -> Pipeline {
    let folder = plugin(false, code);
    open_in(
        folder.path(),
        &format!(
            "decode.format = 'json'\ncolumns.n = {{ type = 'int64', nullable = false }}\nsink.table = 'main'\n{more}\n\
             [[pipeline.p.transform]]\nplugin = 'x.wasm'\nlimits.time = '50ms'\n"
        ),
    )
}

/// A transform that keeps values from 0 on; -1 traps, -2 spins, -3 is an error, -4 is rejected. With two tables odd values go to `odd`.
fn filter(tables: u32) -> String {
    include_str!("../../plugin/tests/filter.wat").replace("@TABLES@", &tables.to_string())
}

/// A transform that does this to the value at each `$at`.
fn each(code: &str) -> String {
    let in_apply = format!(
        "(local $at i32) (local.set $at (i32.load offset=4 (local.get $columns)))
         (loop
           {code}
           (local.set $at (i32.add (local.get $at) (i32.const 8)))
           (br_if 0 (i32.lt_u (local.get $at)
             (i32.add (i32.load offset=4 (local.get $columns)) (i32.mul (local.get $rows) (i32.const 8))))))"
    );
    // Locals come first in a function.
    identity("", &in_apply, "").replacen("(result i32)\n  (local $at i32)", "(result i32) (local $at i32)", 1)
}

/// A transform that returns its one column twice, the second time under the name `a`.
fn twice() -> String {
    identity(
        "(memory.copy (i32.const 200) (local.get $fields) (i32.const 12))
         (memory.copy (i32.const 212) (local.get $fields) (i32.const 12))
         (i32.store (i32.const 212) (i32.const 512)) (i32.store (i32.const 216) (i32.const 1))
         (i32.store (i32.const 72) (i32.const 200)) (i32.store (i32.const 76) (i32.const 2))",
        "",
        "(memory.copy (i32.const 300) (local.get $columns) (i32.const 32))
         (memory.copy (i32.const 332) (local.get $columns) (i32.const 32))
         (i32.store (i32.const 100) (i32.const 300)) (i32.store (i32.const 104) (i32.const 2))",
    )
}

/// `n` into an aggregate that keeps, for each value of `n`, a row as it came.
fn aggregate(keep: Keep, more: &str) -> Pipeline {
    let folder = plugin(true, &keep.code());
    open_in(
        folder.path(),
        &format!(
            "decode.format = 'json'\ncolumns.n = {{ type = 'int64', nullable = false }}\nsink.table = 'main'\n{more}\n\
             [pipeline.p.aggregate]\nplugin = 'x.wasm'\nkey = ['n']\non = 'change'\nexchange = 'none'\n"
        ),
    )
}

fn numbers_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

/// A batch of one message for each number.
fn batch(numbers: impl IntoIterator<Item = i64>) -> (Rows, BatchTime) {
    let values = Int64Array::from_iter_values(numbers);
    let origin = (0..values.len() as u32).collect();
    let batch = RecordBatch::try_new(numbers_schema(), vec![Arc::new(values)]).unwrap();
    (Rows { batch, origin }, BatchTime { timestamp_ms: 1_700_000_000_000, seed: 7 })
}

#[test]
fn batches_are_as_a_pipeline_decodes_them() {
    assert_eq!(*transform(&filter(1), "").input(), numbers_schema());
    assert_eq!(batch([5, 6]).0.batch.column(0).as_primitive::<Int64Type>().values(), &[5, 6]);
}
