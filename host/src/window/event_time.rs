//! Event time: where a row stands in it, and how far it has come.

use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;

use super::Window;
use crate::batch::RecordBatch;
use crate::state::Span;

/// Event times are within the years 1 to 9999, so that no sum of them overflows: microseconds since 1970-01-01T00:00:00Z.
const FIRST_US: i64 = -62_135_596_800_000_000;
const LAST_US: i64 = 253_402_300_799_999_999;

/// The event times of a batch's rows; `Err` says what is wrong with one of them.
pub(super) fn times(rows: &RecordBatch, column: usize) -> Result<&TimestampMicrosecondArray, String> {
    let name = || rows.schema_ref().field(column).name().clone();
    let array = rows.column(column).as_primitive_opt::<TimestampMicrosecondType>();
    let times = array.ok_or_else(|| format!("column `{}` is no timestamp", name()))?;
    if times.null_count() > 0 {
        return Err(format!("column `{}`, the event time, has no value", name()));
    }
    if times.values().iter().any(|time| !(FIRST_US..=LAST_US).contains(time)) {
        return Err(format!("column `{}`, the event time, is not within the years 1 to 9999", name()));
    }
    Ok(times)
}

/// How far event time has come: no more rows are expected from before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermark {
    /// `i64::MIN` before the first row.
    pub(super) at_us: i64,
    /// What ended by then was let go of, when less lateness was allowed perhaps; `i64::MIN` before the first cut.
    pub(super) over_us: i64,
    /// `None`: rows say nothing, it is told from elsewhere.
    pub(super) delay_us: Option<i64>,
}

/// A row that isn't late.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) row: usize,
    pub(super) time_us: i64,
    /// See [`Window::last_end`]; without windows it holds for its own microsecond.
    pub(super) last_end_us: i64,
    /// As the rows before it left it.
    pub(super) watermark: Watermark,
}

impl Watermark {
    /// Takes note of a row. Whether that row is late was decided before.
    pub(super) fn saw(&mut self, time_us: i64) {
        if let Some(delay_us) = self.delay_us {
            self.at_us = self.at_us.max(time_us.saturating_sub(delay_us));
        }
    }

    /// Whether rows that hold until `end_us` are over, even for those who wait for `lateness_us` more.
    pub(super) fn is_past(&self, end_us: i64, lateness_us: i64) -> bool {
        end_us <= self.over_us || end_us.saturating_add(lateness_us) <= self.at_us
    }
}

impl Window {
    /// The windows that a row of this time is in, earliest first; none for sessions, which depend on other rows.
    pub(super) fn of(self, time_us: i64) -> impl Iterator<Item = Span> {
        let (size, slide) = match self {
            Self::Tumbling { size_us } => (size_us, size_us),
            Self::Hopping { size_us, slide_us } => (size_us, slide_us),
            Self::Session { .. } => (0, 1),
        };
        let last = time_us - time_us.rem_euclid(slide);
        let count = match self {
            Self::Tumbling { .. } => 1,
            // The earliest start whose window still holds the time.
            Self::Hopping { .. } => (size - 1 - (time_us - last)).div_euclid(slide) + 1,
            Self::Session { .. } => 0,
        };
        (0..count).rev().map(move |back| {
            let start = last.saturating_sub(back.saturating_mul(slide));
            Span { start, end: start.saturating_add(size) }
        })
    }

    /// When the last window that a row of this time can be in is over.
    pub(super) fn last_end(self, time_us: i64) -> i64 {
        let start = |slide: i64| time_us - time_us.rem_euclid(slide);
        match self {
            Self::Tumbling { size_us } => start(size_us).saturating_add(size_us),
            Self::Hopping { size_us, slide_us } => start(slide_us).saturating_add(size_us),
            Self::Session { gap_us } => time_us.saturating_add(gap_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(window: Window, time: i64) -> Vec<(i64, i64)> {
        window.of(time).map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn a_row_is_in_every_window_that_holds_its_time() {
        let tumbling = Window::Tumbling { size_us: 10 };
        assert_eq!(spans(tumbling, 19), [(10, 20)]);
        assert_eq!(spans(tumbling, 20), [(20, 30)]);
        assert_eq!(spans(tumbling, -1), [(-10, 0)], "before 1970");
        let hopping = Window::Hopping { size_us: 10, slide_us: 4 };
        for time in -30..30 {
            let all = (-20..20).map(|n| (n * 4, n * 4 + 10)).filter(|(start, end)| (*start..*end).contains(&time));
            assert_eq!(spans(hopping, time), all.collect::<Vec<_>>(), "at {time}");
        }
        assert_eq!(hopping.last_end(9), 18);
        assert_eq!(Window::Session { gap_us: 5 }.last_end(9), 14);
    }

    #[test]
    fn the_watermark_never_goes_back() {
        let mut watermark = Watermark { at_us: i64::MIN, over_us: i64::MIN, delay_us: Some(5) };
        assert!(!watermark.is_past(-1_000_000, 0), "nothing is late before the first row");
        watermark.saw(20);
        watermark.saw(3);
        assert_eq!(watermark.at_us, 15);
        assert!(watermark.is_past(15, 0) && !watermark.is_past(16, 0) && !watermark.is_past(15, 1));
        assert!(!watermark.is_past(i64::MAX, 1));
        watermark.delay_us = None;
        watermark.saw(1_000);
        assert_eq!(watermark.at_us, 15, "told from elsewhere");
    }
}
