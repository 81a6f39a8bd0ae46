//! New York's turnstiles: a reading as it was sent, with its date written as the tables have it and without double quotes.
//!
//! Columns in and out: CA, UNIT, SCP, STATION, LINENAME, DIVISION, DATE, TIME, DESC: utf8; ENTRIES, EXITS: int64; ID: utf8;
//! TIMESTAMP: timestamp. Out, none of the texts is null, nor is TIMESTAMP.
//!
//! DATE comes as `mm-dd-yy` and goes out as `MM/dd/yyyy`, in this century. Quotes around a field are the CSV decoder's business;
//! those that are left inside a text go here. A reading with a DATE that is none, or with a null text or TIMESTAMP, is rejected.
//!
//! Nearly all that comes goes on as it is, so this works on whole columns: those without a quote are handed on without a copy.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rillgate_sdk::prelude::*;
use rillgate_sdk::wit::{Batch, Column, DataType, Error, Field, Output, OutputTable, Rejection, Values, Varlen};
use rillgate_sdk::{BatchTransform, ColumnBuilder, ColumnOf, FieldSpec, Kept, MAIN, Places, Settings};

/// The columns, which may be null going out where they may coming in.
const COLUMNS: [FieldSpec; 13] = [
    column("CA", DataType::Utf8),
    column("UNIT", DataType::Utf8),
    column("SCP", DataType::Utf8),
    column("STATION", DataType::Utf8),
    column("LINENAME", DataType::Utf8),
    column("DIVISION", DataType::Utf8),
    column(DATE, DataType::Utf8),
    column("TIME", DataType::Utf8),
    column("DESC", DataType::Utf8),
    FieldSpec { nullable: true, ..column("ENTRIES", DataType::Int64) },
    FieldSpec { nullable: true, ..column("EXITS", DataType::Int64) },
    column("ID", DataType::Utf8),
    column("TIMESTAMP", DataType::Timestamp),
];
/// The one that is written otherwise.
const DATE: &str = "DATE";

const fn column(name: &'static str, data_type: DataType) -> FieldSpec {
    FieldSpec { name, data_type, nullable: false, optional: false }
}

/// Where each of [`COLUMNS`] is in the input.
struct Readings {
    places: Vec<usize>,
}

/// Rows that are rejected, each for the first reason there is.
type Rejected = BTreeMap<u32, String>;

impl BatchTransform for Readings {
    fn open(input: &[Field], _settings: &mut Settings) -> Result<(Self, Vec<OutputTable>), Error> {
        Places::find(&COLUMNS, input)?;
        let place = |column: &FieldSpec| input.iter().position(|field| field.name == column.name);
        let field = |column: &FieldSpec| Field {
            name: column.name.to_owned(),
            data_type: column.data_type,
            nullable: column.nullable,
        };
        let schema = COLUMNS.iter().map(field).collect();
        let readings = Self { places: COLUMNS.iter().filter_map(place).collect() };
        Ok((readings, vec![OutputTable { name: MAIN.to_owned(), schema }]))
    }

    fn apply(&mut self, input: Batch) -> Result<Output, Error> {
        let rows = input.rows;
        let mut rejected = Rejected::new();
        for (column, &place) in COLUMNS.iter().zip(&self.places).filter(|(column, _)| !column.nullable) {
            reject_nulls(column.name, &input.columns[place], rows, &mut rejected);
        }
        let rewrite = |(column, &place): (&FieldSpec, &usize)| match &input.columns[place].values {
            Values::Utf8(_) if column.name == DATE => Some(dates(&input.column(place)?, rows, &mut rejected)),
            Values::Utf8(texts) if has_quote(&texts.bytes) => Some(without_quotes(&input.column(place)?)),
            _ => None,
        };
        let mut rewritten: Vec<Option<Column>> = COLUMNS.iter().zip(&self.places).map(rewrite).collect();
        let mut columns: Vec<Option<Column>> = input.columns.into_iter().map(Some).collect();
        let columns =
            COLUMNS.iter().zip(&self.places).zip(&mut rewritten).filter_map(|((column, &place), rewritten)| {
                let Column { values, validity } = rewritten.take().or(columns[place].take())?;
                Some(Column { values, validity: validity.filter(|_| column.nullable) })
            });
        let mut batch = Batch { rows, columns: columns.collect() };
        if !rejected.is_empty() {
            let mut kept = Kept::default();
            (0..rows).filter(|row| !rejected.contains_key(row)).for_each(|row| kept.keep(row as usize));
            batch = kept.of(batch);
        }
        let rejected = rejected.into_iter().map(|(row, reason)| Rejection { row, reason }).collect();
        Ok(Output { batches: vec![batch], rejected })
    }
}

fn reject_nulls(name: &str, column: &Column, rows: u32, rejected: &mut Rejected) {
    if column.validity.is_some() {
        for row in (0..rows).filter(|row| !column.is_valid(*row as usize)) {
            rejected.entry(row).or_insert_with(|| Reject::null(name).reason().to_owned());
        }
    }
}

/// Dates as the tables have them. Most are as the one before.
fn dates<'a>(dates: &ColumnOf<'a, &'a str>, rows: u32, rejected: &mut Rejected) -> Column {
    let mut bytes = Vec::with_capacity(rows as usize * "MM/dd/yyyy".len());
    let mut offsets = Vec::with_capacity(rows as usize + 1);
    offsets.push(0);
    let mut last: Option<([u8; 8], [u8; 10])> = None;
    for (row, date) in (0..rows).zip(dates.iter()) {
        let date = date.unwrap_or_default();
        match last {
            Some((as_sent, slashed)) if date.as_bytes() == as_sent => bytes.extend_from_slice(&slashed),
            _ => match slashed(&bare(date)) {
                Some(slashed) => {
                    bytes.extend_from_slice(&slashed);
                    last = date.as_bytes().try_into().ok().map(|as_sent| (as_sent, slashed));
                }
                None => {
                    let reason = || format!("column `{DATE}` is no date mm-dd-yy: {:?}", bare(date));
                    rejected.entry(row).or_insert_with(reason);
                }
            },
        }
        offsets.push(bytes.len() as u32);
    }
    Column { values: Values::Utf8(Varlen { offsets, bytes }), validity: None }
}

/// Texts without double quotes.
fn without_quotes<'a>(texts: &ColumnOf<'a, &'a str>) -> Column {
    let mut builder = ColumnBuilder::<Cow<'a, str>>::with_capacity(0);
    texts.iter().for_each(|text| builder.push(bare(text.unwrap_or_default())));
    builder.finish()
}

/// The text without double quotes.
fn bare(text: &str) -> Cow<'_, str> {
    if text.contains('"') { text.replace('"', "").into() } else { text.into() }
}

/// Whether any byte is a double quote, eight at a time.
fn has_quote(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    // A byte that is 0 borrows from its highest bit: some bit is left if any is.
    let quotes = words.iter().fold(0, |quotes, word| {
        let zeros = u64::from_ne_bytes(*word) ^ (ONES * u64::from(b'"'));
        quotes | (zeros.wrapping_sub(ONES) & !zeros)
    });
    quotes & (ONES << 7) != 0 || rest.contains(&b'"')
}

/// `09/23/2023` of `09-23-23`, if there is such a day.
fn slashed(date: &str) -> Option<[u8; 10]> {
    let [m1, m2, b'-', d1, d2, b'-', y1, y2] = *date.as_bytes() else { return None };
    let number = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
    };
    Date::from_ymd(2000 + number(y1, y2)? as i32, number(m1, m2)?, number(d1, d2)?)?;
    Some([m1, m2, b'/', d1, d2, b'/', b'2', b'0', y1, y2])
}

rillgate_sdk::transform!(impl Readings);

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{Input, Test};

    use super::*;

    /// A reading, as it comes and as it goes on.
    #[derive(Row, Debug, PartialEq)]
    struct Reading<'a> {
        #[row(name = "CA")]
        ca: &'a str,
        #[row(name = "UNIT")]
        unit: &'a str,
        #[row(name = "SCP")]
        scp: &'a str,
        #[row(name = "STATION")]
        station: &'a str,
        #[row(name = "LINENAME")]
        line_name: &'a str,
        #[row(name = "DIVISION")]
        division: &'a str,
        #[row(name = "DATE")]
        date: &'a str,
        #[row(name = "TIME")]
        time: &'a str,
        #[row(name = "DESC")]
        description: &'a str,
        #[row(name = "ENTRIES")]
        entries: Option<i64>,
        #[row(name = "EXITS")]
        exits: Option<i64>,
        #[row(name = "ID")]
        id: &'a str,
        #[row(name = "TIMESTAMP")]
        timestamp: Timestamp,
    }

    const NOW: Timestamp = Timestamp(1_695_488_040_000_000);

    fn reading<'a>(date: &'a str, station: &'a str) -> Reading<'a> {
        Reading {
            ca: "A001",
            unit: "R001",
            scp: "02-00-00",
            station,
            line_name: "456NQR",
            division: "BMT",
            date,
            time: "16:54:00",
            description: "REGULAR",
            entries: Some(140),
            exits: Some(153),
            id: "a2242722-6377-4c86-bd51-ad3f130af08a",
            timestamp: NOW,
        }
    }

    #[test]
    fn a_reading_goes_through_and_its_date_is_written_otherwise() {
        let tested = Test::new(PLUGIN).run(Input::rows([reading("09-23-23", "Test-Station")]));
        assert_eq!(tested.rows::<Reading>(), [reading("09/23/2023", "Test-Station")]);
        assert_eq!(tested.rejected(), []);
        let nullable = |table: &OutputTable| {
            table.schema.iter().filter(|field| field.nullable).map(|field| field.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(nullable(&tested.output().0[0]), ["ENTRIES", "EXITS"]);
    }

    #[test]
    fn quotes_go() {
        let quoted = || [("\"09-23-23\"", "42 ST-\"PORT\" AUTH"), ("09-\"\"24-23", "\""), ("09-24-23", "n\u{b0} 9\"")];
        let rows = quoted().map(|(date, station)| Reading { entries: None, exits: None, ..reading(date, station) });
        let tested = Test::new(PLUGIN).run(Input::rows(rows));
        let rows: Vec<_> = tested.rows::<Reading>().iter().map(|row| (row.date, row.station, row.entries)).collect();
        let expected = [("09/23/2023", "42 ST-PORT AUTH"), ("09/24/2023", ""), ("09/24/2023", "n\u{b0} 9")];
        assert_eq!(rows, expected.map(|(date, station)| (date, station, None)));
    }

    #[test]
    fn a_quote_is_found_wherever_it_is() {
        for length in 0..40 {
            let mut bytes = vec![b'#'; length];
            for other in [b'!', 0xa2, 0x00, b'#'] {
                bytes.fill(other);
                assert!(!has_quote(&bytes), "{length} of {other:#x}");
                for at in 0..length {
                    bytes[at] = b'"';
                    assert!(has_quote(&bytes), "{at} of {length} beside {other:#x}");
                    bytes[at] = other;
                }
            }
        }
    }

    /// Whichever rows are rejected, the others come out whole and in order.
    #[test]
    fn dates_that_follow_one_another_are_read_each_for_itself() {
        let dates = ["09-23-23", "09-23-23", "09-24-23", "23.09.23", "09-24-23", "", "\0\0\0\0\0\0\0\0", "09-23-23"];
        let tested = Test::new(PLUGIN).run(Input::rows(dates.map(|date| reading(date, date))));
        let rows: Vec<_> = tested.rows::<Reading>().iter().map(|row| (row.station, row.date)).collect();
        let expected = |date: &'static str| (date, if date == "09-23-23" { "09/23/2023" } else { "09/24/2023" });
        assert_eq!(rows, [dates[0], dates[1], dates[2], dates[4], dates[7]].map(expected));
        assert_eq!(tested.rejected().iter().map(|(row, _)| *row).collect::<Vec<_>>(), [3, 5, 6]);
    }

    #[test]
    fn days_that_there_are() {
        for (date, expected) in [("02-29-24", "02/29/2024"), ("12-31-99", "12/31/2099"), ("01-01-00", "01/01/2000")] {
            assert_eq!(slashed(date).as_ref().map(<[u8; 10]>::as_slice), Some(str::as_bytes(expected)));
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
        assert_eq!(rejected("23.09.23", None), ["column `TIMESTAMP` is null"]);
    }
}
