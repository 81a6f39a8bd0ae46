//! What two versions of a pipeline made of the same rows: the rows that only one of them has, whatever their order.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use arrow::row::{Row, RowConverter, Rows, SortField};
use serde::Serialize;
use serde_json::Value;

use super::json::{cut_row, row};
use crate::batch::{RecordBatch, Schema};

/// Rows that are shown of each side.
const EXAMPLES: usize = 3;

/// How the rows of one output differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableDifference {
    /// `main`, or the output's name.
    pub output: String,
    /// Rows of the old version.
    pub rows_old: u64,
    /// Rows of the new version.
    pub rows_new: u64,
    /// Rows that only the old version has: by the columns that both have.
    pub only_old: u64,
    /// Rows that only the new version has.
    pub only_new: u64,
    /// Rows that have changed, were dropped or added: the more of the two, for each batch.
    pub changed: u64,
    /// Columns that only the new version has.
    pub added: Vec<String>,
    /// Columns that only the old version has.
    pub removed: Vec<String>,
    /// Columns that have another type now. They aren't compared.
    pub retyped: Vec<String>,
    /// Some of the rows that only the old version has: user data.
    pub examples_old: Vec<Value>,
    /// Some of the rows that only the new version has: user data.
    pub examples_new: Vec<Value>,
}

/// Compares the rows of one output.
pub(super) struct TableComparison {
    pub(super) difference: TableDifference,
    /// Where the columns that both have stand in each.
    columns: Vec<(usize, usize)>,
    converter: RowConverter,
}

impl TableComparison {
    /// For an output that the old version writes in these columns, and the new one in those; none: it hasn't got it.
    pub(super) fn new(output: &str, old: &Schema, new: &Schema) -> Result<Self, ArrowError> {
        let mut difference = TableDifference { output: output.to_owned(), ..TableDifference::default() };
        let (mut columns, mut sorts) = (Vec::new(), Vec::new());
        for (at, field) in old.fields().iter().enumerate() {
            match new.fields().find(field.name()) {
                None => difference.removed.push(field.name().clone()),
                Some((_, other)) if other.data_type() != field.data_type() => {
                    difference.retyped.push(field.name().clone());
                }
                Some((in_new, _)) => {
                    columns.push((at, in_new));
                    sorts.push(SortField::new(field.data_type().clone()));
                }
            }
        }
        let is_added = |name: &&String| old.fields().find(name).is_none();
        difference.added = new.fields().iter().map(|field| field.name()).filter(is_added).cloned().collect();
        Ok(Self { difference, columns, converter: RowConverter::new(sorts)? })
    }

    /// Compares what both made of one batch.
    pub(super) fn add(&mut self, old: &[RecordBatch], new: &[RecordBatch]) -> Result<(), ArrowError> {
        let (count_old, count_new) = (count(old), count(new));
        let found = &mut self.difference;
        found.rows_old += count_old;
        found.rows_new += count_new;
        let (old_rows, new_rows) = match self.columns.is_empty() {
            // Nothing to compare them by.
            true => (None, None),
            false => {
                let rows = |batches: &[RecordBatch], at: Vec<usize>| self::rows(&self.converter, batches, &at);
                let at = &self.columns;
                (
                    Some(rows(old, at.iter().map(|(old, _)| *old).collect())?),
                    Some(rows(new, at.iter().map(|(_, new)| *new).collect())?),
                )
            }
        };
        let (only_old, only_new) = match (&old_rows, &new_rows) {
            (Some(old_rows), Some(new_rows)) => surplus(old_rows, new_rows),
            _ => ((0..count_old as usize).collect(), (0..count_new as usize).collect()),
        };
        found.only_old += only_old.len() as u64;
        found.only_new += only_new.len() as u64;
        found.changed += only_old.len().max(only_new.len()) as u64;
        for (examples, batches, rows) in
            [(&mut found.examples_old, old, only_old), (&mut found.examples_new, new, only_new)]
        {
            for index in rows.into_iter().take(EXAMPLES.saturating_sub(examples.len())) {
                examples.push(example(batches, index)?);
            }
        }
        Ok(())
    }
}

fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

fn rows(converter: &RowConverter, batches: &[RecordBatch], columns: &[usize]) -> Result<Rows, ArrowError> {
    let mut rows = converter.empty_rows(count(batches) as usize, 0);
    for batch in batches {
        let columns: Vec<ArrayRef> = columns.iter().map(|&column| batch.column(column).clone()).collect();
        converter.append(&mut rows, &columns)?;
    }
    Ok(rows)
}

/// Which rows are there more often than in the other: those of each that come first.
fn surplus(old: &Rows, new: &Rows) -> (Vec<usize>, Vec<usize>) {
    let mut more: HashMap<Row<'_>, i64> = HashMap::with_capacity(old.num_rows());
    old.iter().for_each(|row| *more.entry(row).or_default() += 1);
    new.iter().for_each(|row| *more.entry(row).or_default() -= 1);
    (take(&mut more, old, 1), take(&mut more, new, -1))
}

/// The rows of which there are more by this sign.
fn take<'a>(more: &mut HashMap<Row<'a>, i64>, rows: &'a Rows, sign: i64) -> Vec<usize> {
    let mut taken = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        if let Some(more) = more.get_mut(&row).filter(|more| **more * sign > 0) {
            *more -= sign;
            taken.push(index);
        }
    }
    taken
}

fn example(batches: &[RecordBatch], mut index: usize) -> Result<Value, ArrowError> {
    for batch in batches {
        if index < batch.num_rows() {
            return Ok(cut_row(row(batch, index)?));
        }
        index -= batch.num_rows();
    }
    Ok(Value::Null)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};
    use serde_json::json;

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values))
    }

    fn numbers(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn compare(old: &RecordBatch, new: &RecordBatch) -> TableDifference {
        let mut comparison = TableComparison::new("main", old.schema_ref(), new.schema_ref()).unwrap();
        comparison.add(&[old.slice(0, 1), old.slice(1, old.num_rows() - 1)], std::slice::from_ref(new)).unwrap();
        comparison.difference
    }

    #[test]
    fn rows_are_counted_as_often_as_they_are_there_in_any_order() {
        let old = batch(vec![("a", texts(&["x", "x", "y", "z"]))]);
        let same = compare(&old, &batch(vec![("a", texts(&["z", "x", "y", "x"]))]));
        assert_eq!((same.rows_old, same.rows_new, same.changed), (4, 4, 0));
        let found = compare(&old, &batch(vec![("a", texts(&["x", "y", "y", "y", "w", "z"]))]));
        assert_eq!((found.rows_old, found.rows_new, found.only_old, found.only_new, found.changed), (4, 6, 1, 3, 3));
        assert_eq!(found.examples_old, [json!({ "a": "x" })]);
        assert_eq!(found.examples_new, [json!({ "a": "y" }), json!({ "a": "y" }), json!({ "a": "w" })]);
    }

    #[test]
    fn columns_that_only_one_has_are_named_and_not_compared() {
        let old = batch(vec![("gone", numbers(&[1, 2])), ("n", numbers(&[1, 2])), ("t", numbers(&[1, 2]))]);
        let new = batch(vec![("t", texts(&["1", "2"])), ("n", numbers(&[2, 1])), ("more", numbers(&[3, 4]))]);
        let found = compare(&old, &new);
        assert_eq!(
            (found.changed, found.added, found.removed, found.retyped),
            (0, vec!["more".to_owned()], vec!["gone".to_owned()], vec!["t".to_owned()])
        );
        // With the columns that aren't compared.
        let found = compare(&old, &batch(vec![("n", numbers(&[2, 3])), ("more", numbers(&[5, 6]))]));
        assert_eq!(found.examples_old, [json!({ "gone": 1, "n": 1, "t": 1 })]);
        assert_eq!(found.examples_new, [json!({ "n": 3, "more": 6 })]);
        let nothing = compare(&old, &batch(vec![("other", numbers(&[1]))]));
        assert_eq!((nothing.only_old, nothing.only_new, nothing.changed), (2, 1, 2), "nothing in common");
    }

    #[test]
    fn what_is_not_a_number_is_the_same_as_itself() {
        let nan: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(-0.0)]));
        assert_eq!(compare(&batch(vec![("f", nan.clone())]), &batch(vec![("f", nan)])).changed, 0);
    }

    #[test]
    fn a_batch_is_compared_with_what_became_of_it_and_few_rows_are_shown() {
        let schema = batch(vec![("n", numbers(&[]))]).schema();
        let mut comparison = TableComparison::new("late", &schema, &schema).unwrap();
        for first in [0, 10] {
            let old = batch(vec![("n", numbers(&[first, first + 1]))]);
            let new = batch(vec![("n", numbers(&[10 - first, 11 - first]))]);
            comparison.add(&[old], &[new]).unwrap();
        }
        let found = comparison.difference;
        assert_eq!((found.output.as_str(), found.only_old, found.only_new, found.changed), ("late", 4, 4, 4));
        assert_eq!((found.examples_old.len(), found.examples_new.len()), (EXAMPLES, EXAMPLES));
    }
}
