//! Runs aggregates natively: rows at once, one by one, and in two parts that are joined.

use std::collections::HashMap;

use super::{Input, cell, lines, part, reasons, rows_of};
use crate::check;
use crate::folding::{AggregatePlugin, OpenedAggregate};
use crate::row::{FromRow, ToRow};
use crate::wit::{Batch, Column, DataType, Error, Field, Plan, Rejection, Updated, Values, Varlen};

/// An aggregate with settings, about to be tried.
#[derive(Clone)]
pub struct AggregateTest {
    plugin: AggregatePlugin,
    settings: Vec<(String, String)>,
}

/// What an aggregate made of older states.
#[derive(Debug, Clone, PartialEq)]
pub struct Migrated {
    plan: Plan,
    states: Batch,
}

/// Rows to try an aggregate on, each with its group.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouped {
    rows: Input,
    /// Each once, in the order in which they come up.
    groups: Input,
    group_of_row: Vec<u32>,
}

/// What an aggregate made of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    plan: Plan,
    states: Batch,
    output: Batch,
    rejected: Vec<Rejection>,
}

impl Grouped {
    /// Groups and rows as structs: `Grouped::rows([(Station { .. }, Arrival { .. }), ...])`. Pairs with equal groups are of one group.
    pub fn rows<G: ToRow, R: ToRow>(pairs: impl IntoIterator<Item = (G, R)>) -> Self {
        let (groups, rows): (Vec<G>, Vec<R>) = pairs.into_iter().unzip();
        let group_of_each = Input::rows(groups);
        let mut seen = HashMap::new();
        let mut first = Vec::new();
        let mut group_of_row = Vec::new();
        for (row, group) in lines(&group_of_each.batch).into_iter().enumerate() {
            let next = first.len() as u32;
            let group = *seen.entry(group).or_insert_with(|| {
                first.push(row);
                next
            });
            group_of_row.push(group);
        }
        let groups = Input { batch: part(&group_of_each.batch, first), schema: group_of_each.schema };
        Self { rows: Input::rows(rows), groups, group_of_row }
    }

    /// The rows at these places, and their groups.
    fn part(&self, rows: &[usize]) -> (Batch, Vec<u32>) {
        (part(&self.rows.batch, rows.iter().copied()), rows.iter().map(|row| self.group_of_row[*row]).collect())
    }
}

impl AggregateTest {
    /// An aggregate, as `aggregate!` defines it, without settings.
    pub fn new(plugin: AggregatePlugin) -> Self {
        Self { plugin, settings: Vec::new() }
    }

    /// Adds a setting, as the pipeline would have it.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// The columns of states and of what comes out for these rows and groups, or why the aggregate does not take them or its settings.
    pub fn open(&self, input: &Input, groups: &Input) -> Result<Plan, Error> {
        Ok(self.plugin.open(&input.schema, &groups.schema, self.settings.clone())?.plan().clone())
    }

    /// What the aggregate makes of these rows: their states, and what comes out for them.
    ///
    /// # Panics
    /// If it does not open or fails on a batch as a whole, if an answer breaks the rules of the interface, if a rejected row has
    /// changed a state, or if states are others when each row comes alone, or when those of the first rows and those of the rest are
    /// merged.
    pub fn run(&self, input: Grouped) -> Folded {
        let mut folding = Folding::new(self, &input);
        let rows: Vec<usize> = (0..input.group_of_row.len()).collect();
        let Updated { states, rejected } = folding.update(&rows);
        let is_rejected = |row: &usize| rejected.iter().any(|rejection| rejection.row as usize == *row);

        let all = (lines(&states), rejected.clone());
        assert_eq!(
            all,
            folding.row_by_row(),
            "left: all rows at once; right: row by row. A state must not depend on how rows are cut into batches"
        );
        let taken: Vec<usize> = rows.iter().copied().filter(|row| !is_rejected(row)).collect();
        assert_eq!(
            lines(&states),
            lines(&folding.update(&taken).states),
            "left: all rows; right: without those that were rejected. A rejected row must not change a state"
        );
        for cut in 0..=rows.len() {
            let (left, right) = (folding.update(&rows[..cut]).states, folding.update(&rows[cut..]).states);
            let merged = folding.merge(&left, &right);
            assert!(
                alike(&states, &merged),
                "all rows at once give {:#?}, the first {cut} merged with the others {:#?}",
                lines(&states),
                lines(&merged)
            );
        }

        let output = folding.finish(&input.groups.batch, &states);
        let groups = 0..states.rows as usize;
        let alone = groups.map(|group| folding.finish(&part(&input.groups.batch, [group]), &part(&states, [group])));
        let alone: Vec<String> = alone.flat_map(|output| lines(&output)).collect();
        assert_eq!(
            lines(&output),
            alone,
            "left: all groups at once; right: group by group. A group must not know its neighbours"
        );
        Folded { plan: folding.opened.plan().clone(), states, output, rejected }
    }

    /// What an aggregate that migrates makes of the states of an older version, or why they can't be carried over. `like` has the columns
    /// of rows and groups that it is opened for.
    pub fn try_migrate(&self, like: &Grouped, older: &Input) -> Result<Migrated, Error> {
        let mut opened = Folding::new(self, like).opened;
        let states = opened.migrate(&older.schema, &older.batch)?;
        kept(check::states(opened.plan(), &states, older.batch.rows));
        Ok(Migrated { plan: opened.plan().clone(), states })
    }

    /// The same of states that can be carried over.
    ///
    /// # Panics
    /// If they can't, if the answer breaks the rules of the interface, or if a state is made another when it comes alone.
    pub fn migrate(&self, like: &Grouped, older: Input) -> Migrated {
        let all = taken(self.try_migrate(like, &older));
        let alone = (0..older.batch.rows as usize).flat_map(|row| {
            let alone = Input { batch: part(&older.batch, [row]), schema: older.schema.clone() };
            lines(&taken(self.try_migrate(like, &alone)).states)
        });
        assert_eq!(
            lines(&all.states),
            alone.collect::<Vec<_>>(),
            "left: all states at once; right: one by one. A state must not know its neighbours"
        );
        all
    }
}

impl Migrated {
    /// The states, in the order of the older ones.
    ///
    /// # Panics
    /// If their columns don't fit the struct.
    pub fn states<'a, S: FromRow<'a>>(&'a self) -> Vec<S> {
        rows_of("state", &self.plan.state, &self.states)
    }
}

/// An opened aggregate and what it is tried on. Everything that comes back is checked.
struct Folding<'a> {
    input: &'a Grouped,
    opened: OpenedAggregate,
}

impl<'a> Folding<'a> {
    fn new(test: &AggregateTest, input: &'a Grouped) -> Self {
        let opened = match test.plugin.open(&input.rows.schema, &input.groups.schema, test.settings.clone()) {
            Ok(opened) => opened,
            Err(error) => panic!("the aggregate does not open: {error}"),
        };
        kept(check::plan(opened.plan()));
        Self { input, opened }
    }

    /// The states of all groups after some of the rows.
    fn update(&mut self, rows: &[usize]) -> Updated {
        let (batch, group_of_row) = self.input.part(rows);
        let groups = self.input.groups.batch.rows;
        self.call(&batch, &group_of_row, groups, &empty(&self.opened.plan().state))
    }

    /// Lines of the states of all groups after all rows, of which each came alone; and what was rejected.
    fn row_by_row(&mut self) -> (Vec<String>, Vec<Rejection>) {
        let mut states: Vec<Batch> = vec![empty(&self.opened.plan().state); self.input.groups.batch.rows as usize];
        let mut rejected = Vec::new();
        for (row, group) in self.input.group_of_row.iter().enumerate() {
            let (batch, _) = self.input.part(&[row]);
            let state = &mut states[*group as usize];
            let updated = self.call(&batch, &[0], 1, state);
            *state = updated.states;
            rejected.extend(updated.rejected.into_iter().map(|found| Rejection { row: row as u32, ..found }));
        }
        (states.iter().flat_map(lines).collect(), rejected)
    }

    fn call(&mut self, rows: &Batch, group_of_row: &[u32], groups: u32, states: &Batch) -> Updated {
        let mut updated = taken(self.opened.update(rows, group_of_row, groups, states));
        updated.rejected.sort_by_key(|rejection| rejection.row);
        kept(check::states(self.opened.plan(), &updated.states, groups));
        kept(check::rejections(&updated.rejected, rows.rows));
        updated
    }

    fn merge(&mut self, left: &Batch, right: &Batch) -> Batch {
        let merged = taken(self.opened.merge(left, right));
        kept(check::states(self.opened.plan(), &merged, left.rows));
        merged
    }

    fn finish(&mut self, groups: &Batch, states: &Batch) -> Batch {
        let output = taken(self.opened.finish(groups, states));
        kept(check::batch(&self.opened.plan().output, &output));
        output
    }
}

/// A panic for an aggregate that fails as a whole.
fn taken<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("the aggregate fails: {error}"))
}

fn kept(checked: Result<(), String>) {
    if let Err(broken) = checked {
        panic!("the aggregate breaks a rule of the interface: {broken}");
    }
}

/// Whether states are the same, but for what adding numbers in another order does to their last digits.
fn alike(left: &Batch, right: &Batch) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    let alike = |left: &Column, right: &Column, row: usize| match (&left.values, &right.values) {
        _ if cell(left, row) == cell(right, row) => true,
        _ if !(left.is_valid(row) && right.is_valid(row)) => false,
        (Values::Float64(left), Values::Float64(right)) => close(left[row], right[row]),
        (Values::Float32(left), Values::Float32(right)) => close(left[row].into(), right[row].into()),
        _ => false,
    };
    let rows = left.rows as usize;
    let mut columns = left.columns.iter().zip(&right.columns);
    columns.all(|(left, right)| (0..rows).all(|row| alike(left, right, row)))
}

/// No rows of a table.
fn empty(schema: &[Field]) -> Batch {
    let none = || Varlen { offsets: vec![0], bytes: Vec::new() };
    let column = |field: &Field| {
        let values = match field.data_type {
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Utf8 => Values::Utf8(none()),
            DataType::Binary => Values::Binary(none()),
            DataType::Date => Values::Date(Vec::new()),
            DataType::Timestamp => Values::Timestamp(Vec::new()),
        };
        Column { values, validity: None }
    };
    Batch { rows: 0, columns: schema.iter().map(column).collect() }
}

impl Folded {
    /// What came out, in the order of the groups.
    ///
    /// # Panics
    /// If its columns don't fit the struct.
    pub fn rows<'a, R: FromRow<'a>>(&'a self) -> Vec<R> {
        rows_of("output", &self.plan.output, &self.output)
    }

    /// The states, in the order in which the groups came up.
    ///
    /// # Panics
    /// If their columns don't fit the struct.
    pub fn states<'a, S: FromRow<'a>>(&'a self) -> Vec<S> {
        rows_of("state", &self.plan.state, &self.states)
    }

    /// The rejected rows: index and reason, in order.
    pub fn rejected(&self) -> Vec<(u32, &str)> {
        reasons(&self.rejected)
    }

    /// What the aggregate announced.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}
