//! The railway's transform behind an interface of records: Arrow's columns to records, a component, records to Arrow's columns.
//!
//! Written with as much care as the host's own way: texts are lent to the component, not copied first; columns are built with
//! room for all rows; the engine is set as the host's.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, Float64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{Float64Type, SchemaRef, TimestampMicrosecondType};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

use bindings::Plugin;
use bindings::exports::rillgate_bench::records::transform::{FlowParam, FlowResult, Guest};

mod bindings {
    #![allow(missing_docs)]
    wasmtime::component::bindgen!({
        path: "benches/plugin/records.wit",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// An instance of the component.
pub struct Records {
    store: Store<()>,
    guest: Guest,
    output: SchemaRef,
}

impl Records {
    /// Builds the component and starts it.
    pub fn build(output: &SchemaRef) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/plugin/guest");
        let target = std::env::current_exe().expect("a path").ancestors().nth(3).expect("cargo's target").join("bench");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo
            .args(["build", "--quiet", "--release", "--locked", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target);
        let built = cargo.current_dir(&folder).status().expect("cargo");
        assert!(built.success(), "{} does not build", folder.display());
        let file = target.join("wasm32-wasip2/release/rillgate_bench_records.wasm");

        let mut config = Config::new();
        config.epoch_interruption(true).concurrency_support(false);
        let engine = Engine::new(&config).expect("a machine that runs components");
        let component = Component::from_file(&engine, file).expect("a component");
        let mut linker = Linker::new(&engine);
        // Rust's standard library imports parts of WASI that nothing here calls.
        linker.define_unknown_imports_as_traps(&component).expect("imports that can be left out");
        let mut store = Store::new(&engine, ());
        // No call is stopped here: the check is what costs.
        store.set_epoch_deadline(u64::MAX / 2);
        let plugin = Plugin::instantiate(&mut store, &component, &linker).expect("an instance");
        let guest = plugin.rillgate_bench_records_transform().clone();
        Self { store, guest, output: Arc::clone(output) }
    }

    /// A call for the whole batch.
    pub fn many(&mut self, batch: &RecordBatch) -> RecordBatch {
        let input = Input::of(batch);
        let rows: Vec<FlowParam> = (0..batch.num_rows()).map(|row| input.row(row)).collect();
        let answer = self.guest.call_many(&mut self.store, &rows).expect("an answer");
        let mut output = Output::with_capacity(answer.len());
        answer.iter().for_each(|row| output.push(row));
        output.finish(&self.output)
    }

    /// A call for each row.
    pub fn one_by_one(&mut self, batch: &RecordBatch) -> RecordBatch {
        let input = Input::of(batch);
        let mut output = Output::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let answer = self.guest.call_one(&mut self.store, input.row(row)).expect("an answer");
            answer.iter().for_each(|row| output.push(row));
        }
        output.finish(&self.output)
    }
}

/// The columns that records are read from.
struct Input<'a> {
    texts: [&'a StringArray; 3],
    timestamp: &'a arrow::array::TimestampMicrosecondArray,
    numbers: [&'a arrow::array::Float64Array; 3],
}

impl<'a> Input<'a> {
    fn of(batch: &'a RecordBatch) -> Self {
        Self {
            texts: [0, 1, 2].map(|index| batch.column(index).as_string()),
            timestamp: batch.column(3).as_primitive::<TimestampMicrosecondType>(),
            numbers: [4, 5, 6].map(|index| batch.column(index).as_primitive::<Float64Type>()),
        }
    }

    fn row(&self, row: usize) -> FlowParam<'a> {
        let text = |index: usize| self.texts[index].is_valid(row).then(|| self.texts[index].value(row));
        let number = |index: usize| self.numbers[index].is_valid(row).then(|| self.numbers[index].value(row));
        FlowParam {
            id: text(0),
            train_id: text(1),
            station: text(2),
            timestamp: self.timestamp.is_valid(row).then(|| self.timestamp.value(row)),
            waiting_time: number(0),
            ticket_check_time: number(1),
            reduced_flow_factor: number(2),
        }
    }
}

/// The columns that records are written to.
struct Output {
    texts: [StringBuilder; 3],
    timestamp: TimestampMicrosecondBuilder,
    numbers: [Float64Builder; 3],
}

impl Output {
    fn with_capacity(rows: usize) -> Self {
        Self {
            texts: [(); 3].map(|()| StringBuilder::with_capacity(rows, rows * 24)),
            timestamp: TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"),
            numbers: [(); 3].map(|()| Float64Builder::with_capacity(rows)),
        }
    }

    fn push(&mut self, row: &FlowResult) {
        for (column, text) in self.texts.iter_mut().zip([&row.id, &row.train_id, &row.station]) {
            column.append_option(text.as_deref());
        }
        self.timestamp.append_option(row.timestamp);
        let numbers = [row.waiting_time, row.ticket_check_time, row.reduced_flow_factor];
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.append_option(number);
        }
    }

    fn finish(mut self, schema: &SchemaRef) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(7);
        columns.extend(self.texts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(Arc::new(self.timestamp.finish()));
        columns.extend(self.numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        RecordBatch::try_new(Arc::clone(schema), columns).expect("the columns that the plugin announces")
    }
}
