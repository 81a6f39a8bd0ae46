//! The mta system: turnstiles of New York's subway, each of which sends a line of CSV every ten seconds.
//!
//! A line is a reading: how many people have gone in and out since the one before. Lines are as they were seen there: some
//! have their texts in double quotes, some come twice, some are held up on the way and come after later ones, a few of them far
//! too late, and a few are in an older format of eleven fields.

use std::collections::{BTreeMap, VecDeque};

use chrono::{NaiveDateTime, Timelike};

use crate::dice::Dice;
use crate::record::{Moment, Record};
use crate::{Options, clock};

/// The topic.
pub(crate) const TOPICS: [&str; 1] = [TURNSTILE];
const TURNSTILE: &str = "mta-turnstile";

/// Seconds between two readings of a turnstile.
const PERIOD: u64 = 10;
/// Turnstiles begin at 06:00.
const FIRST_MINUTE: i64 = 6 * 60;

/// How likely it is that a line has its texts in quotes.
const QUOTED: f64 = 0.1;
/// How likely it is that a line comes again, up to so many seconds after the first.
const AGAIN: f64 = 0.02;
const AGAIN_AFTER: i64 = 60;
/// How likely it is that a line is held up on the way, for up to so many seconds.
const HELD_UP: f64 = 0.05;
const HELD_UP_FOR: i64 = 180;
/// How likely it is that a line comes far too late, and how many seconds that is.
const LATE: f64 = 0.0005;
const LATE_BY: std::ops::RangeInclusive<i64> = 1200..=2400;
/// How likely it is that a line is in the older format.
const OLDER: f64 = 0.001;
/// How likely it is that a reading was recovered by an audit.
const RECOVERED: f64 = 0.005;

/// Control area, unit, station, lines, division, and how many turnstiles there are.
const ENTRANCES: [(&str, &str, &str, &str, &str, u32); 24] = [
    ("A002", "R051", "59 ST", "NQR456W", "BMT", 6),
    ("A006", "R079", "5 AV/59 ST", "NQRW", "BMT", 4),
    ("A010", "R080", "57 ST-7 AV", "NQRW", "BMT", 3),
    ("A021", "R032", "TIMES SQ-42 ST", "ACENQRS1237W", "BMT", 6),
    ("A025", "R023", "34 ST-HERALD SQ", "BDFMNQRW", "BMT", 5),
    ("A033", "R170", "14 ST-UNION SQ", "LNQR456W", "BMT", 5),
    ("A038", "R085", "8 ST-NYU", "NRW", "BMT", 3),
    ("A046", "R463", "CANAL ST", "JNQRZ6W", "BMT", 4),
    ("A060", "R001", "WHITEHALL S-FRY", "R1W", "BMT", 4),
    ("B004", "R171", "NEWKIRK PLAZA", "BQ", "BMT", 3),
    ("C008", "R099", "DEKALB AV", "BDNQR", "BMT", 4),
    ("N006A", "R280", "190 ST", "A", "IND", 2),
    ("N062A", "R010", "42 ST-PORT AUTH", "ACENQRS1237W", "IND", 6),
    ("N091", "R029", "CHAMBERS ST", "ACE23", "IND", 4),
    ("N305", "R017", "LEXINGTON AV/53", "EM6", "IND", 5),
    ("N324", "R018", "JKSN HT-ROOSVLT", "EFMR7", "IND", 5),
    ("N504", "R021", "42 ST-BRYANT PK", "BDFM7", "IND", 4),
    ("R101", "R001", "SOUTH FERRY", "R1W", "IRT", 4),
    ("R110", "R027", "WALL ST", "23", "IRT", 3),
    ("R138", "R293", "34 ST-PENN STA", "123ACE", "IRT", 6),
    ("R200", "R041", "BOWLING GREEN", "45", "IRT", 3),
    ("R238", "R046", "GRD CNTRL-42 ST", "4567S", "IRT", 6),
    ("R249", "R179", "86 ST", "456", "IRT", 4),
    ("R622", "R123", "FRANKLIN AV", "2345S", "IRT", 1),
];

/// A turnstile, and how it is called.
#[derive(Debug)]
struct Turnstile {
    ca: &'static str,
    unit: &'static str,
    scp: String,
    station: &'static str,
    line_name: &'static str,
    division: &'static str,
}

/// A line on its way.
#[derive(Debug, Clone)]
struct Line {
    /// Control area, unit and SCP, which are a turnstile.
    key: String,
    text: String,
}

/// All turnstiles, and the lines that are on their way.
#[derive(Debug)]
pub(crate) struct Mta {
    start: NaiveDateTime,
    /// Seconds since the start.
    now: u64,
    dice: Dice,
    turnstiles: Vec<Turnstile>,
    /// By the second in which they arrive, and in the order in which they set out.
    on_the_way: BTreeMap<(u64, u64), Line>,
    set_out: u64,
}

impl Mta {
    pub(crate) fn new(options: &Options) -> Self {
        let turnstiles = ENTRANCES.into_iter().enumerate().flat_map(|(bank, entrance)| {
            let (ca, unit, station, line_name, division, count) = entrance;
            (0..count).map(move |number| {
                let scp = format!("{:02}-00-{number:02}", bank % 3);
                Turnstile { ca, unit, scp, station, line_name, division }
            })
        });
        Mta {
            start: clock::minutes_into(options.start, FIRST_MINUTE),
            now: 0,
            dice: Dice::new(options.seed, 0),
            turnstiles: turnstiles.collect(),
            on_the_way: BTreeMap::new(),
            set_out: 0,
        }
    }

    /// One second: the readings whose turn it is set out, and what is due arrives.
    pub(crate) fn second(&mut self, records: &mut VecDeque<Record>) {
        let now = self.now;
        let time = clock::seconds_after(self.start, now as i64);
        for turnstile in (0..self.turnstiles.len()).skip((now % PERIOD) as usize).step_by(PERIOD as usize) {
            self.read(turnstile, time);
        }
        let moment = Moment { time, due_ms: now * 1000 };
        while let Some(next) = self.on_the_way.first_entry().filter(|next| next.key().0 <= now) {
            let Line { key, text } = next.remove();
            records.push_back(Record::new(TURNSTILE, key.into_bytes(), text.into_bytes(), moment));
        }
        self.now += 1;
    }

    /// A reading of this turnstile sets out, perhaps twice.
    fn read(&mut self, turnstile: usize, time: NaiveDateTime) {
        let dice = &mut self.dice;
        let mean = match time.hour() {
            7..=9 | 16..=19 => 150.0,
            0..=4 => 10.0,
            _ => 60.0,
        };
        let (entries, exits) = (dice.poisson(mean), dice.poisson(mean));
        let desc = if dice.chance(RECOVERED) { "RECOVR AUD" } else { "REGULAR" };
        let (id, quoted, older) = (dice.uuid().to_string(), dice.chance(QUOTED), dice.chance(OLDER));

        let text = |text: &str| if quoted { format!("\"{text}\"") } else { text.to_owned() };
        let of = |format: &str| text(&time.format(format).to_string());
        let Turnstile { ca, unit, scp, station, line_name, division } = &self.turnstiles[turnstile];
        let mut fields = [ca, unit, scp.as_str(), station, line_name, division].map(text).to_vec();
        fields.push(of("%m-%d-%y"));
        let (time_of_day, desc, counts) = (of("%H:%M:%S"), text(desc), [entries.to_string(), exits.to_string()]);
        if older {
            fields.extend([desc, time_of_day]);
            fields.extend(counts);
        } else {
            fields.extend([time_of_day, desc]);
            fields.extend(counts);
            fields.extend([text(&id), of("%Y-%m-%d %H:%M:%S")]);
        }
        let line = Line { key: format!("{ca}/{unit}/{scp}"), text: fields.join(",") };

        if dice.chance(LATE) {
            let after = dice.whole(LATE_BY);
            return self.send(line, after);
        }
        let after = if dice.chance(HELD_UP) { dice.whole(1..=HELD_UP_FOR) } else { 0 };
        if dice.chance(AGAIN) {
            let again = after + dice.whole(0..=AGAIN_AFTER);
            self.send(line.clone(), again);
        }
        self.send(line, after);
    }

    /// The line arrives so many seconds from now.
    fn send(&mut self, line: Line, after: i64) {
        self.on_the_way.insert((self.now + after.unsigned_abs(), self.set_out), line);
        self.set_out += 1;
    }
}

#[cfg(test)]
mod tests;
