//! New York's turnstiles: a reading as it was sent, with its date written as the tables have it and without double quotes.
//!
//! Columns in and out: CA, UNIT, SCP, STATION, LINENAME, DIVISION, DATE, TIME, DESC: utf8; ENTRIES, EXITS: int64; ID: utf8;
//! TIMESTAMP: timestamp. Out, none of the texts is null, nor is TIMESTAMP.
//!
//! DATE comes as `mm-dd-yy` and goes out as `MM/dd/yyyy`, in this century. Quotes around a field are the CSV decoder's business;
//! those that are left inside a text go here. A reading with a DATE that is none, or with a null text or TIMESTAMP, is rejected.

// Fields are the feed's and the table's own names.
#![allow(non_snake_case)]

use std::borrow::Cow;

use rillgate_sdk::prelude::*;

/// A reading as it comes.
#[derive(Row)]
struct ReadingIn<'a> {
    CA: &'a str,
    UNIT: &'a str,
    SCP: &'a str,
    STATION: &'a str,
    LINENAME: &'a str,
    DIVISION: &'a str,
    DATE: &'a str,
    TIME: &'a str,
    DESC: &'a str,
    ENTRIES: Option<i64>,
    EXITS: Option<i64>,
    ID: &'a str,
    TIMESTAMP: Timestamp,
}

/// A reading as it goes on.
#[derive(Row, Debug, PartialEq)]
struct Reading<'a> {
    CA: Cow<'a, str>,
    UNIT: Cow<'a, str>,
    SCP: Cow<'a, str>,
    STATION: Cow<'a, str>,
    LINENAME: Cow<'a, str>,
    DIVISION: Cow<'a, str>,
    DATE: String,
    TIME: Cow<'a, str>,
    DESC: Cow<'a, str>,
    ENTRIES: Option<i64>,
    EXITS: Option<i64>,
    ID: Cow<'a, str>,
    TIMESTAMP: Timestamp,
}

fn reading(row: ReadingIn<'_>) -> Result<Reading<'_>, Reject> {
    let date = bare(row.DATE);
    let Some(DATE) = slashed(&date) else { reject!("column `DATE` is no date mm-dd-yy: {date:?}") };
    Ok(Reading {
        CA: bare(row.CA),
        UNIT: bare(row.UNIT),
        SCP: bare(row.SCP),
        STATION: bare(row.STATION),
        LINENAME: bare(row.LINENAME),
        DIVISION: bare(row.DIVISION),
        DATE,
        TIME: bare(row.TIME),
        DESC: bare(row.DESC),
        ENTRIES: row.ENTRIES,
        EXITS: row.EXITS,
        ID: bare(row.ID),
        TIMESTAMP: row.TIMESTAMP,
    })
}

/// The text without double quotes.
fn bare(text: &str) -> Cow<'_, str> {
    if text.contains('"') { text.replace('"', "").into() } else { text.into() }
}

/// `09/23/2023` of `09-23-23`, if there is such a day.
fn slashed(date: &str) -> Option<String> {
    let [m1, m2, b'-', d1, d2, b'-', y1, y2] = *date.as_bytes() else { return None };
    let number = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
    };
    Date::from_ymd(2000 + number(y1, y2)? as i32, number(m1, m2)?, number(d1, d2)?)?;
    Some([&date[..2], "/", &date[3..5], "/20", &date[6..]].concat())
}

rillgate_sdk::transform!(reading);

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{Input, Test};

    use super::*;

    const NOW: Timestamp = Timestamp(1_695_488_040_000_000);

    fn sent<'a>(date: &'a str, station: &'a str) -> ReadingIn<'a> {
        ReadingIn {
            CA: "A001",
            UNIT: "R001",
            SCP: "02-00-00",
            STATION: station,
            LINENAME: "456NQR",
            DIVISION: "BMT",
            DATE: date,
            TIME: "16:54:00",
            DESC: "REGULAR",
            ENTRIES: Some(140),
            EXITS: Some(153),
            ID: "a2242722-6377-4c86-bd51-ad3f130af08a",
            TIMESTAMP: NOW,
        }
    }

    #[test]
    fn a_reading_goes_through_and_its_date_is_written_otherwise() {
        let tested = Test::new(PLUGIN).run(Input::rows([sent("09-23-23", "Test-Station")]));
        let expected = Reading {
            CA: "A001".into(),
            UNIT: "R001".into(),
            SCP: "02-00-00".into(),
            STATION: "Test-Station".into(),
            LINENAME: "456NQR".into(),
            DIVISION: "BMT".into(),
            DATE: "09/23/2023".into(),
            TIME: "16:54:00".into(),
            DESC: "REGULAR".into(),
            ENTRIES: Some(140),
            EXITS: Some(153),
            ID: "a2242722-6377-4c86-bd51-ad3f130af08a".into(),
            TIMESTAMP: NOW,
        };
        assert_eq!(tested.rows::<Reading>(), [expected]);
        assert_eq!(tested.rejected(), []);
    }

    #[test]
    fn quotes_go() {
        let without_counts = ReadingIn { ENTRIES: None, EXITS: None, ..sent("\"09-23-23\"", "42 ST-\"PORT\" AUTH") };
        let tested = Test::new(PLUGIN).run(Input::rows([without_counts]));
        let [row] = &tested.rows::<Reading>()[..] else { panic!("{tested:?}") };
        assert_eq!((row.STATION.as_ref(), row.DATE.as_str(), row.ENTRIES), ("42 ST-PORT AUTH", "09/23/2023", None));
    }

    #[test]
    fn days_that_there_are() {
        for (date, expected) in [("02-29-24", "02/29/2024"), ("12-31-99", "12/31/2099"), ("01-01-00", "01/01/2000")] {
            assert_eq!(slashed(date).as_deref(), Some(expected));
        }
        for date in
            ["", "13-01-23", "02-29-23", "00-10-23", "09/23/2023", "9-23-23", "09-23-2023", "0a-23-23", "09-2\u{e9}-2"]
        {
            assert_eq!(slashed(date), None, "{date}");
        }
    }

    #[test]
    fn a_reading_without_a_date_or_a_time_is_rejected() {
        let text = |value| [Some(value)];
        let input = |date: &'static str, timestamp| {
            let names = ["CA", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION"];
            let input = names.into_iter().fold(Input::columns(), |input, name| input.column(name, text("x")));
            let input = input.column("DATE", text(date)).column("TIME", text("x")).column("DESC", text("x"));
            let input = input.column("ENTRIES", [Some(1_i64)]).column("EXITS", [Some(1_i64)]);
            input.column("ID", text("x")).column("TIMESTAMP", [timestamp])
        };
        let rejected = |date, timestamp| {
            let tested = Test::new(PLUGIN).run(input(date, timestamp));
            assert_eq!(tested.rows::<Reading>(), []);
            tested.rejected().iter().map(|(_, reason)| (*reason).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(rejected("23.09.23", Some(NOW)), ["column `DATE` is no date mm-dd-yy: \"23.09.23\""]);
        assert_eq!(rejected("09-23-23", None), ["column `TIMESTAMP` is null"]);
    }
}
