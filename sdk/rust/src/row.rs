//! Rows: structs whose fields are columns. `#[derive(Row)]` implements both traits of this module.

use crate::builder::Cells;
use crate::reject::Reject;
use crate::value::{ReadValue, Value};
use crate::wit::{Batch, Column, DataType, Error, Field};

/// A column as a struct's field asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// The column's name.
    pub name: &'static str,
    /// The column's type.
    pub data_type: DataType,
    /// Whether the field is an `Option`.
    pub nullable: bool,
    /// Whether the input may lack the column: every row reads as `None` then.
    pub optional: bool,
}

/// A struct that rows of the input can be read into.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no row of the input",
    note = "derive it: `#[derive(Row)] struct {Self} {{ ... }}`"
)]
pub trait FromRow<'a>: Sized {
    /// The columns that the struct wants, in the order of its fields.
    const COLUMNS: &'static [FieldSpec];
    /// Looks into the struct's columns of one batch.
    type Readers;
    /// Looks into the columns of `input`; `places[i]` is where the `i`th of [`COLUMNS`](Self::COLUMNS) is found.
    fn readers(input: &'a Batch, places: &Places) -> Result<Self::Readers, Error>;
    /// Row `row`; a rejection where a field that is no `Option` finds a null.
    fn read(readers: &Self::Readers, row: usize) -> Result<Self, Reject>;
}

/// Nothing is taken of a row.
impl FromRow<'_> for () {
    const COLUMNS: &'static [FieldSpec] = &[];
    type Readers = ();
    fn readers(_input: &Batch, _places: &Places) -> Result<(), Error> {
        Ok(())
    }
    fn read((): &(), _row: usize) -> Result<Self, Reject> {
        Ok(())
    }
}

/// A struct that can be appended to a table of the output.
pub trait ToRow: Sized {
    /// The columns that the struct fills, in the order of its fields.
    const COLUMNS: &'static [FieldSpec];
    /// The columns in the making.
    type Builders: 'static;
    /// Empty columns.
    fn builders() -> Self::Builders;
    /// Makes room for `rows` more rows.
    fn reserve(builders: &mut Self::Builders, rows: usize);
    /// Appends a row.
    fn push(self, builders: &mut Self::Builders);
    /// The columns so far; the builders are empty afterwards.
    fn finish(builders: &mut Self::Builders) -> Vec<Column>;
}

/// Where in the input a struct's columns are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places(Vec<Option<usize>>);

impl Places {
    /// Finds `columns` in `input`; an [`Error::UnsupportedSchema`] names all that are missing or have another type.
    pub fn find(columns: &[FieldSpec], input: &[Field]) -> Result<Self, Error> {
        let (places, problems) = Self::look(columns, input);
        if problems.is_empty() { Ok(places) } else { Err(Error::UnsupportedSchema(problems.join("; "))) }
    }

    /// Finds `columns` in `input`, and says what is wrong with those that can't be read.
    pub(crate) fn look(columns: &[FieldSpec], input: &[Field]) -> (Self, Vec<String>) {
        Self::search(columns, input, |FieldSpec { name, data_type, .. }, found| {
            let wanted = data_type.name();
            match found {
                None => Some(format!("column `{name}` is missing, declare it: {name} = \"{wanted}\"")),
                Some(found) if found.data_type != *data_type => {
                    let found = found.data_type.name();
                    Some(format!("column `{name}` is {found}, declare it as {wanted}: {name} = \"{wanted}\""))
                }
                Some(_) => None,
            }
        })
    }

    /// The same in the columns of groups. No row could be rejected for a null there: what may hold one must be an `Option`.
    pub(crate) fn look_in_groups(columns: &[FieldSpec], groups: &[Field]) -> (Self, Vec<String>) {
        Self::search(columns, groups, |FieldSpec { name, data_type, nullable, .. }, found| match found {
            None if *name == "window_start" || *name == "window_end" => {
                Some(format!("groups have no column `{name}`, give the pipeline a window"))
            }
            None => Some(format!("groups have no column `{name}`, put it into the key")),
            Some(found) if found.data_type != *data_type => {
                let (found, wanted) = (found.data_type.name(), data_type.name());
                Some(format!("the key's column `{name}` is {found}, and the plugin takes {wanted}"))
            }
            Some(found) if found.nullable && !nullable => Some(format!(
                "the key's column `{name}` may be null, and the plugin takes none: declare it as not nullable"
            )),
            Some(_) => None,
        })
    }

    /// The same in the columns of older states.
    pub(crate) fn look_in_older(columns: &[FieldSpec], older: &[Field]) -> (Self, Vec<String>) {
        Self::search(columns, older, |FieldSpec { name, data_type, .. }, found| match found {
            None => Some(format!("older states have no column `{name}`")),
            Some(found) if found.data_type != *data_type => {
                let (found, wanted) = (found.data_type.name(), data_type.name());
                Some(format!("the column `{name}` of older states is {found}, and `Older` takes {wanted}"))
            }
            Some(_) => None,
        })
    }

    fn search(
        columns: &[FieldSpec],
        input: &[Field],
        problem: impl Fn(&FieldSpec, Option<&Field>) -> Option<String>,
    ) -> (Self, Vec<String>) {
        let mut places = Vec::with_capacity(columns.len());
        let mut problems = Vec::new();
        for column in columns {
            let place = input.iter().position(|field| field.name == column.name);
            let found = place.map(|place| &input[place]);
            if !(column.optional && found.is_none()) {
                problems.extend(problem(column, found));
            }
            places.push(place);
        }
        (Self(places), problems)
    }

    /// A look into the `index`th of the struct's columns.
    #[doc(hidden)]
    pub fn reader<'a, T: ReadField<'a>>(&self, input: &'a Batch, index: usize) -> Result<T::Reader, Error> {
        let Some(place) = self.0[index] else { return Ok(T::missing()) };
        let reader = input.columns.get(place).and_then(|column| T::reader(column, input.rows as usize));
        reader.ok_or_else(|| Error::Other(format!("column {place} of the batch is not what `open` was told")))
    }
}

/// The schema that `columns` make.
pub(crate) fn schema(columns: &[FieldSpec]) -> Vec<Field> {
    let field = |column: &FieldSpec| Field {
        name: column.name.to_owned(),
        data_type: column.data_type,
        nullable: column.nullable,
    };
    columns.iter().map(field).collect()
}

/// What a field of a row can be: a [`Value`], or an `Option` of one.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a column can't hold `{Self}`",
    label = "no type of a column",
    note = "a field is a bool, i32, i64, f32, f64, Date, Timestamp, String, &str, Cow<str>, Vec<u8> or &[u8], or an Option of one of them"
)]
pub trait FieldValue: Sized {
    type Value: Value;
    const NULLABLE: bool;
    fn append_to_cells(self, cells: &mut Cells<<Self::Value as Value>::Builder>);
}

/// A field that can be read from a column that lives for `'a`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be read from a column of the input",
    note = "text and bytes are borrowed for the lifetime of the row: `struct Row<'a> {{ id: &'a str }}`"
)]
pub trait ReadField<'a>: FieldValue {
    type Reader;
    fn reader(column: &'a Column, rows: usize) -> Option<Self::Reader>;
    /// The reader of a column that the input lacks.
    fn missing() -> Self::Reader;
    /// `None` where a null meets a field that is no `Option`.
    fn read(reader: &Self::Reader, row: usize) -> Option<Self>;
}

impl<T: Value> FieldValue for T {
    type Value = T;
    const NULLABLE: bool = false;
    #[inline]
    fn append_to_cells(self, cells: &mut Cells<T::Builder>) {
        cells.push(self);
    }
}

impl<T: Value> FieldValue for Option<T> {
    type Value = T;
    const NULLABLE: bool = true;
    #[inline]
    fn append_to_cells(self, cells: &mut Cells<T::Builder>) {
        cells.push_option(self);
    }
}

/// Values, and which rows have one. The default stands for a column that the input lacks: no row has a value.
#[doc(hidden)]
#[derive(Debug)]
pub struct Checked<'a, R> {
    values: R,
    validity: Option<&'a [u8]>,
}

impl<'a, R: Default> Checked<'a, R> {
    fn new<T: ReadValue<'a, Reader = R>>(column: &'a Column, rows: usize) -> Option<Self> {
        let validity = column.validity.as_deref().map(|bits| &bits[..rows.div_ceil(8)]);
        Some(Self { values: T::reader(column, rows)?, validity })
    }

    fn missing() -> Self {
        Self { values: R::default(), validity: Some(&[]) }
    }

    #[inline]
    fn get<T: ReadValue<'a, Reader = R>>(&self, row: usize) -> Option<T> {
        match self.validity {
            Some(bits) if bits.get(row / 8).is_none_or(|byte| byte >> (row % 8) & 1 == 0) => None,
            _ => Some(T::get(&self.values, row)),
        }
    }
}

impl<'a, T: ReadValue<'a>> ReadField<'a> for T {
    type Reader = Checked<'a, T::Reader>;
    fn reader(column: &'a Column, rows: usize) -> Option<Self::Reader> {
        Checked::new::<T>(column, rows)
    }
    fn missing() -> Self::Reader {
        Checked::missing()
    }
    #[inline]
    fn read(reader: &Self::Reader, row: usize) -> Option<T> {
        reader.get::<T>(row)
    }
}

impl<'a, T: ReadValue<'a>> ReadField<'a> for Option<T> {
    type Reader = Checked<'a, T::Reader>;
    fn reader(column: &'a Column, rows: usize) -> Option<Self::Reader> {
        Checked::new::<T>(column, rows)
    }
    fn missing() -> Self::Reader {
        Checked::missing()
    }
    #[inline]
    fn read(reader: &Self::Reader, row: usize) -> Option<Option<T>> {
        Some(reader.get::<T>(row))
    }
}
