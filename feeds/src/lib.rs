//! Seeded simulators of the systems that rillgate runs: the same options give the same records, byte for byte.
//!
//! A feed has a clock of its own and draws from a value-stable generator; it never looks at the wall clock, the
//! machine or the environment. It does no I/O either: whoever takes the records decides where they go and how fast.

mod clock;
mod cta;
mod dice;
mod mta;
mod railway;
mod record;
mod smart_city;
mod smart_travel;
mod vehicle;

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

pub use chrono::NaiveDate;
pub use record::{AvroSchemas, Record};

/// The systems that there are simulators of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum System {
    /// Four railway stations: trains, passengers, incidents. Endless.
    Railway,
    /// One vehicle on its way from London to Birmingham. Ends on arrival.
    SmartCity,
    /// A fleet of vehicles on that way, each of which starts again on arrival. Endless.
    SmartTravel,
    /// Chicago's transit: three lines, their trains and turnstiles, the weather. Endless.
    Cta,
    /// Turnstiles of New York's subway. Endless.
    Mta,
}

impl System {
    /// All systems, in the order in which they are listed to people.
    pub const ALL: [System; 5] = [System::Railway, System::SmartCity, System::SmartTravel, System::Cta, System::Mta];

    /// The name that the command line knows it by; [`FromStr`] reads it back.
    pub fn name(self) -> &'static str {
        match self {
            System::Railway => "railway",
            System::SmartCity => "smart-city",
            System::SmartTravel => "smart-travel",
            System::Cta => "cta",
            System::Mta => "mta",
        }
    }

    /// The topics that its records go to. No feed ever sends to another.
    pub fn topics(self) -> &'static [&'static str] {
        match self {
            System::Railway => &railway::TOPICS,
            System::SmartCity => &smart_city::TOPICS,
            System::SmartTravel => &smart_travel::TOPICS,
            System::Cta => &cta::TOPICS,
            System::Mta => &mta::TOPICS,
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for System {
    type Err = UnknownSystem;

    fn from_str(name: &str) -> Result<Self, UnknownSystem> {
        System::ALL.into_iter().find(|system| system.name() == name).ok_or_else(|| UnknownSystem(name.to_owned()))
    }
}

/// A name that is no system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSystem(pub String);

impl fmt::Display for UnknownSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no system `{}`; choose one of {}", self.0, System::ALL.map(System::name).join(", "))
    }
}

impl std::error::Error for UnknownSystem {}

/// What a feed's records depend on, and nothing else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the random numbers start.
    pub seed: u64,
    /// The first day of the simulation's clock; 2026-01-01 by default. A clock that leaves the calendar (in the year
    /// 262142) panics, so take no start from a stranger without a look at its year.
    pub start: NaiveDate,
    /// How many vehicles smart-travel has on the road; 10 by default. The other systems don't look at it.
    pub vehicles: u32,
}

impl Options {
    /// The defaults, with this seed.
    pub fn seeded(seed: u64) -> Self {
        Options { seed, start: clock::DEFAULT_START, vehicles: 10 }
    }
}

/// The records of `system` with the default options, in the order in which they happen.
pub fn feed(system: System, seed: u64) -> Feed {
    feed_with(system, &Options::seeded(seed))
}

/// The records of `system`, in the order in which they happen.
pub fn feed_with(system: System, options: &Options) -> Feed {
    let simulation = match system {
        System::Railway => Simulation::Railway(railway::Railway::new(options)),
        System::SmartCity => Simulation::SmartCity(smart_city::SmartCity::new(options)),
        System::SmartTravel => Simulation::SmartTravel(smart_travel::SmartTravel::new(options)),
        System::Cta => Simulation::Cta(cta::Cta::new(options)),
        System::Mta => Simulation::Mta(mta::Mta::new(options)),
    };
    Feed { simulation, ready: VecDeque::new() }
}

/// The records of a system, one after another. It holds the records of one step of the simulation, and what is held up on
/// the way.
#[derive(Debug)]
pub struct Feed {
    simulation: Simulation,
    ready: VecDeque<Record>,
}

#[derive(Debug)]
enum Simulation {
    Railway(railway::Railway),
    SmartCity(smart_city::SmartCity),
    SmartTravel(smart_travel::SmartTravel),
    Cta(cta::Cta),
    Mta(mta::Mta),
}

impl Simulation {
    /// Moves the clock by one step and adds what happened to `records`, perhaps nothing; false when it is all over.
    fn step(&mut self, records: &mut VecDeque<Record>) -> bool {
        match self {
            Simulation::Railway(railway) => {
                railway.tick(records);
                true
            }
            Simulation::SmartCity(city) => city.step(records),
            Simulation::SmartTravel(travel) => travel.step(records),
            Simulation::Cta(cta) => {
                cta.step(records);
                true
            }
            Simulation::Mta(mta) => {
                mta.second(records);
                true
            }
        }
    }
}

impl Iterator for Feed {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while self.ready.is_empty() {
            if !self.simulation.step(&mut self.ready) {
                return None;
            }
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for system in System::ALL {
            assert_eq!(system.to_string().parse(), Ok(system));
        }
        let error = "Railway".parse::<System>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no system `Railway`; choose one of railway, smart-city, smart-travel, cta, mta"
        );
    }

    #[test]
    fn the_same_options_give_the_same_records_and_others_give_others() {
        for system in System::ALL {
            let records = |options: &Options| feed_with(system, options).take(400).collect::<Vec<_>>();
            let base = Options::seeded(7);
            assert_eq!(records(&base), feed(system, 7).take(400).collect::<Vec<_>>(), "{system}");
            assert_ne!(records(&base), records(&Options::seeded(8)), "{system}");
            let later = Options { start: NaiveDate::from_ymd_opt(2027, 2, 3).unwrap(), ..base.clone() };
            let day = 86_400_000 * 398;
            for (now, then) in records(&base).iter().zip(&records(&later)) {
                assert_eq!(
                    (now.topic, &now.key, now.due_ms, now.event_time_ms + day),
                    (then.topic, &then.key, then.due_ms, then.event_time_ms),
                    "{system}: another start moves the clock and changes nothing else"
                );
            }
        }
    }

    #[test]
    fn feeds_are_what_they_always_were_byte_for_byte() {
        /// FNV-1a of keys and values.
        fn fingerprint(system: System) -> u64 {
            let bytes = feed(system, 42).take(10_000).flat_map(|record| [record.key, record.value].concat());
            bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        }
        assert_eq!(
            System::ALL.map(fingerprint),
            [9983131439633178445, 6277705928050012201, 5307202488714526446, 13460995840493561762, 17834147262109340555]
        );
    }

    #[test]
    fn every_topic_is_served_and_time_never_goes_back() {
        for system in System::ALL {
            let mut missing = system.topics().to_vec();
            let (mut due, mut event_time) = (0, 0);
            for record in feed(system, 42).take(20_000) {
                assert!(system.topics().contains(&record.topic), "{system} sent to {}", record.topic);
                missing.retain(|topic| *topic != record.topic);
                assert!(record.due_ms >= due && record.event_time_ms >= event_time, "{system}: {record:?}");
                (due, event_time) = (record.due_ms, record.event_time_ms);
                if !matches!(system, System::Cta | System::Mta) {
                    assert_eq!(
                        testing::json(&record)["id"].as_str().unwrap().as_bytes(),
                        record.key,
                        "the key is the id"
                    );
                }
            }
            assert_eq!(missing, [""; 0], "{system}");
        }
    }
}
