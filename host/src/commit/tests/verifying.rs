//! `verify` finds what is wrong, says where, and takes nothing right for wrong.

use super::*;

const RIDES: &str = "lake/city/rides/hour=9/trips-3-10-0.txt";

/// A log of CLAIM 0 and COMMITs 1, 2, 3 with ten records and two files each.
async fn written() -> World {
    let world = World::new();
    life(&world.view(), 10).await.unwrap();
    world
}

async fn assert_problems(world: &World, expected: &[&str]) {
    let problems = world.verify().await.problems;
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for text in expected {
        assert!(problems.iter().any(|problem| problem.contains(text)), "no `{text}` in {problems:#?}");
    }
}

async fn write_entry(world: &World, sequence: u64, entry: &Entry) {
    let path = world.control_path(&format!("log/{}", entry::file_name(sequence)));
    world.control.put(&path, serde_json::to_vec(entry).unwrap().into()).await.unwrap();
}

async fn change_commit(world: &World, sequence: u64, change: impl Fn(&mut Commit)) {
    let mut entry = world.log().await.into_iter().find(|(number, _)| *number == sequence).unwrap().1;
    let Entry::Commit(commit) = &mut entry else { panic!("entry {sequence} is a CLAIM") };
    change(commit);
    write_entry(world, sequence, &entry).await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_table_is_counted_in_full() {
    let world = written().await;
    let report = world.verify().await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((report.tasks, report.entries, report.offsets, report.files, report.rows), (1, 4, 30, 6, 30));
    assert_eq!((report.pending, report.uncovered, report.lost_by_kafka.len()), (0, 0, 0));
    assert_eq!(report.bytes, world.files().await.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
}

#[tokio::test(start_paused = true)]
async fn nothing_written_yet_is_clean_on_local_files_too() {
    let folder = tempfile::tempdir().unwrap();
    for world in [World::new(), World::apart(), World::local(folder.path())] {
        let report = world.verify().await;
        assert_eq!((report.problems, report.tasks, report.files), (vec![], 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_between_epochs_and_an_overlap_are_found() {
    let world = written().await;
    change_commit(&world, 2, |commit| commit.start = 12).await;
    assert_problems(&world, &["trips/3: entry 2 holds offsets 12..20, expected a start at 10"]).await;
    change_commit(&world, 2, |commit| commit.start = 9).await;
    assert_problems(&world, &["trips/3: entry 2 holds offsets 9..20, expected a start at 10"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_entry_is_found_by_its_number_its_offsets_and_its_files() {
    let world = written().await;
    world.remove_entry(2).await;
    let orphan = "city/rides/hour=9/trips-3-10-0.txt: an orphan";
    let other = "_dead/rides/hour=9/trips-3-10-1.txt: an orphan";
    assert_problems(&world, &["no entry between 1 and 3", "holds offsets 20..30, expected", orphan, other]).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_is_found() {
    let world = written().await;
    world.tables.delete(&Path::from(RIDES)).await.unwrap();
    assert_problems(&world, &["city/rides/hour=9/trips-3-10-0.txt: decided, but not there"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_byte_is_found() {
    let world = written().await;
    let mut bytes = world.tables.get(&Path::from(RIDES)).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[3] ^= 1;
    world.tables.put(&Path::from(RIDES), bytes.into()).await.unwrap();
    assert_problems(&world, &["city/rides/hour=9/trips-3-10-0.txt: 17 bytes, xxh3"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_found_in_tables_and_dead_letters_and_nowhere_else() {
    let world = written().await;
    for path in ["lake/city/rides/mine.txt", "lake/_dead/rides/mine.txt", "lake/city/rides-of-others/mine.txt"] {
        world.tables.put(&Path::from(path), "1\n5\n".into()).await.unwrap();
    }
    assert_problems(&world, &["city/rides/mine.txt: an orphan", "_dead/rides/mine.txt: an orphan"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_decided_twice_is_found() {
    let world = written().await;
    let first = world.commits().await[0].files[0].clone();
    change_commit(&world, 3, |commit| commit.files.push(first.clone())).await;
    assert_problems(&world, &["trips-3-0-0.txt: decided twice, by trips/3 entry 1 and by trips/3 entry 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_decision_of_a_fenced_attempt_is_found() {
    let world = written().await;
    change_commit(&world, 3, |commit| commit.attempt = "zombie".to_owned()).await;
    assert_problems(&world, &["entry 3 was decided by a fenced attempt"]).await;
}

#[tokio::test(start_paused = true)]
async fn entries_that_can_not_be_read_are_named() {
    let world = written().await;
    let path = world.control_path(&format!("log/{}", entry::file_name(3)));
    world.control.put(&path, "{\"kind\":".into()).await.unwrap();
    let orphans = ["trips-3-20-0.txt: an orphan", "trips-3-20-1.txt: an orphan"];
    assert_problems(&world, &["3: entry 3: EOF", orphans[0], orphans[1]]).await;
    write_entry(&world, 3, &Entry::Commit(Commit { format: 9, ..Commit::default() })).await;
    assert_problems(&world, &["3: entry 3 has format 9, not 1", orphans[0], orphans[1]]).await;
}

#[tokio::test(start_paused = true)]
async fn files_of_a_newest_commit_may_still_be_on_their_way() {
    for claims in [0, 1] {
        let world = World::new();
        killed(&world, Operation::Copy, "_dead/", Fault::KillBefore).await;
        if claims == 1 {
            killed(&world, Operation::Copy, "_dead/", Fault::KillBefore).await;
        }
        let report = world.verify().await;
        assert_eq!((report.problems, report.pending, report.files), (vec![], 1, 1));
        let staged = world.commits().await[0].files[1].staged.clone();
        world.control.delete(&world.control_path(&staged)).await.unwrap();
        assert_problems(&world, &["_dead/rides/hour=9/trips-3-0-1.txt: decided, but not there"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn files_of_an_earlier_commit_are_missing_even_if_they_are_staged() {
    let world = written().await;
    let file = world.commits().await[1].files[0].clone();
    world.tables.rename(&Path::from(RIDES), &world.control_path(&file.staged)).await.unwrap();
    assert_problems(&world, &["city/rides/hour=9/trips-3-10-0.txt: decided, but not there"]).await;
}

#[tokio::test(start_paused = true)]
async fn files_older_than_a_cleaned_log_are_uncovered_and_no_orphans() {
    let world = written().await;
    world.remove_entry(0).await;
    world.remove_entry(1).await;
    let report = world.verify().await;
    assert_eq!((report.problems, report.uncovered, report.offsets), (vec![], 2, 20));
    let path = "lake/city/rides/hour=9/trips-3-25-9.txt";
    world.tables.put(&Path::from(path), "1\n5\n".into()).await.unwrap();
    assert_problems(&world, &["trips-3-25-9.txt: an orphan"]).await;
}

#[tokio::test(start_paused = true)]
async fn offsets_that_kafka_had_lost_are_told_apart_from_a_gap() {
    let world = World::new();
    let mut attempt = world.view().begin().await.unwrap();
    attempt.commit(10).await.unwrap();
    let folder = folder(PIPELINE, "trips", 3);
    TaskLog::claim(world.view().store, folder, "a".to_owned(), OPTIONS, |_| async { Ok(25) }).await.unwrap();
    world.finish().await;
    let report = world.verify().await;
    assert_eq!((report.problems, report.lost_by_kafka), (vec![], vec!["trips/3 10..25".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn files_of_a_topic_as_it_was_before_it_was_made_anew_are_uncovered() {
    let world = World::new();
    world.view().begin().await.unwrap().commit(20).await.unwrap();
    let mut attempt = world.view().begin_from(Some(0)).await.unwrap();
    assert_eq!(attempt.log.generation(), 1);
    attempt.commit(10).await.unwrap();
    assert_eq!(world.verify().await.problems, Vec::<String>::new());
    world.remove_entry(0).await;
    world.remove_entry(1).await;
    let report = world.verify().await;
    assert_eq!((report.problems, report.uncovered, report.files), (vec![], 2, 2));
}

#[tokio::test(start_paused = true)]
async fn files_of_a_topic_whose_name_would_hide_them_are_uncovered_too() {
    let world = World::new();
    let folder = folder(PIPELINE, "_trips", 3);
    let first = |first: i64| move |_| async move { Ok(first) };
    TaskLog::claim(world.view().store, folder.clone(), "a".to_owned(), OPTIONS, first(0)).await.unwrap();
    TaskLog::claim(world.view().store, folder.clone(), "b".to_owned(), OPTIONS, first(10)).await.unwrap();
    let path = Path::parse("lake/city/rides/%5Ftrips-3-0-0.csv.gz").unwrap();
    world.tables.put(&path, "1\n0\n".into()).await.unwrap();
    assert_problems(&world, &["%5Ftrips-3-0-0.csv.gz: an orphan"]).await;
    let oldest = Path::from(format!("lake/{folder}/log/{}", entry::file_name(0)));
    world.control.delete(&oldest).await.unwrap();
    let report = world.verify().await;
    assert_eq!((report.problems, report.uncovered), (vec![], 1));
}
