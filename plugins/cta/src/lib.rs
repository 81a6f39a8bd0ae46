//! Chicago's transit: the table of stations, as a database connector sends it, with the line of each as a word.
//!
//! The setting `topic` is `stations`. Columns in, all nullable: station_id: int32; station_name: utf8; order: int32; red, blue,
//! green: boolean; others are left alone. Columns out: station_id: int32, never null; station_name: utf8; order: int32;
//! line: utf8, one of `red`, `blue`, `green`, or `unknown` where the station is on none of them. On a station of several the
//! first of them counts. A row without a station_id is rejected.

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct StationIn<'a> {
    station_id: i32, // a null here rejects the row
    station_name: Option<&'a str>,
    order: Option<i32>,
    red: Option<bool>,
    blue: Option<bool>,
    green: Option<bool>,
}

#[derive(Row, Debug, PartialEq)]
struct Station<'a> {
    station_id: i32,
    station_name: Option<&'a str>,
    order: Option<i32>,
    line: &'a str,
}

fn station(row: StationIn<'_>) -> Station<'_> {
    let lines = [(row.red, "red"), (row.blue, "blue"), (row.green, "green")];
    let line = lines.into_iter().find(|(on_it, _)| *on_it == Some(true)).map_or("unknown", |(_, line)| line);
    Station { station_id: row.station_id, station_name: row.station_name, order: row.order, line }
}

rillgate_sdk::transform!(match topic {
    "stations" => station,
});

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{Input, Test};

    use super::*;

    /// Its id, name and order, and whether it is on each line.
    type Sent = (Option<i32>, &'static str, i32, [Option<bool>; 3]);

    fn rows(rows: &[Sent]) -> Input {
        let line = |at: usize| rows.iter().map(move |row| row.3[at]);
        Input::columns()
            .column("station_id", rows.iter().map(|row| row.0))
            .column("station_name", rows.iter().map(|row| Some(row.1)))
            .column("order", rows.iter().map(|row| Some(row.2)))
            .column("red", line(0))
            .column("blue", line(1))
            .column("green", line(2))
    }

    /// The three rows are of the output of the system that was there before.
    #[test]
    fn stations_get_their_line() {
        let (yes, no) = (Some(true), Some(false));
        let tested = Test::new(PLUGIN).setting("topic", "stations").run(rows(&[
            (Some(40_010), "Austin", 29, [no, yes, no]),
            (Some(40_020), "Harlem/Lake", 0, [no, no, yes]),
            (Some(40_820), "Rosemont", 1, [no, no, no]),
            (Some(40_900), "Howard", 0, [yes, None, None]),
            (Some(41_000), "Nowhere", 7, [None, None, None]),
            (Some(41_010), "Crossing", 8, [no, yes, yes]),
            (None, "Nameless", 9, [yes, no, no]),
        ]));
        let station =
            |station_id, name, order, line| Station { station_id, station_name: Some(name), order: Some(order), line };
        assert_eq!(
            tested.rows::<Station>(),
            [
                station(40_010, "Austin", 29, "blue"),
                station(40_020, "Harlem/Lake", 0, "green"),
                station(40_820, "Rosemont", 1, "unknown"),
                station(40_900, "Howard", 0, "red"),
                station(41_000, "Nowhere", 7, "unknown"),
                station(41_010, "Crossing", 8, "blue"),
            ]
        );
        assert_eq!(tested.rejected(), [(6, "column `station_id` is null")]);
    }
}
