//! How times, sizes and mixed values are written: serde helpers that say what they expected.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

/// The shortest time between two commits: each one costs requests to the store.
const MIN_EVERY: Duration = Duration::from_millis(100);
/// Log entries are what a stalled writer trips over, so they stay for at least this long: half of it is how long a writer may be
/// silent, the other half how far the store's clock may jump meanwhile.
const MIN_LOG_RETENTION: Duration = Duration::from_secs(3 * 3600);
/// Whoever is idle for less is just slow; and the broker is asked each time.
const MIN_IDLE: Duration = Duration::from_secs(1);
/// The longest time of all: clocks can't count on from now for as long as a duration can say. It is 10,000 days.
const MAX_TIME: Duration = Duration::from_secs(10_000 * 24 * 3600);
/// More rows than this in a batch gain nothing and need memory in the plugin.
const MAX_BATCH_ROWS: u64 = 1_000_000;

/// `"180s"`, at least 100 ms.
pub(super) fn every<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration(deserializer, MIN_EVERY)
}

/// `"7d"`, at least three hours.
pub(super) fn log_retention<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration(deserializer, MIN_LOG_RETENTION)
}

/// `"5m"`; nothing at all is fine.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration(deserializer, Duration::ZERO)
}

/// `"1m"`, at least a second.
pub(super) fn idle<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer, MIN_IDLE).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D, min: Duration) -> Result<Duration, D::Error> {
    struct Time;
    impl Visitor<'_> for Time {
        type Value = Duration;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a duration like \"180s\", \"5m\" or \"7d\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
    let time = deserializer.deserialize_any(Time)?;
    if time < min {
        let min = humantime::format_duration(min);
        return Err(de::Error::custom(format_args!("must be at least \"{min}\"")));
    }
    if time > MAX_TIME {
        return Err(de::Error::custom(format_args!("must be at most \"{}days\"", MAX_TIME.as_secs() / (24 * 3600))));
    }
    Ok(time)
}

/// `"128MiB"`, or a number of bytes.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Clone, Copy)]
    struct Size;
    impl Visitor<'_> for Size {
        type Value = u64;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a size like \"128MiB\", or a number of bytes")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            let size: bytesize::ByteSize = text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
            self.visit_u64(size.0)
        }
        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
            self.visit_u64(u64::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))?)
        }
        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
            if bytes == 0 { Err(E::custom("must be more than nothing, e.g. \"128MiB\"")) } else { Ok(bytes) }
        }
    }
    deserializer.deserialize_any(Size)
}

/// The same where there may be none.
pub(super) fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    size(deserializer).map(Some)
}

/// A number of partitions or replicas, at least 1.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    match i32::deserialize(deserializer)? {
        ..1 => Err(de::Error::custom("must be at least 1; leave the key out for the cluster's default")),
        count => Ok(Some(count)),
    }
}

/// A number of rows, at least 1.
pub(super) fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(de::Error::custom("must be at least 1; leave the key out for no limit")),
        rows => Ok(Some(rows)),
    }
}

/// Rows of a batch: 1 to a million.
pub(super) fn batch_rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match u64::deserialize(deserializer)? {
        rows @ 1..=MAX_BATCH_ROWS => Ok(rows as usize),
        _ => Err(de::Error::custom(format_args!("must be between 1 and {MAX_BATCH_ROWS}"))),
    }
}

/// A string, number or boolean, as text.
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, a number, true or false")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}
