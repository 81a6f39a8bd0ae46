//! The parsed file as a tree of values that know where they stand, and paths into it.

use std::fmt;
use std::ops::Range;

use indexmap::IndexMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its byte range in the sources.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;
/// A table of them.
pub(super) type Table<'t> = DeTable<'t>;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root of the tree to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Path {
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub(super) fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The last key; `None` for the root and elements of arrays.
    pub(super) fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The value at the path.
pub(super) fn get<'a, 't>(root: &'a Value<'t>, path: &Path) -> Option<&'a Value<'t>> {
    path.0.iter().try_fold(root, |value, step| match step {
        Step::Key(key) => value.get_ref().get(key.as_str()),
        Step::Index(index) => value.get_ref().get(*index),
    })
}

/// The value at the path, to be changed.
pub(super) fn get_mut<'a, 't>(root: &'a mut Value<'t>, path: &Path) -> Option<&'a mut Value<'t>> {
    path.0.iter().try_fold(root, |value, step| match (value.get_mut(), step) {
        (DeValue::Table(table), Step::Key(key)) => table.get_mut(key.as_str()),
        (DeValue::Array(array), Step::Index(index)) => array.get_mut(*index),
        _ => None,
    })
}

/// Takes the value at the path out of the tree. The root stays.
pub(super) fn remove(root: &mut Value<'_>, path: &Path) {
    let Some((last, before)) = path.0.split_last() else { return };
    match (get_mut(root, &Path(before.to_vec())).map(Spanned::get_mut), last) {
        (Some(DeValue::Table(table)), Step::Key(key)) => drop(table.remove(key.as_str())),
        (Some(DeValue::Array(array)), Step::Index(index)) => {
            let all = std::mem::replace(array, std::iter::empty().collect());
            *array = all.into_iter().enumerate().filter(|(at, _)| at != index).map(|(_, value)| value).collect();
        }
        _ => {}
    }
}

/// The steps to the values directly below, with the range of the key where there is one.
pub(super) fn children<'a, 't>(value: &'a Value<'t>) -> Vec<(Step, Option<Range<usize>>, &'a Value<'t>)> {
    match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (Step::Key(key.get_ref().to_string()), Some(key.span()), value)).collect()
        }
        DeValue::Array(array) => array.iter().enumerate().map(|(at, value)| (Step::Index(at), None, value)).collect(),
        _ => Vec::new(),
    }
}

/// The deepest value that has this range, or whose key has it.
pub(super) fn find(root: &Value<'_>, range: &Range<usize>) -> Option<Path> {
    fn search(value: &Value<'_>, path: &Path, range: &Range<usize>) -> Option<Path> {
        children(value).into_iter().find_map(|(step, key, child)| {
            let path = path.step(step);
            let here = child.span() == *range || key.is_some_and(|key| key == *range);
            search(child, &path, range).or(here.then_some(path))
        })
    }
    search(root, &Path::default(), range)
}

/// The ranges of a key and of its value. Elements of arrays have no key: theirs is the value's.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// Where every value stands, by path as text.
pub(super) fn places(root: &Value<'_>) -> IndexMap<String, Place> {
    fn collect(value: &Value<'_>, path: &Path, places: &mut IndexMap<String, Place>) {
        for (step, key, child) in children(value) {
            let path = path.step(step);
            let place = Place { key: key.unwrap_or_else(|| child.span()), value: child.span() };
            places.insert(path.to_string(), place);
            collect(child, &path, places);
        }
    }
    let mut all = IndexMap::new();
    collect(root, &Path::default(), &mut all);
    all
}

/// The value with all ranges moved on by `by`, and dates as the text they were written as.
pub(super) fn moved(value: Value<'_>, by: usize) -> Value<'_> {
    let range = value.span();
    let inner = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(moved_table(table, by)),
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(|value| moved(value, by)).collect()),
        DeValue::Datetime(date) => DeValue::String(date.to_string().into()),
        scalar => scalar,
    };
    Spanned::new(range.start + by..range.end + by, inner)
}

/// [`moved`] for a table.
pub(super) fn moved_table(table: Table<'_>, by: usize) -> Table<'_> {
    let mut all = Table::new();
    for (key, value) in table {
        let range = key.span();
        all.insert(Spanned::new(range.start + by..range.end + by, key.into_inner()), moved(value, by));
    }
    all
}

/// librdkafka's properties have dots in their names. Unquoted, TOML takes them for tables: `bootstrap.servers` is put
/// together again, in `[kafka]` and in the `kafka` of each pipeline.
pub(super) fn join_property_names(root: &mut Value<'_>) {
    let DeValue::Table(file) = root.get_mut() else { return };
    join_names_of(file.get_mut("kafka"));
    if let Some(DeValue::Table(pipelines)) = file.get_mut("pipeline").map(Spanned::get_mut) {
        for (_, pipeline) in pipelines.iter_mut() {
            if let DeValue::Table(pipeline) = pipeline.get_mut() {
                join_names_of(pipeline.get_mut("kafka"));
            }
        }
    }
}

fn join_names_of(properties: Option<&mut Value<'_>>) {
    if let Some(DeValue::Table(table)) = properties.map(Spanned::get_mut) {
        let mut joined = Table::new();
        join("", std::mem::take(table), &mut joined);
        *table = joined;
    }
}

fn join<'t>(prefix: &str, table: Table<'t>, joined: &mut Table<'t>) {
    for (key, value) in table {
        let range = key.span();
        let name = format!("{prefix}{}", key.get_ref());
        let value_range = value.span();
        match value.into_inner() {
            DeValue::Table(inner) => join(&format!("{name}."), inner, joined),
            scalar => drop(joined.insert(Spanned::new(range, name.into()), Spanned::new(value_range, scalar))),
        }
    }
}
