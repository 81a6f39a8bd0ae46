//! Keeps records that lack nothing, as the railway's plugin does with `require = "all"`.

wit_bindgen::generate!({ path: "../records.wit", world: "plugin" });

use exports::rillgate_bench::records::transform::{Flow, Guest};

struct Component;

impl Guest for Component {
    fn one(row: Flow) -> Option<Flow> {
        is_whole(&row).then_some(row)
    }

    fn many(rows: Vec<Flow>) -> Vec<Flow> {
        rows.into_iter().filter(is_whole).collect()
    }
}

fn is_whole(row: &Flow) -> bool {
    let says = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let has_numbers =
        row.waiting_time.is_some() && row.ticket_check_time.is_some() && row.reduced_flow_factor.is_some();
    says(&row.id) && says(&row.train_id) && says(&row.station) && row.timestamp.is_some() && has_numbers
}

export!(Component);
