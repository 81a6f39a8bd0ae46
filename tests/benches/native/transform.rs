//! The railway's plugin as native code that is given Arrow's columns and gives Arrow's columns.
//!
//! Its functions are the plugin's own, compiled for this machine. What comes out becomes Arrow's without a copy and without a
//! check; what goes in is copied, since the SDK's lists own what they hold. A plugin's columns are copied both ways and checked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array as _, ArrayRef, AsArray as _, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use rillgate::batch::{DataType, RecordBatch, Rejection, SchemaRef};
use rillgate::plugin::Applied;
use rillgate::plugin::native::Apply;
use rillgate_bench_railway::PLUGIN;
use rillgate_sdk::wit;

/// Rows that were given to it, over all threads.
pub static ROWS: AtomicU64 = AtomicU64::new(0);

/// Tells apart what was opened.
static NEXT: AtomicU64 = AtomicU64::new(0);

type Opened = Box<dyn FnMut(wit::Batch) -> wit::Output>;

thread_local! {
    /// What was opened, on the thread that calls it: it stays there.
    static OPENED: RefCell<HashMap<u64, Opened>> = RefCell::default();
}

/// Opens the plugin as the host does, when it is called first.
pub fn open(input: &SchemaRef, settings: &[(String, String)], output: &SchemaRef) -> Apply {
    let field = |field: &Arc<rillgate::batch::Field>| wit::Field {
        name: field.name().clone(),
        data_type: data_type(field.data_type()),
        nullable: field.is_nullable(),
    };
    let fields: Vec<_> = input.fields().iter().map(field).collect();
    let settings = settings.to_vec();
    let output = Arc::clone(output);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    Box::new(move |batch| {
        ROWS.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        let answer = OPENED.with_borrow_mut(|all| {
            let opened = all.entry(id).or_insert_with(|| {
                let mut opened = PLUGIN.open(&fields, settings.clone()).expect("it opens as the component did");
                Box::new(move |batch| opened.apply(batch).expect("batches that fit"))
            });
            opened(lists(batch))
        });
        let batches = answer.batches.into_iter().map(|batch| columns(&output, batch)).collect();
        let rejection = |wit::Rejection { row, reason }| Rejection { row, reason };
        Applied { batches, rejected: answer.rejected.into_iter().map(rejection).collect() }
    })
}

fn data_type(arrow: &DataType) -> wit::DataType {
    match arrow {
        DataType::Utf8 => wit::DataType::Utf8,
        DataType::Float64 => wit::DataType::Float64,
        DataType::Timestamp(..) => wit::DataType::Timestamp,
        other => unreachable!("the reference job has no {other}"),
    }
}

/// Arrow's columns as the SDK has them.
pub fn lists(batch: &RecordBatch) -> wit::Batch {
    let column = |array: &ArrayRef| wit::Column {
        values: match array.data_type() {
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                let (first, last) = (array.value_offsets()[0], array.value_offsets()[array.len()]);
                wit::Values::Utf8(wit::Varlen {
                    offsets: array.value_offsets().iter().map(|offset| (offset - first) as u32).collect(),
                    bytes: array.value_data()[first as usize..last as usize].to_vec(),
                })
            }
            DataType::Float64 => wit::Values::Float64(array.as_primitive::<Float64Type>().values().to_vec()),
            DataType::Timestamp(..) => {
                wit::Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values().to_vec())
            }
            other => unreachable!("the reference job has no {other}"),
        },
        validity: array.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.inner().sliced().to_vec()),
    };
    wit::Batch { rows: batch.num_rows() as u32, columns: batch.columns().iter().map(column).collect() }
}

/// The SDK's columns as Arrow has them.
fn columns(schema: &SchemaRef, batch: wit::Batch) -> RecordBatch {
    let rows = batch.rows as usize;
    let column = |column: wit::Column| -> ArrayRef {
        let bits = |bits| NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows));
        let nulls = column.validity.map(bits);
        match column.values {
            wit::Values::Utf8(wit::Varlen { offsets, bytes }) => {
                let offsets = ScalarBuffer::from(bytemuck::cast_vec::<u32, i32>(offsets));
                // SAFETY: the SDK appends a text and then where it ends, so offsets rise and cut between texts.
                Arc::new(unsafe {
                    StringArray::new_unchecked(OffsetBuffer::new_unchecked(offsets), Buffer::from_vec(bytes), nulls)
                })
            }
            wit::Values::Float64(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            wit::Values::Timestamp(values) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            other => unreachable!("the reference job has no {:?}", other.data_type()),
        }
    };
    let columns = batch.columns.into_iter().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).expect("the columns that the component announced")
}
