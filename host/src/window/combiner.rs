//! What the rows of one batch come to by themselves: states to be merged with those of other batches, elsewhere (a combiner, as in
//! MapReduce).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow::compute::max;
use arrow::error::ArrowError;

use super::aggregation::group_schema;
use super::calls::{Call, update};
use super::event_time::times;
use super::{Fold, Refused, Window, WindowOptions};
use crate::batch::{DataType, Field, RecordBatch, Schema, SchemaRef};
use crate::state::{Columns, KeyColumns, Keys, Lookup, Span};

/// How many rows a state stands for.
pub(super) const ROWS: &str = "rows";
/// What the names of columns begin with that are of a group's key, and those of its state.
pub const KEY: &str = "key.";
pub(super) const VALUE: &str = "value.";

/// Folds the rows of a batch without any state from before it.
#[derive(Debug)]
pub struct Combiner {
    key_columns: KeyColumns,
    time: Option<usize>,
    window: Option<Window>,
    states: SchemaRef,
    schema: SchemaRef,
}

impl Combiner {
    /// For rows of `input` that are folded into `states`.
    ///
    /// # Errors
    /// A column that isn't there.
    pub fn new(options: &WindowOptions, input: &Schema, states: &SchemaRef) -> Result<Self, ArrowError> {
        let key_columns = KeyColumns::new(input, &options.key)?;
        let named = |prefix: &'static str| {
            move |field: &Arc<Field>| field.as_ref().clone().with_name(format!("{prefix}{}", field.name()))
        };
        let mut fields: Vec<Field> = key_columns.schema().fields().iter().map(named(KEY)).collect();
        let groups = group_schema(input, options)?;
        fields.extend(groups.fields().iter().skip(fields.len()).map(|field| field.as_ref().clone()));
        fields.push(Field::new(ROWS, DataType::Int64, false));
        fields.extend(states.fields().iter().map(named(VALUE)));
        Ok(Self {
            key_columns,
            time: options.time.as_ref().map(|time| input.index_of(time)).transpose()?,
            window: options.window,
            states: Arc::clone(states),
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// The columns of states: those of the key with `key.` before their names, `window_start` and `window_end` where there are windows,
    /// `rows`, and the state's own with `value.` before theirs.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The latest event time of rows; `None` where there is none, or no rows.
    ///
    /// # Errors
    /// A row without event time.
    pub fn latest_us(&self, rows: &RecordBatch) -> Result<Option<i64>, String> {
        Ok(self.time.map(|column| times(rows, column)).transpose()?.and_then(max))
    }

    /// Folds rows: a state for each group and window. Not for sessions, which depend on rows elsewhere.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn fold<F: Fold>(&self, rows: &RecordBatch, fold: &mut F) -> Result<RecordBatch, Refused<F::Error>> {
        let odd = |error: ArrowError| Refused::Row(error.to_string());
        let times = self.time.map(|column| times(rows, column)).transpose().map_err(Refused::Row)?;
        let keys = self.key_columns.rows(rows).map_err(odd)?;
        let mut groups = Keys::new(Lookup::ByStart);
        let (mut taken, mut group_of_row) = (Vec::with_capacity(rows.num_rows()), Vec::with_capacity(rows.num_rows()));
        let mut key = Vec::new();
        for row in 0..rows.num_rows() {
            let key = keys.get(row, &mut key);
            // Slots of a table that nothing leaves are the numbers of the groups.
            let mut group = |span: Span| {
                taken.push(row as u32);
                group_of_row.push(groups.find_or_add(key, span).0);
            };
            match (self.window, times) {
                (Some(window), Some(times)) => window.of(times.value(row)).for_each(group),
                _ => group(Span::ALWAYS),
            }
        }
        let none = RecordBatch::new_empty(Arc::clone(&self.states));
        let count = groups.len() as u32;
        let states = match self.window {
            Some(Window::Hopping { size_us, slide_us }) => {
                let slots: Vec<u32> = (0..count).collect();
                let mut states = Columns::new(&self.states);
                let call = Call { rows: taken, group_of_row: group_of_row.clone(), slots: slots.clone(), known: 0 };
                for call in call.divided(rows, size_us, slide_us, &groups) {
                    states.scatter(&call.slots, &call.fold(rows, &none, fold)?);
                }
                states.gather(&slots).map_err(|error| Refused::Row(error.to_string()))?
            }
            _ => update(rows, &group_of_row, count, &none, fold)?,
        };
        self.describe(&groups, &group_of_row, &states).map_err(odd)
    }

    /// Groups with their states.
    fn describe(&self, groups: &Keys, group_of_row: &[u32], states: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let count = groups.len() as u32;
        let mut columns: Vec<ArrayRef> = self.key_columns.columns((0..count).filter_map(|slot| groups.key(slot)))?;
        if self.window.is_some() {
            let times = |at: fn(Span) -> i64| {
                let times = (0..count).map(|slot| at(groups.span(slot)));
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            };
            columns.push(times(|span| span.start));
            columns.push(times(|span| span.end));
        }
        let mut rows = vec![0_i64; count as usize];
        group_of_row.iter().for_each(|&group| rows[group as usize] += 1);
        columns.push(Arc::new(Int64Array::from(rows)));
        columns.extend(states.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
