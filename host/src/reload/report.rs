//! What a shadow run found, in words and as JSON, and whether it is within limits.
//!
//! Rows and reasons are user data: they are in the JSON, which the API shows, and not in the words, which are logged.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::compare::TableDifference;
use crate::task::is_slower;

/// Speed is judged by no less than so many rows of both versions, and this time of the slower one.
const JUDGED_ROWS: u64 = 1_000;
const JUDGED_TIME: Duration = Duration::from_millis(1);
/// Reasons that are kept of each kind.
const EXAMPLES: usize = 3;

/// What a shadow run found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Why the versions can't be compared; nothing was run then.
    pub skipped: Option<String>,
    /// Why not all batches were done.
    pub stopped: Option<String>,
    /// Batches that both versions have done.
    pub batches: usize,
    /// Messages in them.
    pub messages: u64,
    /// Rows that were decoded of these.
    pub rows: u64,
    /// How the outputs differ.
    pub tables: Vec<TableDifference>,
    /// The old version.
    pub old: Ran,
    /// The new version.
    pub new: Ran,
    /// Messages that break the new version and not the old one.
    pub newly_broken: u64,
    /// Rows that have changed, of all that are written, from 0 to 1.
    pub changed_share: f64,
    /// Times that the new version takes longer, where enough was measured to say so.
    pub slower: Option<f64>,
}

/// How a version did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ran {
    /// Messages that it, or a sink, rejects.
    pub rejected: u64,
    /// Some of the reasons: a plugin's words.
    pub reasons: Vec<String>,
    /// Messages that break it: by a trap, a time-out, nonsense or an error.
    pub broken: u64,
    /// Some of the ways: a plugin's words.
    pub failures: Vec<String>,
    /// Why it couldn't go on: the pipeline would have stopped.
    pub failed: Option<String>,
    /// Rows that were timed: of all batches but the first, if there are more.
    pub timed_rows: u64,
    /// Nanoseconds that they took.
    pub timed_ns: u64,
    /// Nanoseconds for a row in the batch that stands in the middle: what the machine does beside must not count for a version.
    pub ns_per_row: Option<f64>,
    /// Those of all batches, in order of size.
    #[serde(skip)]
    ns_per_row_of_batches: Vec<f64>,
}

/// How far a new version may differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// [`Report::changed_share`]
    pub max_changed: f64,
    /// [`Report::slower`]
    pub max_slower: f64,
    /// Messages that are rejected now and weren't before, of all: from 0 to 1.
    pub max_rejected: f64,
}

impl Ran {
    pub(super) fn reject(&mut self, reason: &str) {
        self.rejected += 1;
        note(&mut self.reasons, reason);
    }

    pub(super) fn fail_on(&mut self, reason: &str) {
        self.broken += 1;
        note(&mut self.failures, reason);
    }

    /// Some rows, at least one.
    pub(super) fn time(&mut self, rows: usize, took: Duration) {
        self.timed_rows += rows as u64;
        self.timed_ns += took.as_nanos() as u64;
        let (all, of_batch) = (&mut self.ns_per_row_of_batches, took.as_nanos() as f64 / rows as f64);
        all.insert(all.partition_point(|other| *other < of_batch), of_batch);
        self.ns_per_row = Some(all[all.len() / 2]);
    }
}

/// Keeps a reason that isn't there yet, if there is room.
fn note(kept: &mut Vec<String>, reason: &str) {
    if kept.len() < EXAMPLES && kept.iter().all(|kept| kept != reason) {
        kept.push(reason.to_owned());
    }
}

impl Report {
    /// A report of versions that can't be compared.
    pub(super) fn skip(reason: impl Into<String>) -> Self {
        Self { skipped: Some(reason.into()), ..Self::default() }
    }

    /// What follows from the rest.
    pub(super) fn conclude(&mut self) {
        let sum = |of: fn(&TableDifference) -> u64| self.tables.iter().map(of).sum::<u64>();
        self.changed_share = share(sum(|table| table.changed), sum(|table| table.rows_old.max(table.rows_new)));
        self.slower = match (self.old.ns_per_row, self.new.ns_per_row) {
            (Some(old), Some(new)) if self.is_timed() => Some(new / old),
            _ => None,
        };
    }

    fn is_timed(&self) -> bool {
        let (old, new) = (&self.old, &self.new);
        let slower = Duration::from_nanos(old.timed_ns.max(new.timed_ns));
        old.timed_rows.min(new.timed_rows) >= JUDGED_ROWS && slower >= JUDGED_TIME
    }

    /// Whether the new version may take over. What was not compared or measured is no reason against it.
    ///
    /// # Errors
    /// All that is against it, in words.
    pub fn verdict(&self, limits: &Limits) -> Result<(), String> {
        let mut against = Vec::new();
        match (&self.new.failed, &self.old.failed) {
            (Some(reason), None) => against.push(format!("the new version can't go on: {reason}")),
            _ if self.newly_broken > 0 => {
                let words = self.new.failures.first().map(|words| format!(", with: {words}")).unwrap_or_default();
                let count = messages(self.newly_broken);
                against.push(format!("{count} that the old version can do something with broke the new one{words}"));
            }
            _ => {}
        }
        if self.changed_share > limits.max_changed {
            let (found, most) = (percent(self.changed_share), percent(limits.max_changed));
            against.push(format!("{found} of the rows have changed; max_changed is {most}"));
        }
        let newly_rejected = share(self.new.rejected.saturating_sub(self.old.rejected), self.messages);
        if newly_rejected > limits.max_rejected {
            let (found, most) = (percent(newly_rejected), percent(limits.max_rejected));
            against.push(format!("{found} of the messages are rejected that weren't before; max_rejected is {most}"));
        }
        let is_slower = |&slower: &f64| {
            let before = self.old.ns_per_row.unwrap_or_default();
            is_slower(before * slower, before, limits.max_slower)
        };
        if let Some(slower) = self.slower.filter(is_slower) {
            against.push(format!("it takes {slower:.1} times as long; max_slower is {}", limits.max_slower));
        }
        if against.is_empty() { Ok(()) } else { Err(against.join("; ")) }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Not as 0 or 100 what isn't quite.
fn percent(share: f64) -> String {
    let digits = if share > 0.0 && share < 0.001 || share < 1.0 && share > 0.999 { 4 } else { 1 };
    let text = format!("{:.digits$}", share * 100.0);
    format!("{}%", text.strip_suffix(".0").unwrap_or(&text))
}

fn messages(count: u64) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.skipped {
            return write!(f, "no shadow run: {reason}");
        }
        let (rows, batches) = (self.rows, self.batches);
        write!(
            f,
            "shadow run over {rows} rows of {batches} batches: {} of the rows changed",
            percent(self.changed_share)
        )?;
        if let Some(reason) = &self.stopped {
            write!(f, " ({reason})")?;
        }
        for table in &self.tables {
            let TableDifference { output, rows_old, rows_new, only_old, only_new, .. } = table;
            write!(f, "\n  {output}: {rows_new} rows, {rows_old} before; {only_new} are new, {only_old} are gone")?;
            for (what, columns) in
                [("added", &table.added), ("removed", &table.removed), ("of another type", &table.retyped)]
            {
                if !columns.is_empty() {
                    write!(f, "; columns {what}: {}", columns.join(", "))?;
                }
            }
        }
        let (old, new) = (&self.old, &self.new);
        write!(f, "\n  {} rejected, {} before", messages(new.rejected), old.rejected)?;
        write!(f, "; {} broke a plugin, {} before", messages(new.broken), old.broken)?;
        for (which, ran) in [("new", new), ("old", old)] {
            if ran.failed.is_some() {
                write!(f, "; the {which} version could not go on")?;
            }
        }
        if let (Some(old), Some(new)) = (old.ns_per_row, new.ns_per_row) {
            write!(f, "\n  {new:.0} ns a row, {old:.0} before")?;
        }
        match self.slower {
            Some(slower) => write!(f, ": {slower:.2} times as long"),
            None => write!(f, "\n  too little was timed to judge the speed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let table = TableDifference {
            output: "main".to_owned(),
            rows_old: 1_999,
            rows_new: 2_000,
            only_old: 19,
            only_new: 20,
            changed: 20,
            added: vec!["a".to_owned(), "b".to_owned()],
            examples_new: vec!["a secret".into()],
            ..TableDifference::default()
        };
        let mut report = Report { batches: 2, messages: 2_000, rows: 2_000, tables: vec![table], ..Report::default() };
        report.old.time(1_000, Duration::from_micros(2_000));
        report.new.time(1_000, Duration::from_micros(3_000));
        report.conclude();
        report
    }

    const LIMITS: Limits = Limits { max_changed: 0.01, max_slower: 1.5, max_rejected: 0.0 };

    #[test]
    fn what_is_at_a_limit_is_within_it() {
        let report = report();
        assert_eq!((report.changed_share, report.slower), (0.01, Some(1.5)));
        assert_eq!(report.verdict(&LIMITS), Ok(()));
        assert_eq!(Report::default().verdict(&Limits { max_slower: 0.0, ..LIMITS }), Ok(()), "nothing to say");
    }

    #[test]
    fn all_that_is_past_a_limit_is_said() {
        let mut report = report();
        report.old.reject("before, too");
        (0..3).for_each(|_| report.new.reject("no"));
        report.new.fail_on("trap: x");
        report.newly_broken = 1;
        assert_eq!(
            report.verdict(&Limits { max_changed: 0.009, max_slower: 1.4, max_rejected: 0.0009 }).unwrap_err(),
            "1 message that the old version can do something with broke the new one, with: trap: x; 1% of the rows have \
             changed; max_changed is 0.9%; 0.1% of the messages are rejected that weren't before; max_rejected is \
             0.0900%; it takes 1.5 times as long; max_slower is 1.4"
        );
        report.new.failed = Some("it spins".to_owned());
        assert!(report.verdict(&LIMITS).unwrap_err().starts_with("the new version can't go on: it spins"));
        report.newly_broken = 0;
        report.new.rejected = 1;
        report.old.failed = Some("it spins".to_owned());
        assert_eq!(report.verdict(&LIMITS), Ok(()), "the old one is no better");
    }

    #[test]
    fn speed_is_judged_where_enough_was_timed() {
        for (rows, old, new, judged) in [
            (1_000, 1_000, 9_000, true),
            (999, 1_000, 9_000, false),
            (1_000, 1, 1_000, true),
            (1_000, 1_000, 1, true),
            (1_000, 999, 999, false),
        ] {
            let mut report = Report::default();
            report.old.time(rows, Duration::from_micros(old));
            report.new.time(rows, Duration::from_micros(new));
            report.conclude();
            assert_eq!(report.slower.is_some(), judged, "{rows} rows in {old} and {new} us");
            assert_eq!(report.to_string().contains("too little was timed"), !judged);
        }
    }

    #[test]
    fn a_batch_in_which_the_machine_did_something_else_does_not_count() {
        let mut ran = Ran::default();
        for microseconds in [300, 20_000, 310, 290, 305] {
            ran.time(1_000, Duration::from_micros(microseconds));
        }
        assert_eq!(ran.ns_per_row, Some(305.0));
    }

    #[test]
    fn words_have_counts_and_no_rows() {
        let mut report = report();
        report.new.reject("a secret");
        report.new.failed = Some("a secret".to_owned());
        report.stopped = Some("time was up".to_owned());
        assert_eq!(
            report.to_string(),
            "shadow run over 2000 rows of 2 batches: 1% of the rows changed (time was up)\n  main: 2000 rows, 1999 before; 20 are new, \
             19 are gone; columns added: a, b\n  1 message rejected, 0 before; 0 messages broke a plugin, 0 before; the new \
             version could not go on\n  3000 ns a row, 2000 before: 1.50 times as long"
        );
        assert!(serde_json::to_string(&report).unwrap().contains("a secret"));
        assert_eq!(Report::skip("other columns").to_string(), "no shadow run: other columns");
    }

    #[test]
    fn shares_are_not_rounded_to_all_or_nothing() {
        for (share, expected) in
            [(0.0, "0%"), (1.0, "100%"), (0.5, "50%"), (0.125, "12.5%"), (0.00001, "0.0010%"), (0.99999, "99.9990%")]
        {
            assert_eq!(percent(share), expected);
        }
    }

    #[test]
    fn few_reasons_are_kept_each_once() {
        let mut ran = Ran::default();
        ["a", "a", "b", "c", "d"].into_iter().for_each(|reason| ran.reject(reason));
        assert_eq!((ran.rejected, ran.reasons), (5, ["a", "b", "c"].map(str::to_owned).to_vec()));
    }
}
