//! What a transform may return, and where it goes.

use rillgate_sdk::prelude::*;
use rillgate_sdk::test::{Input, Test, Tested};
use rillgate_sdk::wit::{Batch, Error, Field, Output, OutputTable, Values};
use rillgate_sdk::{BatchTransform, ColumnBuilder, Kept, Plugin, Settings};

#[derive(Row, Debug, PartialEq, Clone, Copy)]
struct Tags<'a> {
    id: i64,
    tags: Option<&'a str>,
}

#[derive(Row, Debug, PartialEq)]
struct Tag<'a> {
    id: i64,
    tag: &'a str,
}

const ROWS: [Tags; 5] = [
    Tags { id: 1, tags: Some("a,b") },
    Tags { id: 2, tags: None },
    Tags { id: -3, tags: Some("c") },
    Tags { id: 4, tags: Some("") },
    Tags { id: 5, tags: Some("d,e,f") },
];

fn run(plugin: Plugin) -> Tested {
    Test::new(plugin).run(Input::rows(ROWS))
}

fn ids(tested: &Tested) -> Vec<i64> {
    tested.rows::<Tag>().iter().map(|tag| tag.id).collect()
}

/// A plugin of one function.
macro_rules! plugin {
    ($function:path) => {{
        rillgate_sdk::transform!($function);
        PLUGIN
    }};
}

fn one(row: Tags<'_>) -> Tag<'_> {
    Tag { id: row.id, tag: row.tags.unwrap_or("none") }
}

fn maybe(row: Tags<'_>) -> Option<Tag<'_>> {
    Some(Tag { id: row.id, tag: row.tags? })
}

fn many(row: Tags<'_>) -> Result<Many<impl Iterator<Item = Tag<'_>>>, Reject> {
    if row.id < 0 {
        reject!("id {} is negative", row.id);
    }
    Ok(Many(row.tags.unwrap_or_default().split_terminator(',').map(move |tag| Tag { id: row.id, tag })))
}

fn list(row: Tags<'_>) -> Vec<Tag<'_>> {
    row.tags.iter().flat_map(|tags| tags.split(',')).map(|tag| Tag { id: row.id, tag }).collect()
}

fn pair(row: Tags<'_>) -> [Tag<'_>; 2] {
    [Tag { id: row.id, tag: "first" }, Tag { id: row.id, tag: "second" }]
}

fn parsed(row: Tags<'_>) -> Result<Tag<'_>, Reject> {
    let tag = row.tags.ok_or(Reject::new("no tags"))?;
    tag.parse::<f64>()?;
    Ok(Tag { id: row.id, tag })
}

#[test]
fn one_row_or_none() {
    assert_eq!(ids(&run(plugin!(one))), [1, 2, -3, 4, 5]);
    assert_eq!(ids(&run(plugin!(maybe))), [1, -3, 4, 5]);
}

#[test]
fn many_rows() {
    let tested = run(plugin!(many));
    assert_eq!(ids(&tested), [1, 1, 5, 5, 5]);
    assert_eq!(tested.rejected(), [(2, "id -3 is negative")]);
    assert_eq!(tested.rows::<Tag>()[3], Tag { id: 5, tag: "e" });
    assert_eq!(ids(&run(plugin!(list))), [1, 1, -3, 4, 5, 5, 5]);
    assert_eq!(ids(&run(plugin!(pair))), [1, 1, 2, 2, -3, -3, 4, 4, 5, 5]);
}

#[test]
fn any_error_rejects_with_its_own_words() {
    let tested = run(plugin!(parsed));
    assert_eq!(tested.rows::<Tag>(), []);
    let float = "invalid float literal";
    assert_eq!(
        tested.rejected(),
        [(0, float), (1, "no tags"), (2, float), (3, "cannot parse float from empty string"), (4, float)]
    );
}

fn positive(row: Tags<'_>) -> Result<bool, Reject> {
    if row.id == 4 {
        reject!("not four");
    }
    Ok(row.id > 0)
}

#[test]
fn a_filter_keeps_rows_with_columns_it_does_not_know() {
    let input = || Input::rows(ROWS).column("other", [Some(true), None, Some(false), Some(true), Some(false)]);
    let tested = Test::new(plugin!(positive)).run(input());
    assert_eq!(tested.rows::<Tags>(), [ROWS[0], ROWS[1], ROWS[4]]);
    assert_eq!(tested.rejected(), [(3, "not four")]);

    #[derive(Row, Debug, PartialEq)]
    struct Other {
        other: Option<bool>,
    }
    let others: Vec<_> = tested.rows::<Other>().iter().map(|row| row.other).collect();
    assert_eq!(others, [Some(true), None, Some(false)]);
}

#[derive(Outputs)]
enum Sorted<'a> {
    Main(Tag<'a>),
    NoTags(Tags<'a>),
    #[output(name = "odd-ones")]
    Odd(Tag<'a>),
}

fn sorted(row: Tags<'_>) -> Result<Vec<Sorted<'_>>, Reject> {
    let Some(tag) = row.tags else { return Ok(vec![Sorted::NoTags(row)]) };
    if row.id < 0 {
        reject!("negative");
    }
    let mut outputs = vec![Sorted::Main(Tag { id: row.id, tag })];
    if row.id % 2 == 1 {
        outputs.push(Sorted::Odd(Tag { id: row.id, tag }));
    }
    Ok(outputs)
}

#[test]
fn an_enum_is_several_tables() {
    let tested = run(plugin!(sorted));
    let names: Vec<_> = tested.output().0.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["main", "no_tags", "odd-ones"]);
    assert_eq!(ids(&tested), [1, 4, 5]);
    assert_eq!(tested.rows_of::<Tags>("no_tags"), [ROWS[1]]);
    assert_eq!(tested.rows_of::<Tag>("odd-ones").iter().map(|tag| tag.id).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(tested.rejected(), [(2, "negative")]);
}

mod chosen {
    rillgate_sdk::transform!(match topic {
        "one" => super::one,
        "maybe" => super::maybe,
    });
}

#[test]
fn a_setting_chooses_the_transform() {
    let run = |topic: &str| Test::new(chosen::PLUGIN).setting("topic", topic).run(Input::rows(ROWS));
    assert_eq!(ids(&run("one")), [1, 2, -3, 4, 5]);
    assert_eq!(ids(&run("maybe")), [1, -3, 4, 5]);
    let none = Error::InvalidSetting("setting `topic`: must be one of `one`, `maybe`".to_owned());
    assert_eq!(Test::new(chosen::PLUGIN).open(&Input::rows(ROWS)), Err(none.clone()));
    assert_eq!(Test::new(chosen::PLUGIN).setting("topic", "two").open(&Input::rows(ROWS)), Err(none));
}

/// Doubles the column `id` in place and adds the length of `tags`; leaves out row by row what has none.
struct Lengths;

impl BatchTransform for Lengths {
    fn open(input: &[Field], _settings: &mut Settings) -> Result<(Self, Vec<OutputTable>), Error> {
        let length =
            Field { name: "length".to_owned(), data_type: rillgate_sdk::wit::DataType::Int64, nullable: false };
        let schema = input.iter().cloned().chain([length]).collect();
        Ok((Lengths, vec![OutputTable { name: "main".to_owned(), schema }]))
    }

    fn apply(&mut self, mut input: Batch) -> Result<Output, Error> {
        let mut kept = Kept::default();
        let mut lengths = ColumnBuilder::<i64>::with_capacity(input.rows as usize);
        let Some(tags) = input.column::<&str>(1) else { return Err(Error::Other("no tags".to_owned())) };
        for (row, tags) in tags.iter().enumerate() {
            let Some(tags) = tags else { continue };
            kept.keep(row);
            lengths.push(tags.len() as i64);
        }
        if let Values::Int64(ids) = &mut input.columns[0].values {
            ids.iter_mut().for_each(|id| *id *= 2);
        }
        let mut batch = kept.of(input);
        batch.columns.push(lengths.finish());
        Ok(Output { batches: vec![batch], rejected: Vec::new() })
    }
}

mod lengths {
    rillgate_sdk::transform!(impl super::Lengths);
}

#[test]
fn a_transform_may_work_on_columns() {
    #[derive(Row, Debug, PartialEq)]
    struct Length {
        id: i64,
        length: i64,
    }
    let rows: Vec<_> = run(lengths::PLUGIN).rows::<Length>().iter().map(|row| (row.id, row.length)).collect();
    assert_eq!(rows, [(2, 3), (-6, 1), (8, 0), (10, 5)]);
}

/// Breaks a rule, or looks at its neighbours.
struct Bad;

impl BatchTransform for Bad {
    fn open(input: &[Field], settings: &mut Settings) -> Result<(Self, Vec<OutputTable>), Error> {
        let name = settings.required("name")?;
        Ok((Bad, vec![OutputTable { name, schema: input.to_vec() }]))
    }

    fn apply(&mut self, mut input: Batch) -> Result<Output, Error> {
        if let Values::Int64(ids) = &mut input.columns[0].values {
            ids.reverse();
        }
        Ok(Output { batches: vec![input], rejected: Vec::new() })
    }
}

mod bad {
    rillgate_sdk::transform!(impl super::Bad);
}

#[test]
#[should_panic(expected = "A row must not know its neighbours")]
fn a_row_that_depends_on_others_fails_its_test() {
    Test::new(bad::PLUGIN).setting("name", "main").run(Input::rows(ROWS));
}

#[test]
#[should_panic(expected = "`a b` is no name of a table")]
fn an_answer_that_breaks_a_rule_fails_its_test() {
    Test::new(bad::PLUGIN).setting("name", "a b").run(Input::rows(ROWS));
}
