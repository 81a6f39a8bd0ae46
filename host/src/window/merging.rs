//! States that rows were folded into elsewhere, joined with those that are here.

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;

use super::aggregation::{WINDOW_END, WINDOW_START};
use super::combiner::{KEY, ROWS, VALUE};
use super::{Aggregation, Fold, Refused};
use crate::batch::RecordBatch;
use crate::state::Span;

impl Aggregation {
    /// Joins states with those of the same groups: all of them, or none. They are as [`super::Combiner`] makes them. Those whose
    /// window is over are left out; returns how many rows they stand for.
    ///
    /// # Errors
    /// See [`Refused`]; columns of another kind, and a group that is there twice.
    pub fn merge<F: Fold>(&mut self, partial: &RecordBatch, fold: &mut F) -> Result<u64, Refused<F::Error>> {
        let odd = |error: ArrowError| Refused::Row(error.to_string());
        let (keys, spans) = self.groups_of(partial).map_err(odd)?;
        let keys = self.groups.key_columns.rows_of(&keys).map_err(odd)?;
        let rows = named(partial, ROWS).map_err(odd)?.as_primitive::<Int64Type>().values();
        let states = self.states_of(partial).map_err(odd)?;
        let (mut known, mut fresh, mut late) = (Vec::new(), Vec::new(), 0);
        let (mut known_rows, mut fresh_rows) = (Vec::new(), Vec::new());
        self.touched.begin();
        let (mut is_twice, mut key) = (false, Vec::new());
        for (row, span) in spans.into_iter().enumerate() {
            if self.watermark.is_past(span.end, self.options.allowed_lateness_us) {
                late += rows[row].unsigned_abs();
                continue;
            }
            let (slot, is_new) = self.groups.keys.find_or_add(keys.get(row, &mut key), span);
            let (slots, of) = if is_new { (&mut fresh, &mut fresh_rows) } else { (&mut known, &mut known_rows) };
            let before = self.touched.count();
            self.touched.number(slot, is_new);
            is_twice |= self.touched.count() == before;
            slots.push(slot);
            of.push(row as u32);
        }
        let take = |rows: Vec<u32>| take_record_batch(&states, &UInt32Array::from(rows));
        let joined = if is_twice {
            Err(Refused::Row("a group is there twice".to_owned()))
        } else {
            take(known_rows).and_then(|known| Ok((known, take(fresh_rows)?))).map_err(odd).and_then(|(right, new)| {
                let left = self.groups.values.gather(&known).map_err(odd)?;
                Ok((fold.merge(&left, &right).map_err(Refused::Fold)?, new))
            })
        };
        let (joined, new) = joined.inspect_err(|_| self.touched.forget(&mut self.groups))?;
        self.groups.values.scatter(&known, &joined);
        self.groups.values.scatter(&fresh, &new);
        known.into_iter().chain(fresh).for_each(|slot| self.groups.changes.note(slot));
        Ok(late)
    }

    /// The key columns and the windows of groups.
    fn groups_of(&self, partial: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<Span>), ArrowError> {
        let names = self.groups.key_columns.schema().fields().iter().map(|field| field.name());
        let keys = names.map(|name| named(partial, &format!("{KEY}{name}")).cloned()).collect::<Result<Vec<_>, _>>()?;
        if self.options.window.is_none() {
            return Ok((keys, vec![Span::ALWAYS; partial.num_rows()]));
        }
        let times =
            |name| Ok::<_, ArrowError>(named(partial, name)?.as_primitive::<TimestampMicrosecondType>().values());
        let (starts, ends) = (times(WINDOW_START)?, times(WINDOW_END)?);
        Ok((keys, starts.iter().zip(ends).map(|(&start, &end)| Span { start, end }).collect()))
    }

    fn states_of(&self, partial: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = self.groups.values.schema();
        let columns = schema.fields().iter().map(|field| named(partial, &format!("{VALUE}{}", field.name())).cloned());
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(partial.num_rows()));
        RecordBatch::try_new_with_options(schema.clone(), columns, &rows)
    }
}

fn named<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{name}`")))
}
