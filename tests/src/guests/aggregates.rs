//! Hostile aggregates under the plugin layer by themselves: each function fails as it should, and the others go on as if nothing had been.

use std::path::Path;

use rillgate::batch::RecordBatch;
use rillgate::plugin::{Aggregate, BatchTime, Engine, Limits, Updated};

use super::alone::{CALLS, as_expected, batch};
use super::{FUNCTIONS, Guest, MIGRATE, Outcome};

pub fn check(engine: &Engine, path: &Path, limits: &Limits, guest: &Guest) -> Result<(), String> {
    let schema = batch(1).schema();
    let opened = engine.load(path).and_then(|plugin| Aggregate::open(&plugin, limits, &[], &schema, &schema));
    let Some(mut aggregate) = as_expected(opened, path, guest)? else { return Ok(()) };
    match &guest.outcome {
        Outcome::FailsIn(expected) => {
            // A fresh instance says the same; more rows fail too, perhaps otherwise; and the other functions don't mind.
            let migrate = expected.iter().any(|(name, _)| name == MIGRATE).then_some(MIGRATE);
            let functions: Vec<&str> = FUNCTIONS.into_iter().chain(migrate).collect();
            for (rows, function) in
                [1, 1, 9].into_iter().flat_map(|rows| functions.iter().map(move |name| (rows, *name)))
            {
                let why = expected.iter().find(|(name, _)| name == function).map(|(_, why)| why);
                match (call(&mut aggregate, function, rows), why) {
                    (Ok(()), None) => {}
                    (Err(error), Some(why)) if rows > 1 || why.matches(&error) => {}
                    (Err(error), _) => return Err(format!("{function} of {rows} rows fails: {error}")),
                    (Ok(()), Some(_)) => return Err(format!("{function} of {rows} rows did not fail")),
                }
            }
            Ok(())
        }
        Outcome::Passes => (0..CALLS).try_for_each(|index| {
            FUNCTIONS.iter().try_for_each(|function| call(&mut aggregate, function, 1 + index % 9))
        }),
        // Some calls fail so, and what the others give is right.
        Outcome::Some(why) => {
            let calls = (0..CALLS).flat_map(|index| FUNCTIONS.map(|function| (function, 1 + index % 9)));
            let results: Vec<Result<(), String>> =
                calls.map(|(function, rows)| call(&mut aggregate, function, rows)).collect();
            let failed: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
            match failed.iter().find(|error| !why.matches(error)) {
                Some(error) => Err(format!("fails: {error}")),
                None if failed.is_empty() || failed.len() == results.len() => {
                    Err(format!("{} of {} fail", failed.len(), results.len()))
                }
                None => Ok(()),
            }
        }
        outcome => Err(format!("{outcome:?} is no outcome of an aggregate")),
    }
}

/// Calls a function with so many rows, each a group of its own; `Err` is the reason, or what came out that should not.
fn call(aggregate: &mut Aggregate, function: &str, rows: usize) -> Result<(), String> {
    let (now, given) = (BatchTime::default(), batch(rows));
    let group_of_row: Vec<u32> = (0..rows as u32).collect();
    let is_given = |came: RecordBatch| if came == given { Ok(()) } else { Err(format!("gave {came:?}")) };
    match function {
        "update" => {
            let updated = aggregate.update(&given, &group_of_row, rows as u32, &batch(rows / 2), now);
            let Updated { states, rejected } = updated.map_err(|error| error.to_string())?;
            is_given(states)?;
            if rejected.is_empty() { Ok(()) } else { Err(format!("rejected {rejected:?}")) }
        }
        MIGRATE => is_given(aggregate.migrate(&given.schema(), &given, now).map_err(|error| error.to_string())?),
        "merge" => is_given(aggregate.merge(&batch(rows), &given, now).map_err(|error| error.to_string())?),
        _ => is_given(aggregate.finish(&batch(rows), &given, now).map_err(|error| error.to_string())?),
    }
}
