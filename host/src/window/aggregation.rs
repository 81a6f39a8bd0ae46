//! The groups of one task: rows in, rows of complete or changed groups out.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;

use super::dedup::Dedup;
use super::event_time::{Row, Watermark, times};
use super::groups::Touched;
use super::{Carrier, Emit, Fold, NotCarried, Refused, Window, WindowOptions, session};
use crate::batch::{Field, RecordBatch, Schema, SchemaRef, data_type};
use crate::state::{Delta, KeyColumns, Lookup, Seen, Span, Table};

/// Columns of a windowed group beside its keys, none of which has such a name.
pub const WINDOW_START: &str = "window_start";
/// See [`WINDOW_START`].
pub const WINDOW_END: &str = "window_end";
/// Groups given out in one call.
const FINISH_ROWS: usize = 8192;
/// Rows that go through each step together: what is noted of them stays in the nearest caches.
const BLOCK_ROWS: usize = if cfg!(test) { 4 } else { 512 };

/// What became of the rows of a batch that a fold has no part in.
#[derive(Debug, Default)]
pub struct Folded {
    /// Rows that came too late for all their windows.
    pub late: Option<RecordBatch>,
    /// Rows that were seen before.
    pub duplicates: u64,
}

/// What has to be written so that a task can go on from here.
#[derive(Debug, Default)]
pub struct Deltas {
    /// No more rows are expected from before it, microseconds; `None` before the first row.
    pub watermark_us: Option<i64>,
    /// What ended by then was let go of, whatever lateness is allowed later, microseconds; `None` before the first row.
    pub over_us: Option<i64>,
    /// The lateness that was allowed, microseconds.
    pub allowed_lateness_us: Option<i64>,
    /// What changed of the groups.
    pub groups: Option<Delta>,
    /// What changed of the rows remembered.
    pub seen: Option<Delta>,
}

/// What was written of a task, read back: the batches of each file, oldest first.
#[derive(Debug, Default)]
pub struct Restored {
    /// As [`Deltas::watermark_us`].
    pub watermark_us: Option<i64>,
    /// As [`Deltas::over_us`].
    pub over_us: Option<i64>,
    /// As [`Deltas::allowed_lateness_us`]; `None`: nobody has written it down, and it is taken to be what it is now.
    pub allowed_lateness_us: Option<i64>,
    /// Files of the groups.
    pub groups: Vec<Vec<RecordBatch>>,
    /// Files of the rows remembered.
    pub seen: Vec<Vec<RecordBatch>>,
}

/// The groups of one task.
#[derive(Debug)]
pub struct Aggregation {
    pub(super) options: WindowOptions,
    /// Of the event time.
    time: Option<usize>,
    pub(super) watermark: Watermark,
    /// Where the watermark was when groups were last given out.
    given_out_us: i64,
    pub(super) groups: Table,
    seen: Option<Dedup>,
    pub(super) touched: Touched,
    group_schema: SchemaRef,
}

/// The columns that tell groups apart: those of the key, and `window_start` and `window_end` where there are windows.
///
/// # Errors
/// A column that isn't there. That none of the key is called like one of the window's is checked with the configuration.
pub fn group_schema(input: &Schema, options: &WindowOptions) -> Result<SchemaRef, ArrowError> {
    let keys = KeyColumns::new(input, &options.key)?;
    let mut fields: Vec<Field> = keys.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    if options.window.is_some() {
        let time = data_type("timestamp").ok_or_else(|| ArrowError::SchemaError("no timestamps".to_owned()))?;
        fields.extend([WINDOW_START, WINDOW_END].map(|name| Field::new(name, time.clone(), false)));
    }
    Ok(Arc::new(Schema::new(fields)))
}

impl Aggregation {
    /// No groups yet, for rows of `input` that are folded into `states`.
    ///
    /// # Errors
    /// A column that isn't there.
    pub fn new(options: &WindowOptions, input: &Schema, states: &SchemaRef) -> Result<Self, ArrowError> {
        let lookup = match options.window {
            Some(Window::Session { .. }) => Lookup::ByKey,
            _ => Lookup::ByStart,
        };
        Ok(Self {
            time: options.time.as_ref().map(|time| input.index_of(time)).transpose()?,
            watermark: Watermark { at_us: i64::MIN, over_us: i64::MIN, delay_us: Some(options.delay_us) },
            given_out_us: i64::MIN,
            groups: Table::new(KeyColumns::new(input, &options.key)?, states, lookup),
            seen: if options.dedup.is_empty() { None } else { Some(Dedup::new(input, &options.dedup)?) },
            touched: Touched::default(),
            group_schema: group_schema(input, options)?,
            options: options.clone(),
        })
    }

    /// Event time comes from elsewhere, by [`Self::advance`]: rows are judged by that, and move nothing on.
    #[must_use]
    pub fn told_event_time(mut self) -> Self {
        self.watermark.delay_us = None;
        self
    }

    /// Goes on where the one that was written stopped. States of other columns are carried over, each file by its own; then all of them
    /// are written anew at the next cut, so that no file is left that a later plugin would have to know of. None of them counts as
    /// changed: nothing is given out for that.
    ///
    /// # Errors
    /// See [`NotCarried`]. What was restored so far is of no use then.
    pub fn restore<E>(&mut self, restored: &Restored, carrier: &mut Carrier<E>) -> Result<(), NotCarried<E>> {
        self.restore_all_but_groups(restored)?;
        let (watermark, lateness) = (self.watermark, self.options.allowed_lateness_us);
        let schema = Arc::clone(self.groups.values.schema());
        let before = carrier.carried;
        for file in &restored.groups {
            let is_over = |span: Span| watermark.is_past(span.end, lateness);
            self.groups.restore(file, is_over, |states| carrier.carry(&states, &schema))?;
        }
        if carrier.carried > before {
            self.groups.changes.write_anew();
        }
        Ok(())
    }

    /// Goes on where the one that was written stopped, but for its groups, which are none. Returns how many there were.
    ///
    /// # Errors
    /// Files of other columns.
    pub fn restore_without_groups(&mut self, restored: &Restored) -> Result<usize, ArrowError> {
        self.restore_all_but_groups(restored)?;
        let (watermark, lateness) = (self.watermark, self.options.allowed_lateness_us);
        let none: SchemaRef = Arc::new(Schema::empty());
        let mut table = Table::new(self.groups.key_columns.clone(), &none, self.groups.keys.lookup());
        for file in &restored.groups {
            let is_over = |span: Span| watermark.is_past(span.end, lateness);
            table.restore(file, is_over, |states| states.project(&[]))?;
        }
        self.groups.changes.write_anew();
        Ok(table.keys.len())
    }

    fn restore_all_but_groups(&mut self, restored: &Restored) -> Result<(), ArrowError> {
        self.watermark.at_us = restored.watermark_us.unwrap_or(i64::MIN);
        self.watermark.over_us = restored.over_us.unwrap_or(i64::MIN);
        self.given_out_us = self.watermark.at_us;
        let watermark = self.watermark;
        let lateness = self.options.allowed_lateness_us;
        // Where more is allowed than before the like of a row is late only later.
        let later = lateness.saturating_sub(restored.allowed_lateness_us.unwrap_or(lateness));
        if let Some(seen) = &mut self.seen {
            for file in &restored.seen {
                seen.seen.restore(file, |until| watermark.is_past(until, 0), later)?;
            }
        }
        Ok(())
    }

    /// The columns of the groups that a fold finishes.
    pub fn group_schema(&self) -> &SchemaRef {
        &self.group_schema
    }

    /// The groups, and the rows remembered.
    pub fn tables(&self) -> (&Table, Option<&Seen>) {
        (&self.groups, self.seen.as_ref().map(|dedup| &dedup.seen))
    }

    /// No more rows are expected from before it, microseconds; `None` before the first row.
    pub fn watermark_us(&self) -> Option<i64> {
        Some(self.watermark.at_us).filter(|&at| at != i64::MIN)
    }

    /// Folds rows into the states of their groups: all of them, or none.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn fold<F: Fold>(&mut self, rows: &RecordBatch, fold: &mut F) -> Result<Folded, Refused<F::Error>> {
        let watermark = self.watermark;
        let folded = self.try_fold(rows, fold);
        if folded.is_err() {
            self.watermark = watermark;
        }
        if let Some(seen) = &mut self.seen {
            if folded.is_ok() { seen.keep() } else { seen.forget() }
        }
        folded
    }

    fn try_fold<F: Fold>(&mut self, rows: &RecordBatch, fold: &mut F) -> Result<Folded, Refused<F::Error>> {
        let odd = |error: ArrowError| Refused::Row(error.to_string());
        let times = self.time.map(|column| times(rows, column)).transpose().map_err(Refused::Row)?;
        let keys = self.groups.key_columns.rows(rows).map_err(odd)?;
        let before = self.watermark;
        let seen_rows = self.seen.as_mut().map(|seen| seen.begin(rows, before)).transpose().map_err(odd)?;
        let lateness = self.options.allowed_lateness_us;
        let window = self.options.window;
        let (mut late, mut duplicates) = (Vec::new(), 0);
        let (mut in_sessions, mut timely) = (Vec::new(), Vec::with_capacity(BLOCK_ROWS));
        self.touched.begin();
        for from in (0..rows.num_rows()).step_by(BLOCK_ROWS) {
            self.judge(from..rows.num_rows().min(from + BLOCK_ROWS), times, &mut timely, &mut late);
            if let (Some(seen), Some(seen_rows)) = (&mut self.seen, &seen_rows) {
                let count = timely.len();
                seen.keep_first(seen_rows, &mut timely, lateness);
                duplicates += (count - timely.len()) as u64;
            }
            match window {
                Some(Window::Session { .. }) => in_sessions.append(&mut timely),
                _ => self.touched.find(&mut self.groups, &keys, &timely, window, lateness),
            }
        }
        if let Some(Window::Session { gap_us }) = window {
            session::fold(&mut self.groups, rows, &keys, &in_sessions, gap_us, lateness, fold)?;
        } else {
            self.touched.fold(&mut self.groups, rows, window, fold)?;
        }
        let late =
            if late.is_empty() { None } else { Some(take_record_batch(rows, &UInt32Array::from(late)).map_err(odd)?) };
        Ok(Folded { late, duplicates })
    }

    /// Tells rows that are late from those that aren't, in place of what `timely` held, and moves the watermark on.
    fn judge(
        &mut self,
        rows: Range<usize>,
        times: Option<&TimestampMicrosecondArray>,
        timely: &mut Vec<Row>,
        late: &mut Vec<u32>,
    ) {
        let judged = self.options.window.is_some() || self.seen.is_some();
        timely.clear();
        for row in rows {
            let time_us = times.map_or(0, |times| times.value(row));
            let last_end_us = self.options.window.map_or(time_us + 1, |window| window.last_end(time_us));
            // By the rows before it.
            let watermark = self.watermark;
            if judged {
                self.watermark.saw(time_us);
                if watermark.is_past(last_end_us, self.options.allowed_lateness_us) {
                    late.push(row as u32);
                    continue;
                }
            }
            timely.push(Row { row, time_us, last_end_us, watermark });
        }
    }

    /// Moves event time on though no row says so. Returns whether that makes groups complete.
    pub fn advance(&mut self, watermark_us: i64) -> bool {
        self.watermark.at_us = self.watermark.at_us.max(watermark_us);
        self.options.emit == Emit::Close && !self.groups.keys.ending(self.given_out_us, self.watermark.at_us).is_empty()
    }

    /// Rows of the groups that are to be given out at the end of an epoch: in the order of their windows' ends, then their keys.
    ///
    /// # Errors
    /// When the fold fails: nothing has changed then.
    pub fn finish<F: Fold>(&mut self, fold: &mut F) -> Result<Vec<RecordBatch>, Refused<F::Error>> {
        let due = self.due().map_err(|error| Refused::Row(error.to_string()))?;
        let finish = |slots: &[u32]| {
            let groups = self.rows_of(slots).map_err(|error| Refused::Row(error.to_string()))?;
            let states = self.groups.values.gather(slots).map_err(|error| Refused::Row(error.to_string()))?;
            fold.finish(&groups, &states).map_err(Refused::Fold)
        };
        due.chunks(FINISH_ROWS).map(finish).collect()
    }

    fn due(&self) -> Result<Vec<u32>, ArrowError> {
        let keys = &self.groups.keys;
        let changed = || self.groups.changes.open().iter().copied().filter(|&slot| keys.key(slot).is_some());
        let due: Vec<u32> = match self.options.emit {
            Emit::Change => changed().collect(),
            Emit::Close => {
                let ended = keys.ending(self.given_out_us, self.watermark.at_us);
                let again = changed().filter(|&slot| keys.span(slot).end <= self.given_out_us);
                ended.into_iter().chain(again).collect()
            }
        };
        self.groups.sorted(due, |span| span.end, false)
    }

    /// Key columns, and windows.
    fn rows_of(&self, slots: &[u32]) -> Result<RecordBatch, ArrowError> {
        let keys = &self.groups.keys;
        let mut columns = self.groups.key_columns.columns(slots.iter().filter_map(|&slot| keys.key(slot)))?;
        if self.options.window.is_some() {
            let times = |at: fn(Span) -> i64| {
                let times = slots.iter().map(|&slot| at(keys.span(slot)));
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            };
            columns.push(times(|span| span.start));
            columns.push(times(|span| span.end));
        }
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(slots.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.group_schema), columns, &rows)
    }

    /// Ends an epoch, after [`Self::finish`]: what is over leaves, and what changed is to be written.
    ///
    /// # Errors
    /// None that Arrow should have.
    pub fn cut(&mut self) -> Result<Deltas, ArrowError> {
        let (at, lateness) = (self.watermark.at_us, self.options.allowed_lateness_us);
        self.given_out_us = at;
        // What the last rows made of these groups is in no file: they never come back.
        let over = self.watermark.over_us.max(at.saturating_sub(lateness));
        self.watermark.over_us = over;
        self.groups.keys.remove_ended(over);
        let seen = self.seen.as_mut().map(|dedup| dedup.seen.cut(at)).transpose()?.flatten();
        Ok(Deltas {
            watermark_us: self.watermark_us(),
            over_us: Some(over).filter(|&over| over != i64::MIN),
            allowed_lateness_us: Some(lateness),
            groups: self.groups.cut()?,
            seen,
        })
    }
}
