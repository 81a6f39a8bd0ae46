//! Tests of the mta system: its lines, what is odd about some of them, and when they come.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDateTime;

use super::*;
use crate::{NaiveDate, System, feed, feed_with};

/// A line as it was written, its fields without quotes.
struct Seen {
    record: Record,
    text: String,
    fields: Vec<String>,
}

/// The first lines of the feed.
fn seen(count: usize) -> Vec<Seen> {
    seen_of(feed(System::Mta, 42), count)
}

fn seen_of(feed: impl Iterator<Item = Record>, count: usize) -> Vec<Seen> {
    let see = |record: Record| {
        let text = String::from_utf8(record.value.clone()).unwrap();
        let fields = text.split(',').map(|field| field.trim_matches('"').to_owned()).collect();
        Seen { record, text, fields }
    };
    feed.take(count).map(see).collect()
}

/// Seconds that a line was on its way; `None` for those in the older format, which don't tell.
fn delay(seen: &Seen) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(seen.fields.get(12)?, "%Y-%m-%d %H:%M:%S").unwrap();
    Some(seen.record.event_time_ms / 1000 - time.and_utc().timestamp())
}

#[test]
fn first_lines_are_what_they_always_were() {
    let first: Vec<String> = seen(3).into_iter().map(|seen| seen.text).collect();
    assert_eq!(
        first,
        [
            "A002,R051,00-00-00,59 ST,NQR456W,BMT,01-01-26,06:00:00,REGULAR,60,61,b23076fd-782d-4967-aa9f-11f8dfb0ca08,2026-01-01 06:00:00",
            "A010,R080,02-00-00,57 ST-7 AV,NQRW,BMT,01-01-26,06:00:00,REGULAR,60,56,902180d1-eb16-4d37-8a2f-07a37c4b3903,2026-01-01 06:00:00",
            "A025,R023,01-00-01,34 ST-HERALD SQ,BDFMNQRW,BMT,01-01-26,06:00:00,REGULAR,60,44,d590cf23-b4ce-4ccb-844f-249531de1a34,2026-01-01 06:00:00",
        ]
    );
}

#[test]
fn lines_have_the_systems_columns() {
    // A day whose number is no month's.
    let start = NaiveDate::from_ymd_opt(2026, 2, 13).unwrap();
    let feed = feed_with(System::Mta, &Options { start, ..Options::seeded(42) });
    for Seen { record, text, fields } in seen_of(feed, 50_000) {
        let turnstile = &fields[..6];
        let known = ENTRANCES.iter().any(|(ca, unit, station, lines, division, _)| {
            turnstile[0] == *ca && turnstile[1] == *unit && turnstile[3..] == [*station, *lines, *division]
        });
        assert!(known, "{text}");
        assert_eq!(record.key, turnstile[..3].join("/").as_bytes(), "the key is the turnstile");
        assert_eq!(record.avro, None);
        let quotes = text.matches('"').count();
        if fields.len() == 11 {
            assert!(quotes == 0 || quotes == 18, "all texts or none: {text}");
            assert!(["REGULAR", "RECOVR AUD"].contains(&fields[7].as_str()), "{text}");
            assert_eq!(fields[8].len(), "16:54:00".len());
            continue;
        }
        assert_eq!(fields.len(), 13, "{text}");
        assert!(quotes == 0 || quotes == 22, "all texts or none: {text}");
        let time = NaiveDateTime::parse_from_str(&fields[12], "%Y-%m-%d %H:%M:%S").unwrap();
        assert_eq!(fields[6], time.format("%m-%d-%y").to_string());
        assert_eq!(fields[7], time.format("%H:%M:%S").to_string());
        assert!(["REGULAR", "RECOVR AUD"].contains(&fields[8].as_str()), "{text}");
        for count in &fields[9..11] {
            assert!(count.parse::<u32>().unwrap() < 300, "{text}");
        }
        assert_eq!(uuid::Uuid::parse_str(&fields[11]).unwrap().get_version_num(), 4);
    }
}

#[test]
fn a_turnstile_is_read_every_ten_seconds() {
    let mut readings: HashMap<Vec<u8>, Vec<i64>> = HashMap::new();
    let hour = seen(40_000);
    let mut ids = HashSet::new();
    for seen in hour.iter().filter(|seen| seen.fields.len() == 13 && ids.insert(seen.fields[11].clone())) {
        let sent = seen.record.event_time_ms / 1000 - delay(seen).unwrap();
        readings.entry(seen.record.key.clone()).or_default().push(sent);
    }
    assert_eq!(readings.len(), 100);
    for times in readings.values_mut() {
        times.sort_unstable();
        assert!(times.windows(2).all(|pair| pair[1] > pair[0] && (pair[1] - pair[0]) % 10 == 0), "{times:?}");
        let span = times[times.len() - 1] - times[0];
        // Those in the older format are not among them, and those that are still on their way.
        assert!(times.len() as f64 > 0.97 * span as f64 / 10.0, "{} in {span} s", times.len());
    }
}

#[test]
fn some_lines_are_odd_in_each_of_the_ways_that_were_seen() {
    let all = seen(200_000);
    let share = |count: usize| count as f64 / all.len() as f64;
    let quoted = all.iter().filter(|seen| seen.text.contains('"')).count();
    assert!((share(quoted) - QUOTED).abs() < 0.01, "{quoted} with quotes");
    let older = all.iter().filter(|seen| seen.fields.len() == 11).count();
    assert!((share(older) - OLDER).abs() < 0.0005, "{older} of the older format");

    let mut times: HashMap<&str, Vec<&Seen>> = HashMap::new();
    for seen in all.iter().filter(|seen| seen.fields.len() == 13) {
        times.entry(&seen.fields[11]).or_default().push(seen);
    }
    let mut doubled = 0;
    for lines in times.values().filter(|lines| lines.len() > 1) {
        assert!(lines.len() == 2 && lines[0].text == lines[1].text, "a double is the same line again");
        let apart = lines[1].record.due_ms - lines[0].record.due_ms;
        assert!(apart <= AGAIN_AFTER as u64 * 1000, "{apart} ms later");
        doubled += 1;
    }
    assert!((share(doubled) - AGAIN).abs() < 0.004, "{doubled} doubles");

    let (mut late, mut held_up, mut out_of_order, mut latest) = (0, 0, 0, 0);
    for seen in all.iter().filter(|seen| seen.fields.len() == 13) {
        let delay = delay(seen).unwrap();
        let time = seen.record.event_time_ms / 1000 - delay;
        out_of_order += usize::from(time < latest);
        latest = latest.max(time);
        match delay {
            0 => {}
            delay if LATE_BY.contains(&delay) => late += 1,
            delay if (1..=HELD_UP_FOR + AGAIN_AFTER).contains(&delay) => held_up += 1,
            other => panic!("{other} s on the way"),
        }
    }
    assert!((share(late) - LATE).abs() < 0.0003, "{late} far too late");
    // Doubles come later, too.
    assert!((share(held_up) - HELD_UP - AGAIN).abs() < 0.01, "{held_up} held up");
    assert!(out_of_order > held_up / 2, "{out_of_order} after a later one");
}

#[test]
fn more_people_come_at_peak() {
    let mean = |hour: &str| {
        let counts: Vec<u32> = (feed(System::Mta, 42).take(170_000))
            .map(|record| String::from_utf8(record.value).unwrap())
            .map(|text| text.split(',').map(|field| field.trim_matches('"').to_owned()).collect::<Vec<_>>())
            .filter(|fields| fields.len() == 13 && fields[7].starts_with(hour))
            .map(|fields| fields[9].parse().unwrap())
            .collect();
        f64::from(counts.iter().sum::<u32>()) / counts.len() as f64
    };
    assert!((mean("06:") / 60.0 - 1.0).abs() < 0.02);
    assert!((mean("07:") / 150.0 - 1.0).abs() < 0.02);
}
