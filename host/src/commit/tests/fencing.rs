//! More than one attempt at a task: claims at once, and processes that wake after their partition moved.

use super::*;

#[tokio::test(start_paused = true)]
async fn many_claims_at_once_make_one_chain_of_entries() {
    let world = World::new();
    let claims = (0..16).map(|_| {
        let view = world.view();
        tokio::spawn(async move { view.begin().await.map(|attempt| attempt.log.attempt().to_owned()) })
    });
    let mut claimed = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        claimed.push(claim.await.unwrap().unwrap());
    }
    let log = world.log().await;
    assert_eq!(log.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    let mut logged: Vec<String> = log.iter().map(|(_, entry)| entry.attempt().to_owned()).collect();
    logged.sort_unstable();
    claimed.sort_unstable();
    assert_eq!(logged, claimed, "every attempt has one CLAIM");
    world.finish().await;
    world.assert_whole().await;
}

#[tokio::test(start_paused = true)]
async fn many_lives_at_once_double_and_lose_nothing() {
    for workers in 2..9 {
        let world = World::new();
        let lives = (0..workers).map(|each| {
            let view = world.view();
            tokio::spawn(async move { life(&view, each + 3).await })
        });
        for running in lives.collect::<Vec<_>>() {
            let ended = running.await.unwrap();
            assert!(matches!(ended, Ok(()) | Err(LogError::Fenced { .. })), "{ended:?}");
        }
        world.finish().await;
        world.assert_whole().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fenced_attempt_is_told_by_whom_and_shows_nothing() {
    let world = World::new();
    let mut first = world.view().begin().await.unwrap();
    let commit = first.stage(10).await.unwrap();
    let second = world.view().begin().await.unwrap();
    let error = first.decide(commit).await.unwrap_err();
    assert!(error.may_pass(), "the partition's owner begins anew");
    assert_eq!(error.to_string(), format!("fenced by {}", second.log.attempt()));
    assert_eq!((world.seen().await, world.commits().await), (vec![], vec![]));
    assert_eq!(*first.acknowledged.lock().unwrap(), [0; 0]);
    world.finish().await;
    world.assert_whole().await;
}

/// The claim that wakes must not take for strays what its successor has staged.
#[tokio::test(start_paused = true)]
async fn a_claim_that_wakes_late_leaves_alone_what_its_successor_has_staged() {
    let mut fenced = 0;
    for (operation, path) in [(Operation::List, "stage"), (Operation::Put, "log/"), (Operation::Delete, "stage/")] {
        let world = World::new();
        world.view().begin().await.unwrap().stage(10).await.unwrap();
        let (view, gate) = (world.view(), Gate::new());
        view.faults.on(operation, path, 1, Fault::Hold(Arc::clone(&gate)));
        let zombie = tokio::spawn(async move { view.begin().await.map(|_| ()) });
        gate.arrival().await;
        let mut successor = world.view().begin().await.unwrap();
        let commit = successor.stage(10).await.unwrap();
        gate.open();
        zombie.await.unwrap().unwrap();
        match successor.decide(commit).await {
            Ok(()) => assert_eq!(world.seen().await, (0..10).collect::<Vec<_>>()),
            // It had not claimed when it was stopped: then it came after what it took for its successor.
            Err(LogError::Fenced { .. }) => fenced += 1,
            Err(error) => panic!("stopped at {operation:?}, it did harm: {error}"),
        }
        world.finish().await;
        world.assert_whole().await;
    }
    assert_eq!(fenced, 2);
}

/// What it publishes had been decided, so that nothing is doubled and nothing is undone.
#[tokio::test(start_paused = true)]
async fn a_publisher_that_wakes_late_finds_its_files_published_and_goes_no_further() {
    for world in [World::new(), World::apart()] {
        let (view, gate) = (world.view(), Gate::new());
        let operation = if world.apart { Operation::Put } else { Operation::Copy };
        view.faults.on(operation, "lake/", 2, Fault::Hold(Arc::clone(&gate)));
        let zombie = tokio::spawn(async move { life(&view, 10).await });
        gate.arrival().await;
        world.finish().await;
        gate.open();
        let ended = zombie.await.unwrap();
        assert!(matches!(ended, Err(LogError::Fenced { .. })), "{ended:?}");
        world.view().begin().await.unwrap();
        world.assert_whole().await;
    }
}
