//! Uploads of what isn't decided yet: large files in parts, room for more, and what becomes of them when an attempt ends.

use super::*;

/// A life whose first file is so large that it goes up in parts.
async fn large_file(view: &View) -> Result<(), LogError> {
    let mut attempt = view.begin().await?;
    let padding = format!("#{}\n", ".".repeat((8 << 20) - 2));
    (0..3).for_each(|_| attempt.stage.write(0, 0, Bytes::from(padding.clone())));
    attempt.commit(10).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn killed_in_mid_upload() {
    for (operation, fault) in [
        (Operation::BeginParts, Fault::KillAfter),
        (Operation::Part, Fault::KillAfter),
        (Operation::Complete, Fault::KillBefore),
        (Operation::Complete, Fault::KillAfter),
    ] {
        let world = World::new();
        let view = world.view();
        view.faults.on(operation, "stage/", 1, fault);
        tokio::select! {
            () = view.faults.death() => {}
            ended = large_file(&view) => panic!("it was not killed at {operation:?}: {ended:?}"),
        }
        assert_eq!(world.seen().await, [0; 0], "{operation:?}");
        large_file(&world.view()).await.unwrap();
        assert_eq!(world.files().await[0].1.len(), (24 << 20) + "5\n0\n1\n2\n3\n4\n".len());
        world.finish().await;
        world.assert_whole().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_ends_the_attempt_and_the_next_begins_the_epoch_again() {
    for operation in [Operation::Part, Operation::Complete] {
        let world = World::new();
        let view = world.view();
        view.faults.on(operation, "stage/", 1, Fault::Refuse(Answer::Unavailable));
        let error = large_file(&view).await.unwrap_err();
        assert!(error.may_pass(), "{operation:?}: {error}");
        assert_eq!(world.commits().await, [], "{operation:?}");
        world.finish().await;
        world.assert_whole().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_makes_the_stage_full_until_it_has_taken_the_bytes() {
    let world = World::new();
    let (view, gate) = (world.view(), Gate::new());
    let mut attempt = view.begin().await.unwrap();
    view.faults.on(Operation::Part, "stage/", 1, Fault::Hold(Arc::clone(&gate)));
    view.faults.on(Operation::BeginParts, "stage/", 1, Fault::Hold(Arc::clone(&gate)));
    let part = Bytes::from(vec![b'#'; 8 << 20]);
    (0..4).for_each(|_| attempt.stage.write(0, 0, part.clone()));
    assert!(!attempt.stage.is_full(), "32 MiB may wait");
    attempt.stage.write(0, 0, Bytes::from_static(b"\n0\n"));
    assert!(attempt.stage.is_full());
    gate.arrival().await;
    gate.open();
    attempt.stage.close(0, 0, "city/rides/large.txt".to_owned(), 0);
    let (files, _) = attempt.stage.take().finish().await.unwrap();
    assert_eq!((files[0].bytes, files[0].rows), ((32 << 20) + 3, 0));
    assert!(!attempt.stage.is_full());
}

#[tokio::test(start_paused = true)]
async fn names_below_the_stage_are_never_used_twice() {
    let world = World::new();
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let mut attempt = world.view().begin().await.unwrap();
        for _ in 0..3 {
            names.extend(attempt.stage(2).await.unwrap().files.into_iter().map(|file| file.staged));
        }
    }
    assert_eq!(names.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stage_uploads_no_more() {
    let world = World::new();
    let (view, gate) = (world.view(), Gate::new());
    let mut attempt = view.begin().await.unwrap();
    view.faults.on(Operation::Put, "stage/", 1, Fault::Hold(Arc::clone(&gate)));
    attempt.stage.write(0, 0, Bytes::from_static(b"1\n0\n"));
    attempt.stage.close(0, 0, "city/rides/dropped.txt".to_owned(), 1);
    gate.arrival().await;
    drop(attempt);
    gate.open();
    world.finish().await;
    world.assert_whole().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_kill_left_of_an_upload_on_local_disk_goes_with_the_next_claim() {
    let lake = tempfile::tempdir().unwrap();
    let url = format!("file:{}", lake.path().display());
    let store = Store::open(&StoreOptions { url, control: None, options: Default::default() }).unwrap();
    let view = View { store, faults: Arc::default(), options: OPTIONS };
    view.begin().await.unwrap().commit(5).await.unwrap();
    let stage = lake.path().join(folder(PIPELINE, "trips", 3)).join("stage");
    let left_over = || std::fs::read_dir(&stage).map_or(0, Iterator::count);
    std::fs::create_dir_all(stage.join("killed")).unwrap();
    // As object_store names what it hasn't finished.
    std::fs::write(stage.join("killed/1#1"), "half a file").unwrap();
    assert!(left_over() > 0);
    view.begin().await.unwrap();
    assert_eq!(left_over(), 0);
}

/// Between two stores a copy is a whole file in memory.
#[tokio::test(start_paused = true)]
async fn files_go_from_one_store_to_another_one_at_a_time() {
    let world = World::apart();
    let (view, gate) = (world.view(), Gate::new());
    let mut attempt = view.begin().await.unwrap();
    for table in TABLES {
        view.faults.on(Operation::Put, &format!("lake/{table}"), 1, Fault::Hold(Arc::clone(&gate)));
    }
    let publish = attempt.commit(5);
    let look = async {
        gate.arrival().await;
        // All that could begin meanwhile has.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let read = view.faults.seen(Operation::Get, "stage/").len();
        gate.open();
        read
    };
    let (published, read) = tokio::join!(publish, look);
    published.unwrap();
    assert_eq!(read, 1, "of two files");
    assert_eq!(world.seen().await, [0, 1, 2, 3, 4]);
}
