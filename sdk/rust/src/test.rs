//! Runs plugins natively, in a plain `cargo test`, by the host's own rules.
//!
//! What the interface demands of a plugin is checked by the way: batches that keep its rules, rows whose outcome does not depend on the
//! rows beside them, states that do not depend on how rows are cut into batches. Everything here panics where the host would refuse: a failed test says why.

mod aggregate;

pub use aggregate::{AggregateTest, Folded, Grouped, Migrated};

use crate::builder::Cells;
use crate::check;
use crate::filter::Kept;
use crate::outputs::MAIN;
use crate::plugin::Plugin;
use crate::row::{FieldValue, FromRow, Places, ToRow, schema};
use crate::value::Value;
use crate::wit::{Batch, Column, Error, Field, Output, OutputTable, Rejection};

/// A transform with settings, about to be tried.
#[derive(Clone)]
pub struct Test {
    plugin: Plugin,
    settings: Vec<(String, String)>,
}

/// Rows to try a plugin on.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    schema: Vec<Field>,
    batch: Batch,
}

/// What a plugin answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    tables: Vec<OutputTable>,
    output: Output,
}

impl Input {
    /// Rows as structs, with the columns of the struct.
    pub fn rows<R: ToRow>(rows: impl IntoIterator<Item = R>) -> Self {
        let mut builders = R::builders();
        let rows = rows.into_iter().map(|row| row.push(&mut builders)).count();
        Self { schema: schema(R::COLUMNS), batch: Batch { rows: rows as u32, columns: R::finish(&mut builders) } }
    }

    /// No columns yet; they come by [`column`](Self::column).
    pub fn columns() -> Self {
        Self { schema: Vec::new(), batch: Batch { rows: 0, columns: Vec::new() } }
    }

    /// Adds a column: `column("station", [Some("Station A"), None])`; nullable if its values are `Option`s.
    ///
    /// # Panics
    /// If it has not as many rows as the columns before.
    #[must_use]
    pub fn column<T: FieldValue>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut cells = Cells::<<T::Value as Value>::Builder>::default();
        let rows = values.into_iter().map(|value| value.append_to_cells(&mut cells)).count() as u32;
        assert!(self.schema.is_empty() || rows == self.batch.rows, "column `{name}` has {rows} rows");
        self.batch.rows = rows;
        self.batch.columns.push(cells.finish::<T::Value>());
        self.schema.push(Field { name: name.to_owned(), data_type: T::Value::TYPE, nullable: T::NULLABLE });
        self
    }
}

impl Test {
    /// A plugin, as `transform!` defines it, without settings.
    pub fn new(plugin: Plugin) -> Self {
        Self { plugin, settings: Vec::new() }
    }

    /// Adds a setting, as the pipeline would have it.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// The tables that come out for this input, or why the plugin does not take it or its settings.
    pub fn open(&self, input: &Input) -> Result<Vec<OutputTable>, Error> {
        self.plugin.open(&input.schema, self.settings.clone()).map(|opened| opened.tables)
    }

    /// What the plugin answers to these rows.
    ///
    /// # Panics
    /// If it does not open or fails on the batch as a whole, if the answer breaks the rules of the interface, or if it is
    /// another one when each row comes alone.
    pub fn run(&self, input: Input) -> Tested {
        let whole = self.apply(&input, input.batch.clone());
        let mut alone: Vec<Vec<String>> = vec![Vec::new(); whole.tables.len() + 1];
        for row in 0..input.batch.rows {
            let mut tested = self.apply(&input, part(&input.batch, [row as usize]));
            tested.output.rejected.iter_mut().for_each(|rejection| rejection.row = row);
            alone.iter_mut().zip(tested.lines()).for_each(|(all, lines)| all.extend(lines));
        }
        assert_eq!(
            whole.lines(),
            alone,
            "left: all rows at once; right: row by row. A row must not know its neighbours"
        );
        whole
    }

    fn apply(&self, input: &Input, batch: Batch) -> Tested {
        let rows = batch.rows;
        let mut opened = match self.plugin.open(&input.schema, self.settings.clone()) {
            Ok(opened) => opened,
            Err(error) => panic!("the plugin does not open: {error}"),
        };
        let mut output = match opened.apply(batch) {
            Ok(output) => output,
            Err(error) => panic!("the plugin fails: {error}"),
        };
        output.rejected.sort_by_key(|rejection| rejection.row);
        if let Err(broken) = check::output(&opened.tables, &output, rows) {
            panic!("the plugin breaks a rule of the interface: {broken}");
        }
        Tested { tables: opened.tables, output }
    }
}

impl Tested {
    /// The rows of the table `main`.
    ///
    /// # Panics
    /// See [`rows_of`](Self::rows_of).
    pub fn rows<'a, R: FromRow<'a>>(&'a self) -> Vec<R> {
        self.rows_of(MAIN)
    }

    /// The rows of a table.
    ///
    /// # Panics
    /// If there is no such table, or its columns don't fit the struct.
    pub fn rows_of<'a, R: FromRow<'a>>(&'a self, table: &str) -> Vec<R> {
        let Some(at) = self.tables.iter().position(|output| output.name == table) else {
            panic!("no table `{table}` comes out");
        };
        rows_of(table, &self.tables[at].schema, &self.output.batches[at])
    }

    /// The rejected rows: index and reason, in order.
    pub fn rejected(&self) -> Vec<(u32, &str)> {
        reasons(&self.output.rejected)
    }

    /// The tables and what came out, in columns.
    pub fn output(&self) -> (&[OutputTable], &Output) {
        (&self.tables, &self.output)
    }

    /// A line for each row of each table, then one for each rejection.
    fn lines(&self) -> Vec<Vec<String>> {
        let rejected = self.rejected().iter().map(|(row, reason)| format!("{row}: {reason}")).collect();
        self.output.batches.iter().map(lines).chain([rejected]).collect()
    }
}

/// The rows of a batch as structs.
fn rows_of<'a, R: FromRow<'a>>(name: &str, schema: &[Field], batch: &'a Batch) -> Vec<R> {
    let readers = Places::find(R::COLUMNS, schema).and_then(|places| R::readers(batch, &places));
    let readers = readers.unwrap_or_else(|error| panic!("`{name}` has other columns: {error}"));
    let row = |row| R::read(&readers, row).unwrap_or_else(|reject| panic!("`{name}`, row {row}: {reject}"));
    (0..batch.rows as usize).map(row).collect()
}

fn reasons(rejected: &[Rejection]) -> Vec<(u32, &str)> {
    rejected.iter().map(|rejection| (rejection.row, rejection.reason.as_str())).collect()
}

/// A line for each row.
fn lines(batch: &Batch) -> Vec<String> {
    let line = |row| batch.columns.iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(", ");
    (0..batch.rows as usize).map(line).collect()
}

/// A value in words.
fn cell(column: &Column, row: usize) -> String {
    if column.is_valid(row) { column.values.text(row) } else { "null".to_owned() }
}

/// Some of the rows of a batch: those at `rows`, in order.
fn part(batch: &Batch, rows: impl IntoIterator<Item = usize>) -> Batch {
    let mut kept = Kept::default();
    rows.into_iter().for_each(|row| kept.keep(row));
    kept.of(batch.clone())
}
