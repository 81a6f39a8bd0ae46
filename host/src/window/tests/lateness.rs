//! More lateness is allowed than before.

use super::*;

fn options(allowed_lateness_us: i64, dedup: &[&str]) -> WindowOptions {
    WindowOptions {
        key: vec!["key".to_owned()],
        time: Some("time".to_owned()),
        window: Some(Window::Tumbling { size_us: 10 }),
        delay_us: 0,
        allowed_lateness_us,
        emit: Emit::Close,
        dedup: dedup.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn rows_at(times: impl IntoIterator<Item = i64>) -> Vec<Row> {
    times.into_iter().map(|time| Row { key: Some("a"), time, value: 1 }).collect()
}

fn window(start: i64, count: i64) -> Given {
    (Some("a".to_owned()), Some((start, start + 10)), count, count)
}

/// The last rows of a group that has left are in no file.
#[test]
fn a_group_that_has_left_does_not_come_back_without_its_last_rows() {
    let epochs = [
        vec![rows_at(0..5)],
        vec![rows_at(5..10), rows_at([10])],
        // Too late, whatever is allowed now; and one of a window that is open still.
        vec![rows_at([9, 12])],
        vec![rows_at([20])],
        vec![rows_at([19])],
    ];
    let mut rng = Rng::with_seed(1);
    let outcome = actual(&options(0, &[]), &epochs, &[0, 0, 1000, 1000, 1000], &mut rng);
    let given = vec![vec![], vec![window(0, 10)], vec![], vec![window(10, 2)], vec![window(10, 3)]];
    assert_eq!((outcome.given, outcome.late), (given, rows_at([9])));
}

/// What is remembered by less lateness is remembered for as long as more needs it, and after another restart still.
#[test]
fn a_double_is_found_for_as_long_as_its_like_counts() {
    let epochs = [vec![rows_at([5, 6])], vec![], vec![rows_at([25])], vec![rows_at([5, 6, 7])]];
    for latenesses in [[0, 1000, 1000, 1000], [0, 50, 1000, 1000]] {
        for seed in 0..8 {
            let mut rng = Rng::with_seed(seed);
            let outcome = actual(&options(0, &["time"]), &epochs, &latenesses, &mut rng);
            assert_eq!((outcome.duplicates, outcome.late.len()), (2, 0), "{latenesses:?}");
            assert_eq!(outcome.given[3], [window(0, 3)]);
        }
    }
}
