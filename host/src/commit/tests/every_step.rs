//! A scripted life that is killed, or stopped and woken too late, at every single operation on the store.

use tokio::task::JoinHandle;

use super::*;

/// Runs a life which is killed at operation `number`; `false` if it ended before it came that far.
async fn killed_at(world: &World, number: usize, after: bool, each: i64) -> bool {
    let view = world.view();
    view.faults.at(number, if after { Fault::KillAfter } else { Fault::KillBefore });
    let ended = until_killed(&view, each).await;
    if let Some(ended) = &ended {
        ended.as_ref().unwrap();
    }
    ended.is_none()
}

/// What a reader sees between two attempts is part of what was decided.
async fn assert_prefix(world: &World) {
    let seen = world.seen().await;
    let end = world.commits().await.last().map_or(0, |commit| commit.end);
    assert!(seen.iter().all(|id| (0..end).contains(id)), "undecided records among {seen:?}, decided up to {end}");
    let problems = world.verify().await.problems;
    assert!(problems.is_empty(), "{problems:?}");
}

/// Kills a life at every operation, before and after its effect, and lets a fresh one finish. Returns how many there were.
async fn kill_at_every_operation(world: impl Fn() -> World) -> usize {
    for number in 0.. {
        for after in [false, true] {
            let world = world();
            if !killed_at(&world, number, after, 10).await {
                return number;
            }
            assert_prefix(&world).await;
            world.finish().await;
            world.assert_whole().await;
        }
    }
    unreachable!("every life ends")
}

#[tokio::test(start_paused = true)]
async fn a_life_killed_at_any_operation_is_finished_by_the_next() {
    let operations = kill_at_every_operation(World::new).await;
    assert!(operations > 20, "{operations} operations: the script is too short to tell anything");
}

#[tokio::test(start_paused = true)]
async fn a_life_killed_at_any_operation_is_finished_with_the_control_files_elsewhere() {
    assert!(kill_at_every_operation(World::apart).await > 20);
}

#[tokio::test(start_paused = true)]
async fn a_life_killed_at_any_operation_is_finished_on_local_files() {
    let root = tempfile::tempdir().unwrap();
    let folder = || tempfile::tempdir_in(root.path()).unwrap().keep();
    assert!(kill_at_every_operation(|| World::local(&folder())).await > 20);
}

#[tokio::test(start_paused = true)]
async fn two_lives_killed_one_after_the_other_at_any_operations_are_finished_by_the_third() {
    for (first, after) in (0..).flat_map(|number| [(number, false), (number, true)]) {
        for second in 0.. {
            let world = World::new();
            if !killed_at(&world, first, after, 10).await {
                return;
            }
            let came_so_far = killed_at(&world, second, !after, 4).await;
            assert_prefix(&world).await;
            world.finish().await;
            world.assert_whole().await;
            if !came_so_far {
                break;
            }
        }
    }
}

/// Starts a life which is stopped at operation `number`, and returns once it is, or has ended.
async fn stopped_at(
    world: &World,
    number: usize,
    fault: fn(Arc<Gate>) -> Fault,
    each: i64,
) -> (Arc<Gate>, JoinHandle<Result<(), LogError>>) {
    let (view, gate) = (world.view(), Gate::new());
    view.faults.at(number, fault(Arc::clone(&gate)));
    let ended = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&ended);
    let running = tokio::spawn(async move {
        let end = life(&view, each).await;
        tell.notify_one();
        end
    });
    tokio::select! {
        () = gate.arrival() => {}
        () = ended.notified() => {}
    }
    (gate, running)
}

/// Wakes a life up, and says whether it was fenced. It can't fail in any other way.
async fn woken(gate: &Gate, running: JoinHandle<Result<(), LogError>>) -> bool {
    gate.open();
    match running.await.unwrap() {
        Ok(()) => false,
        Err(LogError::Fenced { .. }) => true,
        Err(error) => panic!("woken up too late, it failed: {error}"),
    }
}

/// Stops a first life anywhere, then a second one anywhere; wakes the first and lets it run to its end, then the second.
async fn stop_two_lives_at_any_operations(fault: fn(Arc<Gate>) -> Fault) {
    let mut fenced = [0, 0];
    for first in 0.. {
        for second in 0.. {
            let world = World::new();
            let (gate, zombie) = stopped_at(&world, first, fault, 10).await;
            if zombie.is_finished() {
                assert!(fenced.iter().all(|count| *count > 20), "hardly anything was fenced: {fenced:?}");
                return;
            }
            let (second_gate, successor) = stopped_at(&world, second, fault, 7).await;
            let is_last = successor.is_finished();
            assert_prefix(&world).await;
            fenced[0] += usize::from(woken(&gate, zombie).await);
            assert_prefix(&world).await;
            fenced[1] += usize::from(woken(&second_gate, successor).await);
            assert_prefix(&world).await;
            world.finish().await;
            world.assert_whole().await;
            if is_last {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn processes_stopped_before_any_operation_double_and_lose_nothing_when_they_wake() {
    stop_two_lives_at_any_operations(Fault::Hold).await;
}

#[tokio::test(start_paused = true)]
async fn processes_stopped_after_any_operation_double_and_lose_nothing_when_they_wake() {
    stop_two_lives_at_any_operations(Fault::HoldAnswer).await;
}
