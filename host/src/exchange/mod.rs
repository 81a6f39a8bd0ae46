//! The exchange: rows, or the states that they were folded into, on their way through a topic of the pipeline's own, so that those
//! of a group meet in one partition however they came.
//!
//! A record of that topic is a [`Chunk`]: columns of one task before the exchange, for one partition of the topic; or word of how
//! far that task has come in event time. Its value is Arrow's IPC stream format, what goes with it is in one header.
//!
//! What never happens: the same key goes to two partitions, unless the topic itself was changed, which every chunk would tell.

mod chunk;
mod placing;
mod sending;
mod upstreams;

pub use chunk::{Chunk, Content, Heading, Kind, MAX_BYTES, Unreadable, encode, read};
pub use placing::Placing;
pub use sending::{Placed, Sending};
pub use upstreams::{EventTime, Heard, IdleWords, Remembered, Upstreams};

/// The topic of a pipeline's exchange.
pub fn topic(pipeline: &str) -> String {
    format!("rillgate.{pipeline}.exchange")
}

/// The header that says what a record is: [`Heading`] as JSON.
pub const HEADER: &str = "rillgate.exchange";
