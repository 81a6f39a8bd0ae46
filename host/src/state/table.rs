//! A table of keys and their values, kept in memory and written by what changed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatchOptions, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::concat;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;

use super::changes::{Changes, Cut, Entries};
use super::columns::Columns;
use super::key_columns::KeyColumns;
use super::keys::{Keys, Lookup, Span};
use crate::batch::{Field, RecordBatch, Schema, SchemaRef, data_type};

/// Columns of a file beside those of keys and values.
pub(super) const START: &str = "window_start";
pub(super) const END: &str = "window_end";
pub(super) const GONE: &str = "gone";
/// What the names of key columns begin with in a file, and those of values.
pub(super) const KEY: &str = "key.";
pub(super) const VALUE: &str = "value.";
/// Metadata of a value's column: whether the value may be null where the key is there. Files that lack it are older than it.
const NULLABLE: &str = "rillgate.nullable";

/// Keys with their spans and values.
#[derive(Debug)]
pub struct Table {
    /// Which columns the keys are made of.
    pub key_columns: KeyColumns,
    /// The keys and their slots.
    pub keys: Keys,
    /// The values by slot.
    pub values: Columns,
    /// What the next file must say.
    pub changes: Changes,
    file_schema: SchemaRef,
}

/// What is to be written so that the files of a table say what it holds.
#[derive(Debug)]
pub struct Delta {
    /// How many of the files there, from the oldest on, stay.
    pub kept: usize,
    /// What goes into a file after them, if anything has to.
    pub file: Option<RecordBatch>,
}

impl Table {
    /// An empty table.
    pub fn new(key_columns: KeyColumns, values: &SchemaRef, lookup: Lookup) -> Self {
        let renamed = |prefix: &str, field: &Field, nullable: bool| {
            Field::new(format!("{prefix}{}", field.name()), field.data_type().clone(), nullable)
        };
        let time = data_type("timestamp").expect("is in COLUMN_TYPES");
        let mut fields: Vec<Field> = Vec::new();
        fields.extend(key_columns.schema().fields().iter().map(|field| renamed(KEY, field, field.is_nullable())));
        fields.extend([START, END].map(|name| Field::new(name, time.clone(), true)));
        fields.push(Field::new(GONE, data_type("boolean").expect("is in COLUMN_TYPES"), false));
        // A key that has gone has no values.
        fields.extend(values.fields().iter().map(|field| {
            let nullable = (NULLABLE.to_owned(), field.is_nullable().to_string());
            renamed(VALUE, field, true).with_metadata(HashMap::from([nullable]))
        }));
        Self {
            keys: Keys::new(lookup),
            values: Columns::new(values),
            changes: Changes::default(),
            file_schema: Arc::new(Schema::new(fields)),
            key_columns,
        }
    }

    /// An empty table for files of this schema, whoever wrote them.
    ///
    /// # Errors
    /// Columns that no file of a state has.
    pub fn like(file: &Schema) -> Result<Self, ArrowError> {
        let named = |prefix: &str| {
            let fields = file.fields().iter().filter_map(|field| {
                let name = field.name().strip_prefix(prefix)?;
                Some(Field::new(name, field.data_type().clone(), field.is_nullable()))
            });
            Schema::new(fields.collect::<Vec<_>>())
        };
        let keys = named(KEY);
        let names: Vec<String> = keys.fields().iter().map(|field| field.name().clone()).collect();
        Ok(Self::new(KeyColumns::new(&keys, &names)?, &Arc::new(named(VALUE)), Lookup::ByStart))
    }

    /// All that is in it, in the columns of a file.
    ///
    /// # Errors
    /// None that Arrow should have.
    pub fn all(&self) -> Result<RecordBatch, ArrowError> {
        let slots = self.sorted(self.keys.live().collect(), |span| span.start, true)?;
        self.file(&Entries { slots, gone: Vec::new() })
    }

    /// These slots in the order of what `time` says of their spans and of their keys; of their keys first where it says so.
    ///
    /// # Errors
    /// None that Arrow should have.
    pub fn sorted(&self, slots: Vec<u32>, time: fn(Span) -> i64, keys_first: bool) -> Result<Vec<u32>, ArrowError> {
        let order = self.key_columns.order(slots.iter().filter_map(|&slot| self.keys.key(slot)))?;
        let mut places: Vec<usize> = (0..slots.len()).collect();
        places.sort_unstable_by(|&a, &b| {
            let (by_key, [a, b]) = (order.cmp(a, b), [a, b].map(|place| time(self.keys.span(slots[place]))));
            if keys_first { by_key.then(a.cmp(&b)) } else { a.cmp(&b).then(by_key) }
        });
        Ok(places.into_iter().map(|place| slots[place]).collect())
    }

    /// The columns of a file: those of the key with `key.` before their names, `window_start`, `window_end`, `gone`, and the
    /// values' with `value.` before theirs.
    pub fn file_schema(&self) -> &SchemaRef {
        &self.file_schema
    }

    /// Ends an epoch: what has changed since the one before.
    ///
    /// # Errors
    /// None that Arrow should have.
    pub fn cut(&mut self) -> Result<Option<Delta>, ArrowError> {
        let keys = &self.keys;
        let Some(Cut { kept, entries }) = self.changes.cut(keys.len(), |slot| keys.key(slot).is_some()) else {
            return Ok(None);
        };
        let is_empty = entries.slots.is_empty() && entries.gone.is_empty();
        let file = if is_empty { None } else { Some(self.file(&entries)?) };
        Ok(Some(Delta { kept, file }))
    }

    /// Those that have gone come first: one that came back in the same epoch is there.
    fn file(&self, Entries { slots, gone }: &Entries) -> Result<RecordBatch, ArrowError> {
        let keys = gone.iter().map(|(key, _)| &**key);
        let keys = keys.chain(slots.iter().filter_map(|&slot| self.keys.key(slot)));
        let mut columns = self.key_columns.columns(keys)?;
        let spans = gone.iter().map(|&(_, start)| Span { start, end: start });
        let spans: Vec<Span> = spans.chain(slots.iter().map(|&slot| self.keys.span(slot))).collect();
        let time = |at: fn(&Span) -> i64, none: i64| -> ArrayRef {
            let times = spans.iter().map(|span| Some(at(span)).filter(|&time| time != none));
            Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC"))
        };
        columns.push(time(|span| span.start, Span::ALWAYS.start));
        columns.push(time(|span| span.end, Span::ALWAYS.end));
        columns.push(Arc::new(BooleanArray::from_iter((0..spans.len()).map(|row| Some(row < gone.len())))));
        let values = self.values.gather(slots)?;
        for values in values.columns() {
            let none = new_null_array(values.data_type(), gone.len());
            columns.push(if gone.is_empty() { Arc::clone(values) } else { concat(&[&none, values])? });
        }
        RecordBatch::try_new(Arc::clone(&self.file_schema), columns)
    }

    /// Takes in a file that was written before, after all those before it. `is_over` tells spans that have ended since; `carry` makes
    /// values of this table's columns out of those of the file, which come without those of keys that are over or gone.
    ///
    /// # Errors
    /// Columns of keys and spans that aren't those of [`Self::file_schema`], and those of `carry`.
    pub fn restore<E: From<ArrowError>>(
        &mut self,
        batches: &[RecordBatch],
        is_over: impl Fn(Span) -> bool,
        mut carry: impl FnMut(RecordBatch) -> Result<RecordBatch, E>,
    ) -> Result<(), E> {
        let mut entries = Entries::default();
        for batch in batches {
            let key_count = self.key_columns.schema().fields().len();
            let keys = self.key_columns.rows_of(&batch.columns()[..key_count])?;
            let mut key = Vec::new();
            let times = |at: usize| batch.column(key_count + at).as_primitive_opt::<TimestampMicrosecondType>();
            let gone = batch.column(key_count + 2).as_boolean_opt();
            let (Some(starts), Some(ends), Some(gone)) = (times(0), times(1), gone) else {
                return Err(ArrowError::SchemaError("spans that are no timestamps".to_owned()).into());
            };
            let time = |times: &TimestampMicrosecondArray, row: usize, none: i64| match times.is_null(row) {
                true => none,
                false => times.value(row),
            };
            let (mut rows, mut slots) = (Vec::new(), Vec::new());
            for row in 0..batch.num_rows() {
                let start = time(starts, row, Span::ALWAYS.start);
                let span = Span { start, end: time(ends, row, Span::ALWAYS.end) };
                let key = keys.get(row, &mut key);
                let known = self.keys.find(key, start);
                if gone.value(row) {
                    known.into_iter().for_each(|slot| self.keys.remove(slot));
                    entries.gone.push((key.into(), start));
                    continue;
                }
                if is_over(span) {
                    known.into_iter().for_each(|slot| self.keys.remove(slot));
                    continue;
                }
                // A span that has grown at its end has the same start.
                let slot = self.keys.put(key, span);
                rows.push(row as u32);
                slots.push(slot);
            }
            let values = batch.project(&(key_count + 3..batch.num_columns()).collect::<Vec<_>>())?;
            let rows = arrow::array::UInt32Array::from(rows);
            let values = as_kept(arrow::compute::take_record_batch(&values, &rows)?)?;
            self.values.scatter(&slots, &carry(values)?);
            entries.slots.extend(slots);
        }
        self.changes.restored(entries);
        Ok(())
    }
}

/// Values of keys that are there, under the names and with the nulls that they were kept with.
fn as_kept(values: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = values.schema();
    let fields = schema.fields().iter().zip(values.columns()).map(|(field, column)| {
        let name = field.name().strip_prefix(VALUE).unwrap_or(field.name());
        let nullable = match field.metadata().get(NULLABLE) {
            Some(nullable) => nullable == "true",
            None => column.null_count() > 0,
        };
        Field::new(name, field.data_type().clone(), nullable)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = RecordBatchOptions::new().with_row_count(Some(values.num_rows()));
    RecordBatch::try_new_with_options(schema, values.columns().to_vec(), &rows)
}
