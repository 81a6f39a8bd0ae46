//! States that another version of a plugin left, in the columns of the one that is here.
//!
//! What never happens: a value goes that a plugin kept, without being asked for; a state is taken for one of other columns.

#[cfg(test)]
mod files;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatchOptions, new_null_array};
use arrow::error::ArrowError;

use super::combiner::VALUE;
use crate::batch::{Field, RecordBatch, Schema, SchemaRef, type_name};

/// How states of some columns become states of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// They are the same: nothing is done.
    Same,
    /// Nullable columns have come, columns may be null now that couldn't, or they stand in another order: every value stays.
    Widened,
    /// The plugin makes them out of the others.
    Migrated,
    /// Nullable columns are gone, or must have values now: on the way back to the version before, and then only.
    Narrowed,
    /// They can't be made: why, in words that begin with a column.
    Refused(String),
}

/// How states of the columns `old` become states of the columns `new`, for a plugin that can migrate or can't.
pub fn compatible(old: &SchemaRef, new: &SchemaRef, has_migration: bool) -> StateChange {
    if old.fields() == new.fields() {
        return StateChange::Same;
    }
    let change = by_columns(old, new);
    match change {
        StateChange::Narrowed | StateChange::Refused(_) if has_migration => StateChange::Migrated,
        change => change,
    }
}

fn by_columns(old: &SchemaRef, new: &SchemaRef) -> StateChange {
    let named = |data_type| type_name(data_type).map_or_else(|| data_type.to_string(), str::to_owned);
    let mut narrows = false;
    for is in new.fields() {
        let name = is.name();
        match old.field_with_name(name) {
            Err(_) if !is.is_nullable() => {
                return StateChange::Refused(format!("column `{name}` is new, and not nullable"));
            }
            Err(_) => {}
            Ok(was) if was.data_type() != is.data_type() => {
                let (is, was) = (named(is.data_type()), named(was.data_type()));
                return StateChange::Refused(format!("column `{name}` is {is}, and was {was}"));
            }
            Ok(was) => narrows |= was.is_nullable() && !is.is_nullable(),
        }
    }
    for was in old.fields().iter().filter(|was| new.field_with_name(was.name()).is_err()) {
        if !was.is_nullable() {
            return StateChange::Refused(format!("column `{}` is gone", was.name()));
        }
        narrows = true;
    }
    if narrows { StateChange::Narrowed } else { StateChange::Widened }
}

/// Why states are not carried over.
#[derive(Debug, PartialEq, Eq)]
pub enum NotCarried<E> {
    /// Their columns don't fit: why, in words.
    Refused(String),
    /// The plugin failed at it.
    Failed(E),
}

impl<E> From<ArrowError> for NotCarried<E> {
    fn from(error: ArrowError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Makes states of other columns: the plugin's `migrate`.
pub type Migrate<'a, E> = &'a mut dyn FnMut(&SchemaRef, &RecordBatch) -> Result<RecordBatch, E>;

/// Carries states over.
pub struct Carrier<'a, E> {
    /// The plugin's way, if it has one.
    pub migrate: Option<Migrate<'a, E>>,
    /// This is the way back to the version before: what only the one after it kept may go.
    pub allow_dropped: bool,
    /// How many states there were that weren't as they should be.
    pub carried: usize,
}

impl<E> Carrier<'_, E> {
    /// States, in the columns of `new`.
    ///
    /// # Errors
    /// See [`NotCarried`].
    pub fn carry(&mut self, states: &RecordBatch, new: &SchemaRef) -> Result<RecordBatch, NotCarried<E>> {
        if states.num_rows() == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(new)));
        }
        let old = states.schema();
        let change = match compatible(&old, new, false) {
            StateChange::Same => return Ok(states.clone()),
            StateChange::Narrowed if self.allow_dropped => StateChange::Narrowed,
            StateChange::Narrowed | StateChange::Refused(_) if self.migrate.is_some() => StateChange::Migrated,
            change => change,
        };
        self.carried += states.num_rows();
        match (change, &mut self.migrate) {
            (StateChange::Refused(why), _) => Err(NotCarried::Refused(why)),
            (StateChange::Narrowed, _) if !self.allow_dropped => Err(NotCarried::Refused(lost(&old, new))),
            (StateChange::Migrated, Some(migrate)) => migrate(&old, states).map_err(NotCarried::Failed),
            _ => by_name(states, new),
        }
    }

    /// States as [`super::Combiner`] makes them, beside what they are states of, in the columns of `new`.
    ///
    /// # Errors
    /// See [`NotCarried`]; columns of groups that are others.
    pub fn carry_partial(&mut self, partial: &RecordBatch, new: &SchemaRef) -> Result<RecordBatch, NotCarried<E>> {
        if partial.schema_ref().fields() == new.fields() {
            return Ok(partial.clone());
        }
        let groups = |schema: &Schema| -> Vec<Field> {
            let fields = schema.fields().iter().filter(|field| !field.name().starts_with(VALUE));
            fields.map(|field| field.as_ref().clone()).collect()
        };
        let (was, is) = (groups(partial.schema_ref()), groups(new));
        if was != is {
            let names = |fields: &[Field]| fields.iter().map(Field::to_string).collect::<Vec<_>>().join(", ");
            return Err(NotCarried::Refused(format!("groups are told by {}, and were by {}", names(&is), names(&was))));
        }
        let carried = self.carry(&values(partial)?, &Arc::new(value_schema(new)))?;
        let column = |field: &Arc<Field>| {
            let state = field.name().strip_prefix(VALUE).and_then(|name| carried.column_by_name(name));
            let column = state.or_else(|| partial.column_by_name(field.name()));
            column.cloned().ok_or_else(|| ArrowError::SchemaError(format!("no column `{}`", field.name())))
        };
        let columns: Vec<ArrayRef> = new.fields().iter().map(column).collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(new), columns)?)
    }
}

/// The columns of states among those of [`super::Combiner::schema`].
fn value_schema(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().filter_map(|field| {
        let name = field.name().strip_prefix(VALUE)?;
        Some(field.as_ref().clone().with_name(name))
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn values(partial: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = partial.schema_ref();
    let places = schema.fields().iter().enumerate().filter(|(_, field)| field.name().starts_with(VALUE));
    let columns = places.map(|(place, _)| Arc::clone(partial.column(place))).collect();
    let rows = RecordBatchOptions::new().with_row_count(Some(partial.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(value_schema(schema)), columns, &rows)
}

/// The columns of `new` out of those that are there; those that aren't are null.
fn by_name<E>(states: &RecordBatch, new: &SchemaRef) -> Result<RecordBatch, NotCarried<E>> {
    let column = |field: &Arc<Field>| match states.column_by_name(field.name()) {
        Some(column) if !field.is_nullable() && column.null_count() > 0 => {
            let nulls = column.null_count();
            Err(NotCarried::Refused(format!(
                "column `{}` must have a value, and {nulls} states have none",
                field.name()
            )))
        }
        Some(column) => Ok(Arc::clone(column)),
        None => Ok(new_null_array(field.data_type(), states.num_rows())),
    };
    let columns = new.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(states.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(new), columns, &rows)?)
}

/// What is said of a column that would be lost, or have no value where it must.
fn lost(old: &Schema, new: &Schema) -> String {
    let gone = old.fields().iter().find(|was| new.field_with_name(was.name()).is_err());
    match gone {
        Some(gone) => format!("column `{}` is gone", gone.name()),
        None => "a column must have a value that could be null before".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::batch::DataType::{Float64, Int64, Utf8};

    fn schema(fields: &[(&str, arrow::datatypes::DataType, bool)]) -> SchemaRef {
        let field = |(name, data_type, nullable): &(&str, arrow::datatypes::DataType, bool)| {
            Field::new(*name, data_type.clone(), *nullable)
        };
        Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
    }

    fn count() -> SchemaRef {
        schema(&[("count", Int64, false), ("last", Utf8, true)])
    }

    fn states() -> RecordBatch {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![3, 4])), Arc::new(StringArray::from(vec![Some("a"), None]))];
        RecordBatch::try_new(count(), columns).unwrap()
    }

    fn carry(states: &RecordBatch, new: &SchemaRef, allow_dropped: bool) -> Result<RecordBatch, NotCarried<()>> {
        let mut carrier = Carrier { migrate: None, allow_dropped, carried: 0 };
        let carried = carrier.carry(states, new);
        assert_eq!(carrier.carried > 0, states.schema().fields() != new.fields());
        carried
    }

    #[test]
    fn each_change_of_columns_is_what_it_is() {
        let refused = |why: &str| StateChange::Refused(why.to_owned());
        let cases = [
            (count(), StateChange::Same),
            (schema(&[("count", Int64, false), ("sum", Float64, true), ("last", Utf8, true)]), StateChange::Widened),
            (schema(&[("last", Utf8, true), ("count", Int64, false)]), StateChange::Widened),
            (schema(&[("count", Int64, true), ("last", Utf8, true)]), StateChange::Widened),
            (schema(&[("count", Int64, false)]), StateChange::Narrowed),
            (schema(&[("count", Int64, false), ("sum", Float64, true)]), StateChange::Narrowed),
            (schema(&[("count", Int64, false), ("last", Utf8, false)]), StateChange::Narrowed),
            (schema(&[("last", Utf8, true)]), refused("column `count` is gone")),
            (
                schema(&[("count", Float64, false), ("last", Utf8, true)]),
                refused("column `count` is float64, and was int64"),
            ),
            (
                schema(&[("count", Int64, false), ("last", Utf8, true), ("sum", Float64, false)]),
                refused("column `sum` is new, and not nullable"),
            ),
        ];
        for (new, change) in cases {
            assert_eq!(compatible(&count(), &new, false), change, "{new}");
            let migrated = match change {
                StateChange::Narrowed | StateChange::Refused(_) => StateChange::Migrated,
                change => change,
            };
            assert_eq!(compatible(&count(), &new, true), migrated, "{new}");
        }
    }

    #[test]
    fn columns_that_have_come_are_null_and_all_values_stay() {
        let wide = schema(&[("sum", Float64, true), ("last", Utf8, true), ("count", Int64, false)]);
        let carried = carry(&states(), &wide, false).unwrap();
        assert_eq!(carried.schema(), wide);
        assert_eq!(carried.column(0).null_count(), 2);
        assert_eq!(carried.column(2), states().column(0));
        // And the way back, which has to be asked for.
        assert_eq!(carry(&carried, &count(), false), Err(NotCarried::Refused("column `sum` is gone".to_owned())));
        assert_eq!(carry(&carried, &count(), true), Ok(states()));
    }

    #[test]
    fn a_null_does_not_come_where_none_may_be() {
        let strict = schema(&[("count", Int64, false), ("last", Utf8, false)]);
        let wrong = |why: &str| Err(NotCarried::Refused(why.to_owned()));
        assert_eq!(carry(&states(), &strict, false), wrong("a column must have a value that could be null before"));
        assert_eq!(carry(&states(), &strict, true), wrong("column `last` must have a value, and 1 states have none"));
        assert_eq!(carry(&states().slice(0, 1), &strict, true).unwrap().num_rows(), 1);
    }

    #[test]
    fn a_plugin_migrates_what_else_would_be_refused_but_never_on_the_way_back() {
        let total = schema(&[("total", Int64, false)]);
        let mut calls = 0;
        let mut migrate = |older: &SchemaRef, states: &RecordBatch| {
            calls += 1;
            assert_eq!(older, &count());
            let double = states.column(0).as_primitive::<Int64Type>().unary::<_, Int64Type>(|count| count * 2);
            RecordBatch::try_new(total.clone(), vec![Arc::new(double)]).map_err(|_| ())
        };
        let mut carrier = Carrier { migrate: Some(&mut migrate), allow_dropped: true, carried: 0 };
        let carried = carrier.carry(&states(), &total).unwrap();
        assert_eq!(carried.column(0).as_primitive::<Int64Type>().values(), &[6, 8]);
        assert_eq!(carrier.carry(&states(), &schema(&[("count", Int64, false)])).unwrap().num_columns(), 1);
        carrier.carry(&states(), &schema(&[("count", Int64, true), ("last", Utf8, true)])).unwrap();
        assert_eq!((carrier.carried, calls), (6, 1));
    }

    #[test]
    fn states_on_their_way_keep_their_groups() {
        let partial = |values: &[(&str, arrow::datatypes::DataType, bool)], columns: Vec<ArrayRef>| {
            let mut fields = vec![("key.station", Utf8, true), ("rows", Int64, false)];
            fields.extend_from_slice(values);
            let mut all: Vec<ArrayRef> =
                vec![Arc::new(StringArray::from(vec!["A", "B"])), Arc::new(Int64Array::from(vec![1, 2]))];
            all.extend(columns);
            RecordBatch::try_new(schema(&fields), all).unwrap()
        };
        let old = partial(&[("value.count", Int64, false)], vec![Arc::new(Int64Array::from(vec![5, 6]))]);
        let new = partial(
            &[("value.sum", Int64, true), ("value.count", Int64, false)],
            vec![Arc::new(Int64Array::from(vec![None, None])), Arc::new(Int64Array::from(vec![5, 6]))],
        );
        let mut carrier = Carrier::<()> { migrate: None, allow_dropped: false, carried: 0 };
        assert_eq!(carrier.carry_partial(&old, &new.schema()), Ok(new.clone()));
        assert!(
            matches!(carrier.carry_partial(&new, &old.schema()), Err(NotCarried::Refused(why)) if why.contains("`sum`"))
        );
        carrier.allow_dropped = true;
        assert_eq!(carrier.carry_partial(&new, &old.schema()), Ok(old.clone()));
        let other = old.project(&[1, 2]).unwrap();
        assert!(
            matches!(carrier.carry_partial(&other, &old.schema()), Err(NotCarried::Refused(why)) if why.contains("told by"))
        );
    }
}
