//! What a plugin announces and returns, of any shape. What is taken over is valid for Arrow through and through, holds what was
//! returned, and keeps the limits that the interface states; what isn't is refused for a rule that it breaks.

#![no_main]

use arrow::array::Array;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use rillgate::plugin::fuzzing::{
    BatchResult, ColumnResult, DataType, FieldResult, Output, OutputTable, Rejection, ValuesResult, VarlenResult, take,
    take_tables,
};
use rillgate::plugin::{Applied, MAIN, Table};
use rillgate_fuzz::{Cell, cell, check_batch};

#[derive(Debug, Clone, Arbitrary)]
struct Field {
    name: String,
    data_type: u8,
    nullable: bool,
}

#[derive(Debug, Clone, Arbitrary)]
struct Announced {
    name: String,
    fields: Vec<Field>,
}

/// A column: usually one that could be right, with something changed.
#[derive(Debug, Clone, Arbitrary)]
struct Column {
    /// Instead of the type that was announced.
    data_type: Option<u8>,
    bytes: Vec<u8>,
    /// Lengths of texts. Offsets are made of them, and then changed at a place.
    lengths: Vec<u8>,
    changed: Option<(u8, u32)>,
    validity: Option<Vec<u8>>,
    /// How many values there are too many or too few.
    surplus: i8,
}

#[derive(Debug, Clone, Arbitrary)]
struct Batch {
    rows: u16,
    /// Instead of `rows`, which is kept small.
    told: Option<u32>,
    columns: Vec<Column>,
}

#[derive(Debug, Arbitrary)]
struct Input {
    tables: Vec<Announced>,
    batches: Vec<Batch>,
    input_rows: u32,
    rejected: Vec<(u32, String)>,
    /// More tables, or more columns of the first, than anyone writes down.
    many: Option<(bool, u16)>,
}

const TYPES: [DataType; 9] = [
    DataType::Boolean,
    DataType::Int32,
    DataType::Int64,
    DataType::Float32,
    DataType::Float64,
    DataType::Utf8,
    DataType::Binary,
    DataType::Date,
    DataType::Timestamp,
];

fuzz_target!(|input: Input| {
    let announced = announce(&input);
    let tables = match take_tables(announced.iter().map(table).collect()) {
        Ok(tables) => {
            assert!(can_be(&announced), "{announced:?}");
            tables
        }
        Err(reason) => {
            assert!(!can_be(&announced), "{reason}: {announced:?}");
            // Any other tables will do for what comes back.
            let fields = TYPES.iter().enumerate().map(|(at, _)| Field {
                name: format!("c{at}"),
                data_type: at as u8,
                nullable: at % 2 == 0,
            });
            let main = Announced { name: MAIN.to_owned(), fields: fields.collect() };
            take_tables(vec![table(&main)]).unwrap()
        }
    };
    let batches: Vec<BatchResult> =
        input.batches.iter().enumerate().map(|(at, given)| batch(given, tables.get(at))).collect();
    let rejected = || input.rejected.iter().map(|(row, reason)| Rejection { row: *row, reason: reason.clone() });
    let output = Output { batches: batches.clone(), rejected: rejected().collect() };
    match take(&tables, input.input_rows, output) {
        Ok(applied) => check_taken(&tables, &batches, &input, &applied),
        Err(reason) => {
            assert!(!reason.is_empty() && !reason.contains(char::is_control), "{reason:?}");
            assert!(breaks_a_rule(&tables, &batches, &input), "{reason}: {batches:?}");
        }
    }
});

fn announce(input: &Input) -> Vec<Announced> {
    let mut tables = input.tables.clone();
    let Some((is_tables, count)) = input.many else { return tables };
    if is_tables {
        let fields = vec![Field { name: "a".to_owned(), data_type: 0, nullable: true }];
        let more = (0..count % 100).map(|at| Announced { name: format!("t{at}"), fields: fields.clone() });
        tables.extend(more);
    } else if let Some(first) = tables.first_mut() {
        let more = (0..count % 5000).map(|at| Field { name: format!("c{at}"), data_type: 1, nullable: true });
        first.fields.extend(more);
    }
    tables
}

fn data_type(at: u8) -> DataType {
    TYPES[usize::from(at) % TYPES.len()]
}

fn table(announced: &Announced) -> OutputTable {
    let field = |field: &Field| FieldResult {
        name: field.name.clone(),
        data_type: data_type(field.data_type),
        nullable: field.nullable,
    };
    OutputTable { name: announced.name.clone(), schema: announced.fields.iter().map(field).collect() }
}

/// The rules of `wit/`.
fn can_be(tables: &[Announced]) -> bool {
    let distinct = |names: Vec<&String>| {
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        sorted.len() == names.len()
    };
    let table_name = |name: &str| {
        let mut bytes = name.bytes();
        name.len() <= 64
            && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    let column_name = |name: &str| (1..=255).contains(&name.len()) && !name.contains(char::is_control);
    tables.len() <= 64
        && tables.iter().any(|table| table.name == MAIN)
        && distinct(tables.iter().map(|table| &table.name).collect())
        && tables.iter().all(|table| {
            table_name(&table.name)
                && (1..=4096).contains(&table.fields.len())
                && table.fields.iter().all(|field| column_name(&field.name))
                && distinct(table.fields.iter().map(|field| &field.name).collect())
        })
}

fn batch(given: &Batch, table: Option<&Table>) -> BatchResult {
    let rows = usize::from(given.rows % 100);
    let types = table.map(|table| {
        let of = |field: &std::sync::Arc<rillgate::batch::Field>| {
            let name = rillgate::batch::type_name(field.data_type()).unwrap();
            rillgate::batch::COLUMN_TYPES.iter().position(|other| *other == name).unwrap() as u8
        };
        table.schema.fields().iter().map(of).collect::<Vec<u8>>()
    });
    let column = |(at, given): (usize, &Column)| {
        let announced = types.as_ref().and_then(|types| types.get(at).copied());
        let data_type = data_type(given.data_type.or(announced).unwrap_or_default());
        let count = rows.saturating_add_signed(isize::from(given.surplus));
        let byte = |at: usize| *given.bytes.get(at % given.bytes.len().max(1)).unwrap_or(&0);
        let int = |at: usize| i64::from_le_bytes(std::array::from_fn(|place| byte(at * 8 + place)));
        let bits = || (0..rows.div_ceil(8).saturating_add_signed(isize::from(given.surplus))).map(byte).collect();
        let varlen = || {
            let length = |at: usize| u32::from(*given.lengths.get(at % given.lengths.len().max(1)).unwrap_or(&0) % 8);
            let mut offsets = vec![0u32];
            (0..count).for_each(|at| offsets.push(offsets[at] + length(at)));
            let bytes = (0..offsets[count] as usize).map(byte).collect();
            if let Some((place, value)) = given.changed {
                let place = usize::from(place) % offsets.len();
                offsets[place] = value;
            }
            VarlenResult { offsets, bytes }
        };
        let values = match data_type {
            DataType::Boolean => ValuesResult::Boolean(bits()),
            DataType::Int32 => ValuesResult::Int32((0..count).map(|at| int(at) as i32).collect()),
            DataType::Int64 => ValuesResult::Int64((0..count).map(int).collect()),
            DataType::Float32 => ValuesResult::Float32((0..count).map(|at| f32::from_bits(int(at) as u32)).collect()),
            DataType::Float64 => ValuesResult::Float64((0..count).map(|at| f64::from_bits(int(at) as u64)).collect()),
            DataType::Utf8 => ValuesResult::Utf8(varlen()),
            DataType::Binary => ValuesResult::Binary(varlen()),
            DataType::Date => ValuesResult::Date((0..count).map(|at| int(at) as i32).collect()),
            DataType::Timestamp => ValuesResult::Timestamp((0..count).map(int).collect()),
        };
        ColumnResult { values, validity: given.validity.clone().map(|bitmap| validity(bitmap, rows)) }
    };
    BatchResult {
        rows: given.told.unwrap_or(rows as u32),
        columns: given.columns.iter().enumerate().map(column).collect(),
    }
}

/// Mostly of the right length: a bitmap of even length is repeated or cut.
fn validity(bitmap: Vec<u8>, rows: usize) -> Vec<u8> {
    if bitmap.is_empty() || bitmap.len() % 2 == 1 {
        return bitmap;
    }
    bitmap.iter().copied().cycle().take(rows.div_ceil(8)).collect()
}

fn bit(bitmap: &[u8], row: usize) -> bool {
    bitmap[row / 8] >> (row % 8) & 1 == 1
}

fn check_taken(tables: &[Table], returned: &[BatchResult], input: &Input, applied: &Applied) {
    assert_eq!(applied.batches.len(), tables.len());
    for ((taken, table), returned) in applied.batches.iter().zip(tables).zip(returned) {
        assert_eq!(taken.schema_ref(), &table.schema);
        assert_eq!(taken.num_rows(), returned.rows as usize);
        assert!(taken.num_rows() <= 1 << 24);
        check_batch(taken);
        for (at, column) in returned.columns.iter().enumerate() {
            for row in 0..taken.num_rows() {
                let is_null = column.validity.as_ref().is_some_and(|bitmap| !bit(bitmap, row));
                assert_eq!(taken.column(at).is_null(row), is_null);
                if !is_null {
                    assert_eq!(cell(taken, row, at), value(&column.values, row));
                }
            }
        }
    }
    let mut rows: Vec<u32> = input.rejected.iter().map(|(row, _)| *row).collect();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(applied.rejected.iter().map(|rejection| rejection.row).collect::<Vec<_>>(), rows);
    for rejection in &applied.rejected {
        assert!(rejection.row < input.input_rows);
        let reason = &rejection.reason;
        assert!(!reason.trim().is_empty() && reason.len() <= 1000 && !reason.contains(char::is_control), "{reason:?}");
    }
}

fn value(values: &ValuesResult, row: usize) -> Cell {
    let text = |text: &VarlenResult| text.bytes[text.offsets[row] as usize..text.offsets[row + 1] as usize].to_vec();
    match values {
        ValuesResult::Boolean(bits) => Cell::Boolean(bit(bits, row)),
        ValuesResult::Int32(values) | ValuesResult::Date(values) => Cell::Integer(values[row].into()),
        ValuesResult::Int64(values) | ValuesResult::Timestamp(values) => Cell::Integer(values[row]),
        ValuesResult::Float32(values) => Cell::Float32(values[row].to_bits()),
        ValuesResult::Float64(values) => Cell::Float64(values[row].to_bits()),
        ValuesResult::Utf8(values) | ValuesResult::Binary(values) => Cell::Bytes(text(values)),
    }
}

/// Whether there is a rule of `wit/` against the answer: nothing else may be a reason to refuse one.
fn breaks_a_rule(tables: &[Table], returned: &[BatchResult], input: &Input) -> bool {
    let batch = |(table, batch): (&Table, &BatchResult)| {
        let rows = batch.rows as usize;
        let column = |(field, column): (&std::sync::Arc<rillgate::batch::Field>, &ColumnResult)| {
            let given = match &column.values {
                ValuesResult::Boolean(_) => "boolean",
                ValuesResult::Int32(_) => "int32",
                ValuesResult::Int64(_) => "int64",
                ValuesResult::Float32(_) => "float32",
                ValuesResult::Float64(_) => "float64",
                ValuesResult::Utf8(_) => "utf8",
                ValuesResult::Binary(_) => "binary",
                ValuesResult::Date(_) => "date",
                ValuesResult::Timestamp(_) => "timestamp",
            };
            let lengths = |varlen: &VarlenResult, is_text: bool| {
                let offsets = &varlen.offsets;
                offsets.len() != rows + 1
                    || offsets[0] != 0
                    || offsets[rows] as usize != varlen.bytes.len()
                    || offsets.windows(2).any(|pair| {
                        pair[0] > pair[1]
                            || (is_text
                                && varlen
                                    .bytes
                                    .get(pair[0] as usize..pair[1] as usize)
                                    .is_none_or(|text| str::from_utf8(text).is_err()))
                    })
            };
            let values = match &column.values {
                ValuesResult::Boolean(bits) => bits.len() != rows.div_ceil(8),
                ValuesResult::Int32(values) | ValuesResult::Date(values) => values.len() != rows,
                ValuesResult::Int64(values) | ValuesResult::Timestamp(values) => values.len() != rows,
                ValuesResult::Float32(values) => values.len() != rows,
                ValuesResult::Float64(values) => values.len() != rows,
                ValuesResult::Utf8(values) => lengths(values, true),
                ValuesResult::Binary(values) => lengths(values, false),
            };
            let nulls = column.validity.as_ref().is_some_and(|bitmap| {
                bitmap.len() != rows.div_ceil(8) || (!field.is_nullable() && (0..rows).any(|row| !bit(bitmap, row)))
            });
            rillgate::batch::type_name(field.data_type()) != Some(given) || values || nulls
        };
        batch.rows > 1 << 24
            || batch.columns.len() != table.schema.fields().len()
            || table.schema.fields().iter().zip(&batch.columns).any(column)
    };
    returned.len() != tables.len()
        || tables.iter().zip(returned).any(batch)
        || input.rejected.iter().any(|(row, _)| *row >= input.input_rows)
}
