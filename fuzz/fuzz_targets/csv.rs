//! CSV records into columns, several messages in a batch. The oracle reads them with the csv crate.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rillgate::batch::MemoryMessages;
use rillgate::decode::{ColumnOptions, CsvOptions, DecodeOptions};
use rillgate_fuzz::{Cell, Expected, check_reasons, compare, decode, decoder, oracle};

const TYPES: [&str; 8] = ["utf8", "int64", "boolean", "float64", "date", "timestamp", "int32", "binary"];
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

// The first byte says how it is written, the second which columns there are; 0xff stands between messages.
fuzz_target!(|data: &[u8]| {
    let [flags, shape, messages @ ..] = data else { return };
    let options = CsvOptions {
        delimiter: [',', ';', '\t', '|'][usize::from(flags & 3)],
        quote: ['"', '\''][usize::from(flags >> 2 & 1)],
        empty_as_null: flags >> 3 & 1 == 1,
        null: (flags >> 4 & 1 == 1).then(|| "NA".to_owned()),
    };
    let (count, first) = (usize::from(shape & 7) + 1, usize::from(shape >> 3 & 7));
    let types: Vec<&str> = TYPES.into_iter().cycle().skip(first).take(count).collect();
    let columns: Vec<_> =
        types.iter().zip(NAMES).map(|(data_type, name)| (name, ColumnOptions::new(data_type))).collect();
    let mut decoder = decoder(&DecodeOptions::Csv(options.clone()), &columns).unwrap();
    let values: Vec<&[u8]> = messages.split(|byte| *byte == 0xff).collect();
    let messages = MemoryMessages::from_values("topic", &values);
    let fates: Vec<_> = values.iter().map(|value| expected(value, &options, &types)).collect();
    for _ in 0..2 {
        let decoded = decode(&mut decoder, &messages);
        check_reasons(&decoded);
        for (index, value) in values.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            let row = decoded.rows.origin.iter().position(|origin| *origin as usize == index);
            compare(&decoded.rows.batch, row, fates[index].as_deref(), value);
        }
    }
});

/// What the columns must hold; `None` for what is no record of so many fields.
fn expected(value: &[u8], options: &CsvOptions, types: &[&str]) -> Option<Vec<Expected>> {
    // The reader takes away a byte order mark by itself.
    let text = str::from_utf8(value).ok()?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(options.delimiter as u8)
        .quote(options.quote as u8)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let record = records.next()?.ok()?;
    if records.next().is_some() || record.len() != types.len() {
        return None;
    }
    Some(record.iter().zip(types).map(|(field, data_type)| expected_field(field, data_type, options)).collect())
}

fn expected_field(field: &str, data_type: &str, options: &CsvOptions) -> Expected {
    let is_text = matches!(data_type, "utf8" | "binary");
    if (field.is_empty() && (!is_text || options.empty_as_null)) || options.null.as_deref() == Some(field) {
        return Expected::Cell(Cell::Null);
    }
    match data_type {
        "boolean" if field.eq_ignore_ascii_case("true") => Expected::Cell(Cell::Boolean(true)),
        "boolean" if field.eq_ignore_ascii_case("false") => Expected::Cell(Cell::Boolean(false)),
        "int32" => oracle::integer(field, 32),
        "int64" => oracle::integer(field, 64),
        "float64" => oracle::float64(field),
        "date" => match oracle::date(field) {
            Expected::Rejected => oracle::epoch_days(field),
            found => found,
        },
        "timestamp" => oracle::timestamp(field),
        "utf8" | "binary" => Expected::Cell(Cell::Bytes(field.as_bytes().to_vec())),
        _ => Expected::Rejected,
    }
}
