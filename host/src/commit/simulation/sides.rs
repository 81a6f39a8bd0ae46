//! Tasks before and behind the exchange, as `task::before` and `task::behind` have them, over the real exchange and the real groups.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;

use super::StateChange;
use super::counting::{self, CLOSING, Listing};
use super::kafka::Message;
use super::objects::Record;
use super::plan::{ExchangePlan, Plan};
use super::points::Point;
use crate::batch::{MemoryMessages, Messages};
use crate::commit::StoredState;
use crate::encode::{Output, Target, TargetWriter, placed_records, placed_schema};
use crate::exchange::{self, Content, HEADER, Heading, Kind, Placed, Placing, Remembered, Sending, Upstreams};
use crate::task::{GROUPS, change, owner, read};
use crate::window::{Aggregation, Carrier, Combiner, KEY, WindowOptions};

/// Where a task stands.
pub enum Side {
    /// There is no exchange.
    Alone,
    Before(Box<Before>),
    Behind(Box<Behind>),
}

/// What a COMMIT has to say of a task's state.
#[derive(Default)]
pub struct Kept {
    pub watermark_us: Option<i64>,
    pub changes: Vec<StateChange>,
    pub exchange: Option<Box<serde_json::Value>>,
}

fn remembered(remembered: &Remembered) -> Option<Box<serde_json::Value>> {
    Some(Box::new(serde_json::to_value(remembered).unwrap()))
}

fn placing(options: &WindowOptions, plan: &ExchangePlan) -> Placing {
    Placing::new(&counting::rows(), &options.placed_by(), plan.partitions as u32).unwrap()
}

/// A task before the exchange.
pub struct Before {
    combiner: Combiner,
    options: WindowOptions,
    sends_states: bool,
    sending: Sending,
    writer: TargetWriter,
}

impl Before {
    /// Goes on as the last COMMIT left it.
    pub fn new(plan: &Plan, exchange: &ExchangePlan, partition: i32, stored: Option<&StoredState>) -> Self {
        let options = counting::options(exchange);
        let topics = [("trips".to_owned(), plan.partitions as u32)].into();
        let watermark_us = stored.and_then(|stored| stored.committed.watermark_us);
        let from = ("trips".to_owned(), partition);
        let target = Target::Placed(exchange::topic("rides"));
        Self {
            combiner: Combiner::new(&options, &counting::rows(), &counting::states()).unwrap(),
            sending: Sending::new(placing(&options, exchange), topics, from, watermark_us),
            sends_states: exchange.sends_states,
            writer: TargetWriter::new(&target, &placed_schema(HEADER)).unwrap(),
            options,
        }
    }

    /// Sends rows to where their groups are; what is written of them at once.
    pub fn fold(&mut self, messages: impl Iterator<Item = (Record, Message)>) -> Vec<Output> {
        let keyed = messages.filter_map(|(record, message)| match message {
            Message::Keyed { key, time_ms } => Some((record, key, time_ms)),
            Message::Closing { time_ms } => Some((record, CLOSING, time_ms)),
            _ => None,
        });
        let rows = counting::batch(&keyed.collect::<Vec<_>>());
        if rows.num_rows() > 0 {
            let latest_us = self.combiner.latest_us(&rows).unwrap();
            let (kind, columns, prefix) = match self.sends_states {
                true => (Kind::States, self.combiner.fold(&rows, &mut Listing).unwrap(), KEY),
                false => (Kind::Rows, rows, ""),
            };
            let watermark_us = latest_us.map(|latest| latest - self.options.delay_us);
            assert!(self.sending.add(kind, &columns, prefix, watermark_us).unwrap());
        }
        let made = self.sending.take();
        self.write(&made)
    }

    /// Nothing new has come for long, and nothing waits.
    pub fn is_idle(&mut self) {
        self.sending.is_idle();
    }

    /// Ends an epoch: what is written last, and what the COMMIT has to say.
    pub fn end_epoch(&mut self, changes: Vec<StateChange>) -> (Vec<Output>, Kept) {
        let told = self.sending.tell();
        let mut written = self.write(&told);
        self.writer.finish(&[], &mut written).unwrap();
        let (watermark_us, exchange) = (self.sending.watermark_us(), remembered(&Remembered::Before));
        (written, Kept { watermark_us, changes, exchange })
    }

    fn write(&mut self, placed: &[Placed]) -> Vec<Output> {
        let mut written = Vec::new();
        self.writer.write(&placed_records(HEADER, placed).unwrap(), &mut written).unwrap();
        written
    }
}

/// A task behind the exchange.
pub struct Behind {
    aggregation: Aggregation,
    upstreams: Upstreams,
    owner: String,
    rule: String,
}

impl Behind {
    /// Goes on as the last COMMIT left it.
    pub fn new(exchange: &ExchangePlan, folder: &str, stored: Option<&StoredState>) -> Result<Self, String> {
        let options = counting::options(exchange);
        let aggregation = Aggregation::new(&options, &counting::rows(), &counting::states()).unwrap();
        let mut aggregation = aggregation.told_event_time();
        let (owner, mut upstreams) = (owner(folder, &options), Upstreams::default());
        if let Some(stored) = stored {
            match stored.committed.exchange.clone().map(|remembered| serde_json::from_value(*remembered)) {
                Some(Ok(Remembered::Behind(heard))) => upstreams = heard,
                other => return Err(format!("{folder} remembers of the exchange {other:?}")),
            }
            let restored = read(&aggregation, &owner, stored).map_err(|(path, error)| format!("{path}: {error}"))?;
            let mut carrier = Carrier::<()> { migrate: None, allow_dropped: false, carried: 0 };
            aggregation.restore(&restored, &mut carrier).map_err(|error| format!("{folder}: {error:?}"))?;
        }
        Ok(Self { aggregation, upstreams, owner, rule: placing(&options, exchange).rule().to_owned() })
    }

    /// Folds what came through the exchange, one record after another; what was seen on the way.
    pub fn fold(&mut self, messages: &MemoryMessages) -> Result<Vec<Point>, String> {
        let mut seen = Vec::new();
        for index in 0..messages.len() {
            let chunk = exchange::read(messages, index, &counting::rows()).map_err(|error| format!("{error:?}"))?;
            let Heading { rule, from, .. } = &chunk.heading;
            if *rule != self.rule {
                return Err(format!("rows of {from} were placed by {rule}"));
            }
            let fastest_us = self.upstreams.heard.values().filter_map(|heard| heard.event_time.watermark_us).max();
            let late = match chunk.content {
                Content::None => {
                    self.hear(&chunk.heading, &mut seen);
                    0
                }
                Content::Rows(rows) => {
                    let times = rows.column(1).as_primitive::<TimestampMicrosecondType>().values();
                    let is_slower = times.iter().any(|time_us| Some(*time_us) < fastest_us);
                    seen.extend(is_slower.then_some(Point::RowsOfTheSlower));
                    let folded = self.aggregation.fold(&rows, &mut Listing).map_err(|error| format!("{error:?}"))?;
                    folded.late.map_or(0, |late| late.num_rows() as u64)
                }
                Content::States(states) => {
                    seen.push(Point::StatesMerged);
                    self.aggregation.merge(&states, &mut Listing).map_err(|error| format!("{error:?}"))?
                }
            };
            if late > 0 {
                return Err(format!("{late} rows of {from} are late: {:?}", self.upstreams));
            }
        }
        Ok(seen)
    }

    fn hear(&mut self, heading: &Heading, seen: &mut Vec<Point>) {
        self.upstreams.hear(heading);
        let Some(watermark_us) = self.upstreams.watermark_us() else { return };
        self.aggregation.advance(watermark_us);
        let mut heard = self.upstreams.heard.values();
        let is_passed =
            heard.any(|heard| heard.event_time.is_idle && heard.event_time.watermark_us < Some(watermark_us));
        seen.extend(is_passed.then_some(Point::IdlePassed));
    }

    /// Ends an epoch: lines of the groups that are given out, and what the COMMIT has to say.
    pub fn end_epoch(&mut self) -> (Vec<String>, Kept) {
        let given_out = self.aggregation.finish(&mut Listing).unwrap();
        let deltas = self.aggregation.cut().unwrap();
        let changes = deltas.groups.into_iter().map(|delta| change(GROUPS, delta, &self.owner).unwrap()).collect();
        let exchange = remembered(&Remembered::Behind(self.upstreams.clone()));
        (counting::lines(&given_out), Kept { watermark_us: deltas.watermark_us, changes, exchange })
    }
}

/// Bytes of files that were written, and files that are complete.
pub fn stage(outputs: Vec<Output>, stage: &mut super::Stage, writer: usize) {
    for output in outputs {
        match output {
            Output::Bytes { file, bytes } => stage.write(writer, file, Bytes::clone(&bytes)),
            Output::Closed { file, rows, .. } => stage.close_records(writer, file, exchange::topic("rides"), rows),
        }
    }
}
