//! What versions make of some rows, where plugins don't take them.

use std::time::Duration;

use serde_json::json;

use super::super::sample::{TIME_LIMIT, sample};
use super::*;

#[test]
fn a_plugin_that_times_out_on_every_second_message_is_not_waited_for() {
    let slow = transform(&filter(1), "");
    let (rows, now) = batch((0..64).map(|n| if n % 2 == 0 { -2 } else { n }));
    let refused = sample(&slow, None, &rows, now, 0, Duration::from_millis(200)).unwrap_err();
    assert!(refused.contains("no time left") && refused.contains("time limit of 50ms"), "{refused}");
    let refused = sample(&slow, None, &rows, now, 2, Duration::ZERO).unwrap_err();
    assert_eq!(refused, "time was up after 0 of 2 rows");
}

#[test]
fn a_row_that_the_aggregate_rejects_says_so_and_the_others_are_folded() {
    // Rejects a row whose number is 7, if it comes first.
    let rejecting = Keep {
        in_update: "(if (i64.eq (i64.load (i32.load offset=4 (local.get $columns))) (i64.const 7)) (then
            (i32.store (i32.const 1024) (i32.const 0)) (i32.store (i32.const 1028) (i32.const 512))
            (i32.store (i32.const 1032) (i32.const 8)) (i32.store (i32.const 600) (i32.const 1))))",
        after_update:
            "(i32.store (i32.const 144) (i32.const 1024)) (i32.store (i32.const 148) (i32.load (i32.const 600)))
            (i32.store (i32.const 600) (i32.const 0))",
        ..Keep::default()
    };
    let (rows, now) = batch([7, 8, 9]);
    let made = sample(&aggregate(rejecting, ""), None, &rows, now, 2, TIME_LIMIT).unwrap().now;
    assert_eq!((made.rows[0].dead.as_deref(), made.rows[0].output.len()), (Some("a reason"), 0));
    assert_eq!((made.rows[1].dead.as_deref(), &made.rows[1].output["main"]), (None, &vec![json!({ "n": 8 })]));
    assert_eq!(made.groups, [json!({ "n": 8 }), json!({ "n": 9 })]);
}
