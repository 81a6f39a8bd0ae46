//! Calls that failed: the smallest is kept, exactly as it was made, and nothing of its settings but their names.

use super::keep::Keep;
use super::*;
use crate::batch::Rows;

/// A transform that traps on batches of more than `most` rows, and on any with a row of so many passengers.
fn trapping(most: u32, passengers: i64) -> Arc<Plugin> {
    let in_apply = format!(
        "(local $row i32)
         (if (i32.gt_u (local.get $rows) (i32.const {most})) (then unreachable))
         (block $done (loop $next
           (br_if $done (i32.eq (local.get $row) (local.get $rows)))
           (if (i64.eq (i64.load (i32.add (i32.load offset=36 (local.get $columns)) (i32.mul (local.get $row) (i32.const 8))))
             (i64.const {passengers})) (then unreachable))
           (local.set $row (i32.add (local.get $row) (i32.const 1)))
           (br $next)))"
    );
    guest(&identity("", &in_apply, ""))
}

fn chain(plugin: &Arc<Plugin>) -> Plugins {
    let settings = vec![("token".to_owned(), "not-for-everyone".to_owned())];
    let step = Step { plugin: Arc::clone(plugin), limits: limits(), settings };
    Plugins { chain: Chain::open(&[step], &schema()).unwrap(), aggregate: None }
}

/// Takes rows through, each a message; how many are dead.
fn apply(plugins: &mut Plugins, rows: usize) -> usize {
    let rows = Rows { batch: batch(rows), origin: (0..rows as u32).collect() };
    let mut dead = Vec::new();
    plugins.chain.apply(&rows, now(), &mut |_, _| Ok(()), &mut dead).unwrap();
    dead.len()
}

/// As it comes out of a file.
fn kept(call: &FailedCall) -> FailedCall {
    let text = serde_json::to_string(call).unwrap();
    assert!(!text.contains("not-for-everyone"), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A transform that trapped on one row, of the plugin that traps; one that doesn't; and the row.
pub(crate) fn of_a_transform() -> (FailedCall, Arc<Plugin>, Arc<Plugin>, RecordBatch) {
    let plugin = trapping(u32::MAX, 5);
    let mut plugins = chain(&plugin);
    assert_eq!(apply(&mut plugins, 9), 1);
    let failed = plugins.take_failed(false).remove(0);
    assert_eq!(plugins.take_failed(true), [], "it was taken");
    (failed, plugin, guest(&identity("", "", "")), batch(9).slice(5, 1))
}

/// Calls of all functions of an aggregate that traps in each, that plugin, and one that gives back the right states, and what these are.
pub(crate) fn of_an_aggregate() -> (Vec<FailedCall>, Arc<Plugin>, Arc<Plugin>, RecordBatch) {
    let code = Keep { in_update: "unreachable", in_merge: "unreachable", in_finish: "unreachable", ..Keep::default() };
    let load_one = |keep: Keep| {
        load(&Guest { is_aggregate: true, has_migration: true, code: &keep.code(), ..Guest::default() }.build())
            .unwrap()
    };
    let traps = load_one(Keep { in_migrate: "unreachable", ..code });
    let mut aggregate = Aggregate::open(&traps, &limits(), &[], &schema(), &schema()).unwrap();
    let (left, right) = (batch(3), batch(7).slice(2, 3));
    let mut called = Vec::new();
    assert!(aggregate.update(&right, &[0, 1, 1], 3, &batch(2), now()).is_err());
    called.extend(aggregate.take_failed());
    assert!(aggregate.merge(&left, &right, now()).is_err());
    called.extend(aggregate.take_failed());
    assert!(aggregate.finish(&left, &right, now()).is_err());
    called.extend(aggregate.take_failed());
    assert!(aggregate.migrate(&schema(), &right, now()).is_err());
    called.extend(aggregate.take_failed());
    (called, traps, load_one(Keep::default()), right)
}

#[test]
fn the_message_that_failed_alone_is_kept() {
    let (failed, plugin, _, row) = of_a_transform();
    assert_eq!(failed.call, Call::Apply { rows: Columns(row) });
    assert_eq!(
        (failed.now(), &failed.settings[..], &failed.digest),
        (now(), &["token".to_owned()][..], &plugin.digest)
    );
    assert_eq!(kept(&failed), failed);
}

#[test]
fn what_fails_by_its_size_only_is_not_kept() {
    let mut plugins = chain(&trapping(4, -1));
    assert_eq!(apply(&mut plugins, 9), 0, "in parts it passes");
    assert_eq!(plugins.take_failed(false), []);
    assert_eq!(apply(&mut plugins, 9), 0);
    let failed = plugins.take_failed(true).remove(0);
    assert!((5..9).contains(&failed.call.batches()[0].1.num_rows()), "the smallest of those that failed");
}

#[test]
fn every_call_of_an_aggregate_is_kept_as_it_was() {
    let (called, _, _, right) = of_an_aggregate();
    let functions: Vec<&str> = called.iter().map(|failed| failed.call.function()).collect();
    assert_eq!(functions, ["update", "merge", "finish", "migrate"]);
    let given: Vec<Vec<&str>> =
        called.iter().map(|failed| failed.call.batches().into_iter().map(|(name, _)| name).collect()).collect();
    let expected: Vec<Vec<&str>> =
        vec![vec!["rows", "states"], vec!["left", "right"], vec!["groups", "states"], vec!["states"]];
    assert_eq!(given, expected);
    for failed in &called {
        assert_eq!(kept(failed), *failed);
        assert!(failed.call.batches().iter().any(|(_, batch)| **batch == right));
    }
}

#[test]
fn a_damaged_file_is_an_error() {
    let plugin = trapping(0, -1);
    let mut transform = open(&plugin, &limits()).unwrap();
    assert!(transform.apply(&batch(3), now()).is_err());
    let text = serde_json::to_value(transform.take_failed().unwrap()).unwrap();
    for rows in ["", "AAAA", "no base64!", &text["rows"].as_str().unwrap()[..400]] {
        let mut damaged = text.clone();
        damaged["rows"] = rows.into();
        assert!(serde_json::from_value::<FailedCall>(damaged).is_err(), "{rows}");
    }
}
