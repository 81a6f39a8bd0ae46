//! Records of an exchange's topic: any bytes, and those that were written with some of them changed. What wasn't changed is read as it
//! was; what was is refused, or read as something.

#![no_main]

use std::sync::{Arc, Once};

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use rillgate::batch::{MemoryMessage, MemoryMessages};
use rillgate::exchange::{Content, HEADER, Heading, Kind, encode, read};

#[derive(Debug, Arbitrary)]
struct Input {
    rows: Vec<(Option<String>, i64, Option<bool>)>,
    states: bool,
    /// Places and what is written there.
    changes: Vec<(u16, u8)>,
    /// Bytes in the place of all that.
    bytes: Option<Vec<u8>>,
    header: Option<Vec<u8>>,
}

/// What panics in Arrow is caught where it is called, and isn't a finding. What isn't caught still ends the process.
static QUIET: Once = Once::new();

fuzz_target!(|input: Input| {
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let schema = Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("number", DataType::Int64, false),
        Field::new("flag", DataType::Boolean, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(input.rows.iter().map(|row| row.0.as_deref()))),
        Arc::new(Int64Array::from_iter_values(input.rows.iter().map(|row| row.1))),
        Arc::new(BooleanArray::from_iter(input.rows.iter().map(|row| row.2))),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let Some(mut values) = encode(&batch).unwrap() else { return };
    let is_whole = values.len() == 1 && input.changes.is_empty() && input.bytes.is_none() && input.header.is_none();
    let mut value = values.swap_remove(0);
    for (at, byte) in input.changes {
        let at = usize::from(at) % value.len();
        value[at] = byte;
    }
    let value = input.bytes.unwrap_or(value);
    let kind = if input.states { Kind::States } else { Kind::Rows };
    let header = Heading::new(kind, "t/0".to_owned()).seal(&value);
    let headers = vec![(HEADER.to_owned(), Some(input.header.unwrap_or(header)))];
    let message = MemoryMessage { value: Some(value), headers, ..MemoryMessage::default() };
    let messages = MemoryMessages { topic: "x".to_owned(), partition: 0, messages: vec![message] };
    let found = read(&messages, 0, &schema);
    if is_whole {
        let expected = if input.states { Content::States(batch) } else { Content::Rows(batch) };
        assert_eq!(found.unwrap().content, expected);
    } else if let Ok(chunk) = found
        && let Content::Rows(rows) | Content::States(rows) = chunk.content
    {
        // Whatever is taken for columns can be looked at. States may be of any: another version of the plugin may have sent them.
        assert!(input.states || rows.schema() == schema);
        let _ = format!("{rows:?}");
    }
});
