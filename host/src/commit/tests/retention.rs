//! Where a log begins, how long it is kept, and that cleaning it never lets an attempt double a record.

use std::cell::Cell;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;

/// When a log entry of this number was written, by the store's clock: one a day.
fn one_a_day(path: &Path) -> DateTime<Utc> {
    let sequence = path.filename().and_then(entry::sequence).unwrap_or_default();
    DateTime::UNIX_EPOCH + TimeDelta::days(sequence as i64)
}

/// Commits epochs of one record each, after CLAIM 0, until the newest entry has this number. The log is cleaned at 63.
async fn commit_until(attempt: &mut Attempt, sequence: i64) {
    while attempt.log.next_offset() < sequence {
        attempt.commit(1).await.unwrap();
    }
}

async fn numbers(world: &World) -> Vec<u64> {
    world.log().await.into_iter().map(|(sequence, _)| sequence).collect()
}

#[tokio::test(start_paused = true)]
async fn entries_past_their_retention_are_removed_and_the_rest_still_proves_itself() {
    let world = World::new();
    let view = world.view();
    view.faults.modified(one_a_day);
    let mut attempt = view.begin().await.unwrap();
    commit_until(&mut attempt, 63).await;
    assert_eq!(numbers(&world).await, (56..64).collect::<Vec<_>>(), "seven days are kept");
    assert_eq!(world.seen().await, (0..63).collect::<Vec<_>>(), "files are kept for good");
    let report = world.verify().await;
    assert_eq!((report.problems, report.offsets), (vec![], 8));
    assert!(report.uncovered > 50, "{} files have outlived their entries", report.uncovered);
    assert_eq!(world.view().begin().await.unwrap().log.next_offset(), 63);
}

#[tokio::test(start_paused = true)]
async fn a_cleaning_that_fails_leaves_no_hole() {
    let world = World::new();
    let view = world.view();
    view.faults.modified(one_a_day);
    view.faults.on(Operation::Delete, "00000000000000000010.json", 1, Fault::Refuse(Answer::Unavailable));
    let mut attempt = view.begin().await.unwrap();
    commit_until(&mut attempt, 63).await;
    assert_eq!(numbers(&world).await, (10..64).collect::<Vec<_>>());
    assert_eq!(world.verify().await.problems, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_young_for_the_store_keeps_all_after_it() {
    let world = World::new();
    let view = world.view();
    view.faults.modified(|path| match path.filename() {
        Some("00000000000000000010.json") => one_a_day(path) + TimeDelta::days(100),
        _ => one_a_day(path),
    });
    let mut attempt = view.begin().await.unwrap();
    commit_until(&mut attempt, 63).await;
    assert_eq!(numbers(&world).await, (10..64).collect::<Vec<_>>(), "clocks may jump, the log has no hole");
}

/// While the log is cleaned others claim, so that the newest COMMIT is far from the newest entry, and old.
#[tokio::test(start_paused = true)]
async fn cleaning_never_removes_the_newest_commit_or_what_comes_after_it() {
    let world = World::new();
    let (view, gate) = (world.view(), Gate::new());
    view.faults.modified(|path| match path.filename().and_then(entry::sequence) {
        Some(67) => one_a_day(path) + TimeDelta::days(10_000),
        _ => one_a_day(path),
    });
    let mut attempt = view.begin().await.unwrap();
    commit_until(&mut attempt, 62).await;
    view.faults.on(Operation::List, "log", 1, Fault::Hold(Arc::clone(&gate)));
    let cleaning = tokio::spawn(async move { attempt.commit(1).await });
    gate.arrival().await;
    for _ in 64..68 {
        world.view().begin().await.unwrap();
    }
    gate.open();
    cleaning.await.unwrap().unwrap();
    assert_eq!(numbers(&world).await, (63..68).collect::<Vec<_>>());
    assert_eq!(world.view().begin().await.unwrap().log.next_offset(), 63);
    assert_eq!(world.verify().await.problems, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_silent_for_half_of_the_retention_gives_itself_up() {
    let world = World::new();
    let mut attempt = world.view().begin().await.unwrap();
    let half = OPTIONS.retention / 2;
    for _ in 0..3 {
        tokio::time::advance(half - DAY / 24).await;
        attempt.commit(1).await.unwrap();
    }
    tokio::time::advance(half + DAY / 24).await;
    let error = attempt.commit(1).await.unwrap_err();
    assert!(matches!(&error, LogError::Fenced { by } if by.contains("its own silence")), "{error}");
    assert!(error.may_pass());
    assert_eq!((numbers(&world).await.len(), world.seen().await.len()), (4, 3), "it has written nothing");
    assert!(attempt.commit(1).await.is_err(), "for good");
    world.finish().await;
    world.assert_whole().await;
}

/// A COMMIT that is under way for so long may stand or not: only whoever comes next can tell.
#[tokio::test(start_paused = true)]
async fn a_commit_answered_too_late_is_left_to_the_next_claim() {
    let world = World::new();
    let (view, gate) = (world.view(), Gate::new());
    let mut attempt = view.begin().await.unwrap();
    view.faults.on(Operation::Put, "log/", 1, Fault::HoldAnswer(Arc::clone(&gate)));
    let running = tokio::spawn(async move { attempt.commit(10).await });
    gate.arrival().await;
    tokio::time::advance(OPTIONS.retention).await;
    gate.open();
    assert!(matches!(running.await.unwrap(), Err(LogError::Fenced { .. })));
    assert_eq!((world.commits().await.len(), world.seen().await), (1, vec![]));
    world.finish().await;
    world.assert_whole().await;
}

/// The number was another's, and has been freed by cleaning before a stopped writer wakes: the worst that can happen.
#[tokio::test(start_paused = true)]
async fn a_writer_that_wakes_when_its_number_was_freed_publishes_nothing() {
    let world = World::new();
    let (view, gate) = (world.view(), Gate::new());
    let mut attempt = view.begin().await.unwrap();
    view.faults.on(Operation::Put, "log/", 1, Fault::Hold(Arc::clone(&gate)));
    let zombie = tokio::spawn(async move { attempt.commit(10).await });
    gate.arrival().await;
    world.finish().await;
    tokio::time::advance(OPTIONS.retention).await;
    for sequence in 0..3 {
        world.remove_entry(sequence).await;
    }
    gate.open();
    assert!(matches!(zombie.await.unwrap(), Err(LogError::Fenced { .. })));
    assert_eq!(world.seen().await, (0..END).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_wakes_when_its_number_was_freed_is_none() {
    let world = World::new();
    let (view, gate) = (world.view(), Gate::new());
    view.faults.on(Operation::Put, "log/", 1, Fault::Hold(Arc::clone(&gate)));
    let zombie = tokio::spawn(async move { view.begin().await.map(|_| ()) });
    gate.arrival().await;
    world.finish().await;
    tokio::time::advance(OPTIONS.retention).await;
    for sequence in 0..3 {
        world.remove_entry(sequence).await;
    }
    gate.open();
    assert!(matches!(zombie.await.unwrap(), Err(LogError::Fenced { .. })));
    assert_eq!(world.seen().await, (0..END).collect::<Vec<_>>());
}

async fn claim_from(world: &World, answer: Result<i64, LogError>, asked: &Cell<Option<i64>>) -> Result<i64, LogError> {
    let answer = Cell::new(Some(answer));
    let first_offset = |logged| {
        asked.set(logged);
        std::future::ready(answer.take().expect("asked once"))
    };
    let folder = folder(PIPELINE, "trips", 3);
    let log = TaskLog::claim(world.view().store, folder, "only".to_owned(), OPTIONS, first_offset).await?;
    Ok(log.next_offset())
}

#[tokio::test(start_paused = true)]
async fn the_first_offset_is_kept_in_the_claim() {
    let (world, asked) = (World::new(), Cell::new(Some(-1)));
    assert_eq!(claim_from(&world, Ok(70), &asked).await.unwrap(), 70);
    assert_eq!(asked.get(), None, "an empty log knows of none");
    assert_eq!(claim_from(&world, Ok(70), &asked).await.unwrap(), 70);
    assert_eq!(asked.get(), Some(70), "`latest` means what it meant at first");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_can_not_tell_where_to_begin_leaves_no_trace() {
    let (world, asked) = (World::new(), Cell::new(None));
    let away = |may_pass| Err(LogError::FirstOffset { reason: "no broker".to_owned(), may_pass });
    for may_pass in [true, false] {
        let error = claim_from(&world, away(may_pass), &asked).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.may_pass()), ("no broker", may_pass));
    }
    assert_eq!(world.log().await, []);
}

#[tokio::test(start_paused = true)]
async fn control_files_elsewhere_never_touch_the_tables_place() {
    let world = World::apart();
    let view = world.view();
    life(&view, 10).await.unwrap();
    world.assert_whole().await;
    assert!(view.faults.seen(Operation::Copy, "").is_empty(), "nothing can be copied from one store into another");
    assert_eq!(view.faults.seen(Operation::Put, "lake/").len(), 6);
    let tables: Vec<_> = world.tables.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    assert!(tables.iter().all(|path| !path.as_ref().contains("_rillgate")), "{tables:?}");
    let control: Vec<_> = world.control.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    assert!(control.iter().all(|path| path.as_ref().starts_with("elsewhere/control/_rillgate/rides/trips/3/log/")));
}
