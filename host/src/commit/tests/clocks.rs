//! Clocks that are wrong by an hour: a writer's decides nothing, and the store's frees no number that someone may still write.

use chrono::{DateTime, TimeDelta};

use super::*;

/// The least that may be configured.
const RETENTION: Duration = Duration::from_secs(3 * 60 * 60);
/// How long a writer may be silent without giving itself up, but for a minute.
const SILENT: Duration = Duration::from_secs(89 * 60);

/// Entries as writers whose clocks are off by `hours` would have written them.
async fn shift(world: &World, hours: i64) {
    for (sequence, mut entry) in world.log().await {
        let time = match &mut entry {
            Entry::Claim(claim) => &mut claim.time,
            Entry::Commit(commit) => &mut commit.time,
        };
        *time = (DateTime::parse_from_rfc3339(time).unwrap() + TimeDelta::hours(hours)).to_rfc3339();
        let path = world.control_path(&format!("log/{}", entry::file_name(sequence)));
        world.control.put(&path, serde_json::to_vec(&entry).unwrap().into()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn writers_whose_clocks_are_an_hour_off_decide_and_publish_all_the_same() {
    for hours in [-1, 1] {
        for (operation, path, fault) in [
            (Operation::Put, "log/", Fault::KillAfter),
            (Operation::Put, "log/00000000000000000001", Fault::KillBefore),
            (Operation::Put, "log/00000000000000000001", Fault::KillAfter),
            (Operation::Copy, "_dead/", Fault::KillAfter),
            (Operation::Delete, "stage/", Fault::KillAfter),
        ] {
            let world = World::new();
            killed(&world, operation, path, fault).await;
            shift(&world, hours).await;
            let mut next = world.view().begin().await.unwrap();
            next.commit(5).await.unwrap();
            shift(&world, -2 * hours).await;
            next.commit(5).await.unwrap();
            world.finish().await;
            world.assert_whole().await;
        }
    }
}

/// While a writer is stopped, just short of giving itself up, others write so much that the log is cleaned; and the store's clock
/// is set an hour forward, so that its number looks an hour older than it is.
#[tokio::test(start_paused = true)]
async fn a_store_whose_clock_is_set_an_hour_forward_keeps_the_number_of_a_stopped_writer() {
    let world = World::new();
    let options = LogOptions { retention: RETENTION, ..OPTIONS };
    let (view, gate) = (View { options: options.clone(), ..world.view() }, Gate::new());
    let mut attempt = view.begin().await.unwrap();
    let commit = attempt.stage(10).await.unwrap();
    view.faults.on(Operation::Put, "log/", 1, Fault::Hold(Arc::clone(&gate)));
    let stopped = tokio::spawn(async move { attempt.decide(commit).await });
    gate.arrival().await;

    let successor = View { options, ..world.view() };
    successor.faults.modified(|path| match path.filename().and_then(entry::sequence) {
        Some(62..) => DateTime::UNIX_EPOCH + SILENT + TimeDelta::hours(1),
        _ => DateTime::UNIX_EPOCH,
    });
    let mut successor = successor.begin().await.unwrap();
    for _ in 2..64 {
        successor.commit(1).await.unwrap();
    }
    tokio::time::advance(SILENT).await;
    gate.open();
    assert!(matches!(stopped.await.unwrap(), Err(LogError::Fenced { .. })));
    world.view().begin().await.unwrap();
    assert_eq!(world.seen().await, (0..62).collect::<Vec<_>>());
    assert_eq!(world.verify().await.problems, Vec::<String>::new());
}
