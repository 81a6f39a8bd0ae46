//! New York's turnstiles: entries and exits of each turnstile in each window.
//!
//! The key is CA, UNIT, SCP, STATION, LINENAME, DIVISION, DATE, DESC: utf8, any of them may be null; with a window. Columns in beside the
//! key: ENTRIES, EXITS: int64, of which neither may be null. Columns out: CA, UNIT, SCP, STATION, LINENAME, DIVISION, DATE, TIME, DESC:
//! utf8, ENTRIES, EXITS: int64, in this order; TIME is the window's end, as `HH:mm:ss`.

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Counts {
    #[row(name = "ENTRIES")]
    entries: i64,
    #[row(name = "EXITS")]
    exits: i64,
}

#[derive(Row)]
struct Turnstile<'a> {
    #[row(name = "CA")]
    ca: Option<&'a str>,
    #[row(name = "UNIT")]
    unit: Option<&'a str>,
    #[row(name = "SCP")]
    scp: Option<&'a str>,
    #[row(name = "STATION")]
    station: Option<&'a str>,
    #[row(name = "LINENAME")]
    line_name: Option<&'a str>,
    #[row(name = "DIVISION")]
    division: Option<&'a str>,
    #[row(name = "DATE")]
    date: Option<&'a str>,
    #[row(name = "DESC")]
    description: Option<&'a str>,
    window_end: Timestamp,
}

#[derive(Row, Default)]
struct Sums {
    entries: i64,
    exits: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Window<'a> {
    #[row(name = "CA")]
    ca: Option<&'a str>,
    #[row(name = "UNIT")]
    unit: Option<&'a str>,
    #[row(name = "SCP")]
    scp: Option<&'a str>,
    #[row(name = "STATION")]
    station: Option<&'a str>,
    #[row(name = "LINENAME")]
    line_name: Option<&'a str>,
    #[row(name = "DIVISION")]
    division: Option<&'a str>,
    #[row(name = "DATE")]
    date: Option<&'a str>,
    #[row(name = "TIME")]
    time: String,
    #[row(name = "DESC")]
    description: Option<&'a str>,
    #[row(name = "ENTRIES")]
    entries: i64,
    #[row(name = "EXITS")]
    exits: i64,
}

#[derive(FromSettings)]
struct Turnstiles;

impl Aggregate for Turnstiles {
    type Row<'a> = Counts;
    type Group<'a> = Turnstile<'a>;
    type State = Sums;
    type Output<'a> = Window<'a>;

    fn update(&self, sums: &mut Sums, counts: Counts) -> Result<(), Reject> {
        self.merge(sums, Sums { entries: counts.entries, exits: counts.exits });
        Ok(())
    }

    fn merge(&self, sums: &mut Sums, later: Sums) {
        // Wraps around past an int64, which no turnstile reaches: to stop there would make sums depend on the order of rows.
        sums.entries = sums.entries.wrapping_add(later.entries);
        sums.exits = sums.exits.wrapping_add(later.exits);
    }

    fn finish<'a>(&self, group: Turnstile<'a>, sums: Sums) -> Window<'a> {
        let (hour, minute, second) = group.window_end.hms();
        Window {
            ca: group.ca,
            unit: group.unit,
            scp: group.scp,
            station: group.station,
            line_name: group.line_name,
            division: group.division,
            date: group.date,
            time: format!("{hour:02}:{minute:02}:{second:02}"),
            description: group.description,
            entries: sums.entries,
            exits: sums.exits,
        }
    }
}

rillgate_sdk::aggregate!(Turnstiles);

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{AggregateTest, Folded, Grouped};

    use super::*;

    fn turnstile<'a>(scp: &'a str, window_end: &str) -> Turnstile<'a> {
        Turnstile {
            ca: Some("A001"),
            unit: Some("R001"),
            scp: Some(scp),
            station: Some("Test-Station"),
            line_name: Some("456NQR"),
            division: Some("BMT"),
            date: Some("09/23/2023"),
            description: None,
            window_end: window_end.parse().unwrap(),
        }
    }

    fn window<'a>(scp: &'a str, time: &str, entries: i64, exits: i64) -> Window<'a> {
        let Turnstile { ca, unit, scp, station, line_name, division, date, description, .. } =
            turnstile(scp, "2023-09-23T00:00:00Z");
        let time = time.to_owned();
        Window { ca, unit, scp, station, line_name, division, date, time, description, entries, exits }
    }

    /// Turnstile, end of the window, entries, exits.
    type Counted = (&'static str, &'static str, i64, i64);

    fn run<const N: usize>(rows: [Counted; N]) -> Folded {
        let row = |(scp, end, entries, exits)| (turnstile(scp, end), Counts { entries, exits });
        AggregateTest::new(PLUGIN).run(Grouped::rows(rows.map(row)))
    }

    #[test]
    fn entries_and_exits_are_summed_up_by_turnstile_and_window() {
        let folded = run([
            ("02-00-00", "2023-09-23T16:55:00Z", 140, 153),
            ("02-00-01", "2023-09-23T16:55:00Z", 7, 0),
            ("02-00-00", "2023-09-23T16:55:00Z", 1, 2),
            ("02-00-00", "2023-09-24T00:00:00Z", 5, 6),
        ]);
        let expected = [
            window("02-00-00", "16:55:00", 141, 155),
            window("02-00-01", "16:55:00", 7, 0),
            window("02-00-00", "00:00:00", 5, 6),
        ];
        assert_eq!(folded.rows::<Window>(), expected);
        let columns: Vec<&str> = folded.plan().output.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(columns.join(","), "CA,UNIT,SCP,STATION,LINENAME,DIVISION,DATE,TIME,DESC,ENTRIES,EXITS");
    }

    #[test]
    fn a_row_without_a_number_is_rejected_and_the_others_count() {
        #[derive(Row)]
        struct Loose {
            #[row(name = "ENTRIES")]
            entries: Option<i64>,
            #[row(name = "EXITS")]
            exits: Option<i64>,
        }
        let row = |entries, exits| (turnstile("1", "2023-09-23T16:55:00Z"), Loose { entries, exits });
        let rows = [row(Some(1), Some(2)), row(None, Some(2)), row(Some(1), None), row(Some(-3), Some(0))];
        let folded = AggregateTest::new(PLUGIN).run(Grouped::rows(rows));
        assert_eq!(folded.rows::<Window>(), [window("1", "16:55:00", -2, 2)]);
        assert_eq!(folded.rejected(), [(1, "column `ENTRIES` is null"), (2, "column `EXITS` is null")]);
    }
}
