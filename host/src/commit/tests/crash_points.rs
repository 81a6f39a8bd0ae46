//! A named test for each point of stage, decide and publish at which a process may die or a store may fail.

use super::*;

const FIRST_COMMIT: &str = "log/00000000000000000001";
const RIDES: &str = "city/rides/hour=9/trips-3-0-0.txt";
const DEAD: &str = "_dead/rides/hour=9/trips-3-0-1.txt";

async fn assert_finished_by_the_next(world: &World) {
    world.finish().await;
    world.assert_whole().await;
}

#[tokio::test(start_paused = true)]
async fn killed_after_the_claim() {
    let world = World::new();
    killed(&world, Operation::Put, "log/", Fault::KillAfter).await;
    assert!(matches!(world.log().await.as_slice(), [(0, Entry::Claim(_))]));
    assert_finished_by_the_next(&world).await;
}

#[tokio::test(start_paused = true)]
async fn killed_when_staged_but_undecided() {
    let world = World::new();
    killed(&world, Operation::Put, FIRST_COMMIT, Fault::KillBefore).await;
    assert_eq!((world.seen().await, world.staged().await.len()), (vec![], 2));
    world.view().begin().await.unwrap();
    assert_eq!((world.seen().await, world.staged().await.len()), (vec![], 0), "the next claim removes it");
    assert_finished_by_the_next(&world).await;
}

/// Lets the first COMMIT meet faults of which the attempt must know by itself how they ended.
async fn commit_meets(fault: Fault, times: usize) -> usize {
    let world = World::new();
    let view = world.view();
    view.faults.on(Operation::Put, FIRST_COMMIT, times, fault);
    life(&view, 10).await.unwrap();
    world.assert_whole().await;
    assert_eq!((world.commits().await.len(), world.log().await.len()), (3, 4), "one entry for each decision");
    view.faults.seen(Operation::Put, FIRST_COMMIT).len()
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_is_lost_is_found_to_be_ours() {
    assert_eq!(commit_meets(Fault::Forget(Answer::Unavailable), 1).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_412_for_our_own_commit_is_found_to_be_ours() {
    assert_eq!(commit_meets(Fault::Forget(Answer::Taken), 1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_409_is_retried_until_it_is_clear_who_decided() {
    assert_eq!(commit_meets(Fault::Refuse(Answer::Conflict), 12).await, 13);
    assert_eq!(commit_meets(Fault::Forget(Answer::Conflict), 1).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_found_to_be_ours() {
    let world = World::new();
    let view = world.view();
    view.faults.on(Operation::Put, "log/", 1, Fault::Forget(Answer::Unavailable));
    life(&view, 10).await.unwrap();
    assert_eq!(world.log().await.len(), 4, "one CLAIM, three COMMITs");
    world.assert_whole().await;
}

#[tokio::test(start_paused = true)]
async fn killed_when_decided_and_unpublished() {
    for fault in [Fault::KillAfter, Fault::Forget(Answer::Unavailable)] {
        let world = World::new();
        let view = world.view();
        view.faults.on(Operation::Copy, "", 1, Fault::KillBefore);
        view.faults.on(Operation::Put, FIRST_COMMIT, 1, fault);
        assert!(until_killed(&view, 10).await.is_none());
        assert_eq!((world.seen().await, world.commits().await.len()), (vec![], 1));
        let next = world.view().begin().await.unwrap();
        assert_eq!(next.log.next_offset(), 10);
        assert_eq!(world.seen().await, (0..10).collect::<Vec<_>>(), "the next claim publishes it");
        assert_finished_by_the_next(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn killed_between_two_files() {
    let world = World::new();
    killed(&world, Operation::Copy, DEAD, Fault::KillBefore).await;
    assert_eq!(world.seen().await, (0..5).collect::<Vec<_>>(), "each file for itself is whole");
    world.view().begin().await.unwrap();
    assert_eq!(world.seen().await, (0..10).collect::<Vec<_>>());
    assert_finished_by_the_next(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_answer_is_lost_is_compared_with_what_was_decided() {
    for world in [World::new(), World::apart()] {
        let view = world.view();
        let operation = if world.apart { Operation::Put } else { Operation::Copy };
        view.faults.on(operation, RIDES, 1, Fault::Forget(Answer::Unavailable));
        view.faults.on(operation, DEAD, 7, Fault::Refuse(Answer::Conflict));
        life(&view, 10).await.unwrap();
        assert_eq!(view.faults.seen(operation, RIDES).len(), 2);
        assert_eq!(view.faults.seen(operation, DEAD).len(), 8);
        world.assert_whole().await;
    }
}

#[tokio::test(start_paused = true)]
async fn killed_before_the_offset_commit() {
    let world = World::new();
    let mut attempt = {
        let view = world.view();
        view.faults.on(Operation::Copy, DEAD, 1, Fault::KillAfter);
        let mut attempt = view.begin().await.unwrap();
        let commit = attempt.stage(10).await.unwrap();
        tokio::select! {
            () = view.faults.death() => {}
            ended = attempt.decide(commit) => panic!("it was not killed: {ended:?}"),
        }
        assert_eq!(*attempt.acknowledged.lock().unwrap(), [0; 0], "nothing is acknowledged before it is published");
        world.view().begin().await.unwrap()
    };
    attempt.commit(20).await.unwrap();
    assert_eq!(*attempt.acknowledged.lock().unwrap(), [30], "the log says where to go on, not Kafka's offsets");
    world.assert_whole().await;
}

/// Decides an epoch and dies before it is published.
async fn decided() -> (World, Commit) {
    let world = World::new();
    killed(&world, Operation::Put, FIRST_COMMIT, Fault::KillAfter).await;
    let commit = world.commits().await.remove(0);
    (world, commit)
}

async fn remove_staged(world: &World, commit: &Commit) {
    for file in &commit.files {
        world.control.delete(&world.control_path(&file.staged)).await.unwrap();
    }
}

async fn claim_error(world: &World) -> String {
    let error = world.view().begin().await.err().expect("the claim should have failed");
    assert!(!error.may_pass(), "waiting doesn't mend it: {error}");
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn stage_removed_early_with_the_final_files_there() {
    let world = World::new();
    killed(&world, Operation::Delete, "stage/", Fault::KillBefore).await;
    let commit = world.commits().await.remove(0);
    remove_staged(&world, &commit).await;
    assert_finished_by_the_next(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_final_file_of_other_content_stops_the_task_staged_or_not() {
    for gone in [false, true] {
        let (world, commit) = decided().await;
        world.tables.put(&Path::from(format!("lake/{RIDES}")), "1\n999\n".into()).await.unwrap();
        if gone {
            remove_staged(&world, &commit).await;
        }
        let error = claim_error(&world).await;
        assert!(error.contains(RIDES) && error.contains("other content (6 bytes"), "{error}");
        assert_eq!(world.tables.get(&Path::from(format!("lake/{RIDES}"))).await.unwrap().meta.size, 6, "it stays");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_staged_and_published_stops_the_task() {
    let (world, commit) = decided().await;
    remove_staged(&world, &commit).await;
    let error = claim_error(&world).await;
    assert!(error.contains("was decided, but neither it nor") && error.contains(&commit.files[0].staged), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_waited_for_at_every_step() {
    let world = World::new();
    let view = world.view();
    for path in ["log/", "stage/"] {
        view.faults.on(Operation::Put, path, 9, Fault::Refuse(Answer::DiskFull));
    }
    view.faults.on(Operation::Copy, "", 9, Fault::Refuse(Answer::DiskFull));
    life(&view, 10).await.unwrap();
    assert_eq!(view.faults.seen(Operation::Put, "log/").len(), 9 + 4);
    assert_eq!(view.faults.seen(Operation::Put, "stage/").len(), 9 + 6);
    assert_eq!(view.faults.seen(Operation::Copy, "").len(), 9 + 6);
    world.assert_whole().await;
}

#[tokio::test(start_paused = true)]
async fn what_waiting_does_not_mend_is_not_waited_for() {
    for answer in [Answer::NotSupported, Answer::Denied] {
        let world = World::new();
        let view = world.view();
        view.faults.on(Operation::Put, FIRST_COMMIT, 1, Fault::Refuse(answer));
        let error = life(&view, 10).await.unwrap_err();
        assert!(!error.may_pass(), "{error}");
        assert_eq!(view.faults.seen(Operation::Put, FIRST_COMMIT).len(), 1);
        assert_finished_by_the_next(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_fail_are_done_again() {
    let (world, _) = decided().await;
    let view = world.view();
    view.faults.on(Operation::List, "log", 5, Fault::Refuse(Answer::Unavailable));
    view.faults.on(Operation::Get, "log/", 5, Fault::Refuse(Answer::Unavailable));
    life(&view, 10).await.unwrap();
    world.assert_whole().await;
}

#[tokio::test(start_paused = true)]
async fn staged_files_that_can_not_be_removed_stay_for_the_next_claim() {
    let world = World::new();
    let view = world.view();
    view.faults.on(Operation::Delete, "stage/", 6, Fault::Refuse(Answer::Denied));
    life(&view, 10).await.unwrap();
    assert_eq!(world.staged().await.len(), 6);
    assert_finished_by_the_next(&world).await;
}

#[tokio::test(start_paused = true)]
async fn at_least_once_needs_no_conditional_create() {
    for world in [World::new(), World::apart()] {
        let view = View { options: LogOptions { exactly_once: false, ..OPTIONS }, ..world.view() };
        let operation = if world.apart { Operation::Put } else { Operation::Copy };
        view.faults.on(operation, RIDES, 1, Fault::Forget(Answer::Unavailable));
        life(&view, 10).await.unwrap();
        world.assert_whole().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_requests_fail_or_whose_answers_are_lost_finds_the_store_fit_all_the_same() {
    for operation in [Operation::Put, Operation::Copy] {
        for fault in
            [Fault::Forget(Answer::Taken), Fault::Forget(Answer::Unavailable), Fault::Refuse(Answer::Unavailable)]
        {
            let view = World::new().view();
            view.faults.on(operation, "_rillgate/probe/", 1, fault);
            view.store.probe().await.unwrap();
        }
    }
    for (answer, times) in [(Answer::Denied, 1), (Answer::Unavailable, usize::MAX)] {
        let view = World::new().view();
        view.faults.on(Operation::Put, "_rillgate/probe/", times, Fault::Refuse(answer));
        assert!(view.store.probe().await.is_err(), "{answer:?}");
    }
}
