//! Readers of a log that others clean meanwhile: claims, decisions and `verify` that are slow, or stopped for long.

use super::*;

/// CLAIM 0, COMMIT 1, CLAIM 2.
async fn written() -> World {
    let world = World::new();
    world.view().begin().await.unwrap().commit(10).await.unwrap();
    world.view().begin().await.unwrap();
    world
}

fn entry_of(sequence: u64) -> String {
    format!("log/{}", entry::file_name(sequence))
}

/// Others write the rest of the log, and clean away all that was there before.
async fn finish_and_clean(world: &World) {
    world.finish().await;
    for sequence in 0..=2 {
        world.remove_entry(sequence).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_reads_what_was_cleaned_away_lists_again() {
    // The newest entry, and the COMMIT that it names.
    for sequence in [2, 1] {
        let (world, gate) = (written().await, Gate::new());
        let view = world.view();
        view.faults.on(Operation::Get, &entry_of(sequence), 1, Fault::Hold(Arc::clone(&gate)));
        let slow = tokio::spawn(async move { view.begin().await.map(|attempt| attempt.log.next_offset()) });
        gate.arrival().await;
        finish_and_clean(&world).await;
        gate.open();
        assert_eq!(slow.await.unwrap().unwrap(), END);
        assert_eq!(world.seen().await, (0..END).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_number_was_taken_and_cleaned_away_lists_again() {
    let world = World::new();
    world.view().begin().await.unwrap().commit(10).await.unwrap();
    let (view, put, get) = (world.view(), Gate::new(), Gate::new());
    view.faults.on(Operation::Put, &entry_of(2), 1, Fault::Hold(Arc::clone(&put)));
    view.faults.on(Operation::Get, &entry_of(2), 1, Fault::Hold(Arc::clone(&get)));
    let slow = tokio::spawn(async move { view.begin().await.map(|attempt| attempt.log.next_offset()) });
    put.arrival().await;
    world.finish().await;
    put.open();
    get.arrival().await;
    world.remove_entry(2).await;
    get.open();
    assert_eq!(slow.await.unwrap().unwrap(), END);
}

#[tokio::test(start_paused = true)]
async fn a_decision_whose_number_was_taken_and_cleaned_away_is_fenced() {
    let world = World::new();
    let (view, get) = (world.view(), Gate::new());
    view.faults.on(Operation::Get, &entry_of(1), 1, Fault::Hold(Arc::clone(&get)));
    let mut attempt = view.begin().await.unwrap();
    world.finish().await;
    let slow = tokio::spawn(async move { attempt.commit(10).await });
    get.arrival().await;
    world.remove_entry(1).await;
    get.open();
    let error = slow.await.unwrap().unwrap_err();
    assert!(matches!(&error, LogError::Fenced { by } if by.contains("gone already")), "{error}");
    assert_eq!(world.seen().await, (0..END).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_nobody_cleaned_away_is_missed_by_name() {
    let world = written().await;
    world.remove_entry(1).await;
    let error = world.view().begin().await.map(|_| ()).unwrap_err();
    assert!(!error.may_pass());
    assert!(error.to_string().contains("entry 1 of the commit log is gone; restore it"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn claims_that_always_lose_the_race_begin_anew_after_a_pause() {
    let world = World::new();
    let view = world.view();
    let mut holds = Vec::new();
    for sequence in 0..20 {
        let gate = Gate::new();
        view.faults.on(Operation::Put, &entry_of(sequence), 1, Fault::Hold(Arc::clone(&gate)));
        holds.push(gate);
    }
    let slow = tokio::spawn(async move { view.begin().await.map(|_| ()) });
    for gate in holds {
        gate.arrival().await;
        world.view().begin().await.unwrap();
        gate.open();
    }
    let error = slow.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("20 claims in a row") && error.may_pass(), "{error}");
}

async fn verified_while(
    world: &World,
    operation: Operation,
    path: &str,
    fault: fn(Arc<Gate>) -> Fault,
) -> (Arc<Gate>, Running) {
    let (view, gate) = (world.view(), Gate::new());
    view.faults.on(operation, path, 1, fault(Arc::clone(&gate)));
    let running = tokio::spawn(async move {
        let subject = Subject { pipeline: PIPELINE.to_owned(), tables: TABLES.map(str::to_owned).to_vec() };
        verify(&view.store, &subject).await
    });
    gate.arrival().await;
    (gate, running)
}

type Running = tokio::task::JoinHandle<Result<Report, LogError>>;

#[tokio::test(start_paused = true)]
async fn verify_leaves_out_what_is_cleaned_away_while_it_reads() {
    let world = World::new();
    world.finish().await;
    let (gate, verifying) = verified_while(&world, Operation::Get, &entry_of(1), Fault::Hold).await;
    world.remove_entry(0).await;
    world.remove_entry(1).await;
    gate.open();
    let report = verifying.await.unwrap().unwrap();
    assert_eq!((report.problems, report.uncovered), (vec![], 2));
}

#[tokio::test(start_paused = true)]
async fn verify_reads_the_log_as_it_is_now_where_all_it_had_listed_is_cleaned_away() {
    let world = written().await;
    let (gate, verifying) = verified_while(&world, Operation::Get, &entry_of(2), Fault::Hold).await;
    finish_and_clean(&world).await;
    gate.open();
    let report = verifying.await.unwrap().unwrap();
    assert_eq!((report.problems, report.uncovered), (vec![], 2));
}

#[tokio::test(start_paused = true)]
async fn verify_still_misses_an_entry_that_is_gone_from_the_middle() {
    let world = World::new();
    world.finish().await;
    let (gate, verifying) = verified_while(&world, Operation::Get, &entry_of(2), Fault::Hold).await;
    world.remove_entry(2).await;
    gate.open();
    let report = verifying.await.unwrap().unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains("entry 2 is gone")), "{:?}", report.problems);
}

#[tokio::test(start_paused = true)]
async fn verify_looks_again_for_a_file_that_is_published_between_two_looks() {
    let world = World::new();
    killed(&world, Operation::Copy, "city/", Fault::KillBefore).await;
    let (gate, verifying) = verified_while(&world, Operation::Get, "city/rides/", Fault::HoldAnswer).await;
    world.view().begin().await.unwrap().commit(10).await.unwrap();
    assert_eq!(world.staged().await, Vec::<String>::new());
    gate.open();
    let report = verifying.await.unwrap().unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn verify_leaves_out_a_freed_number_that_a_late_writer_wrote_again() {
    // With a hole after it, and without.
    for freed in [1, 2] {
        let world = World::new();
        world.finish().await;
        let late = world.log().await.remove(1).1;
        for sequence in 0..3 {
            world.remove_entry(sequence).await;
        }
        let path = world.control_path(&entry_of(freed));
        world.control.put(&path, serde_json::to_vec(&late).unwrap().into()).await.unwrap();
        assert_eq!(world.verify().await.problems, Vec::<String>::new());
    }
}
