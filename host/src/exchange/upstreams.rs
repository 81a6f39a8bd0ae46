//! How far event time has come behind an exchange: as far as the slowest of the tasks before it.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::chunk::Heading;

/// How far a task before the exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventTime {
    /// It expects no more rows from before this time, microseconds since 1970-01-01T00:00:00Z; `None` before its first row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_us: Option<i64>,
    /// Nothing new has come to it for long, and nothing waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_idle: bool,
}

/// What is known of a task before an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Heard {
    /// What it has said last.
    #[serde(flatten)]
    pub event_time: EventTime,
    /// Up to when nothing of it is missing though it has sent no rows: what the others had come to at the last but one time that it
    /// said that it was idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_until_us: Option<i64>,
    /// What the others had come to at the last such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub furthest_us: Option<i64>,
}

/// The tasks before an exchange, as one partition behind it has heard of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Upstreams {
    /// Partitions of each topic that is read. A partition that is never heard of is waited for all the same.
    pub topics: BTreeMap<String, u32>,
    /// By `<topic>/<partition>`.
    pub heard: BTreeMap<String, Heard>,
}

/// What a COMMIT says of the exchange that a task sends to or reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remembered {
    /// It sends; how far it has come is the COMMIT's own watermark.
    Before,
    /// It reads, and has heard this.
    Behind(Upstreams),
}

impl Upstreams {
    /// Takes note of what a task says.
    pub fn hear(&mut self, heading: &Heading) {
        let before = std::mem::take(&mut self.topics);
        // A topic that isn't read any more isn't waited for; partitions only ever come.
        self.topics = heading.topics.clone();
        for (topic, partitions) in &mut self.topics {
            *partitions = before.get(topic).copied().unwrap_or_default().max(*partitions);
        }
        let EventTime { watermark_us, is_idle } = heading.event_time;
        let furthest_us = self.heard.values().filter_map(|heard| heard.event_time.watermark_us).max();
        let heard = self.heard.entry(heading.from.clone()).or_default();
        // An attempt that begins anew may have forgotten what the one before it moved on to.
        heard.event_time = EventTime { watermark_us: heard.event_time.watermark_us.max(watermark_us), is_idle };
        if is_idle {
            // It looked whether there is anything after it had said so the last time. So nothing is missing that could have come by
            // then; but what the others have sent since may have been there only after it looked.
            heard.idle_until_us = heard.idle_until_us.max(heard.furthest_us);
            heard.furthest_us = heard.furthest_us.max(furthest_us);
        } else {
            (heard.idle_until_us, heard.furthest_us) = (None, None);
        }
    }

    /// Whether all of them have nothing new.
    pub fn are_idle(&self) -> bool {
        self.expected().all(|heard| heard.is_some_and(|heard| heard.event_time.is_idle)) && !self.topics.is_empty()
    }

    /// Up to when none of them had anything new, if all have said so: one that has died says nothing any more, and what comes to its
    /// partition since is missing until another task has taken that over.
    pub fn idle_until(&self, words: &IdleWords) -> Option<Instant> {
        if !self.are_idle() {
            return None;
        }
        let until: Option<Vec<Instant>> = self.names().map(|name| words.0.get(&name)?.0).collect();
        until?.into_iter().min()
    }

    /// No more rows are expected from before it: what the slowest has come to. `None` as long as one hasn't come anywhere.
    pub fn watermark_us(&self) -> Option<i64> {
        let mut slowest = None;
        for heard in self.expected() {
            let Heard { event_time, idle_until_us, .. } = heard?;
            let reached = event_time.watermark_us.max(*idle_until_us)?;
            slowest = Some(slowest.map_or(reached, |slowest: i64| slowest.min(reached)));
        }
        slowest
    }

    fn expected(&self) -> impl Iterator<Item = Option<&Heard>> {
        self.names().map(|name| self.heard.get(&name))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.topics.iter().flat_map(|(topic, count)| (0..*count).map(move |n| format!("{topic}/{n}")))
    }
}

/// When tasks before an exchange said that they were idle: the last time, and the one before, after which they looked again. Of this
/// process alone: whoever begins anew waits for them to say so.
#[derive(Debug, Default)]
pub struct IdleWords(BTreeMap<String, (Option<Instant>, Instant)>);

impl IdleWords {
    /// Takes note of what a task says.
    pub fn hear(&mut self, heading: &Heading, now: Instant) {
        match (self.0.get_mut(&heading.from), heading.event_time.is_idle) {
            (Some((before, last)), true) => (*before, *last) = (Some(*last), now),
            (None, true) => drop(self.0.insert(heading.from.clone(), (None, now))),
            (_, false) => drop(self.0.remove(&heading.from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::chunk::Kind;
    use super::*;

    fn say(upstreams: &mut Upstreams, from: &str, watermark_us: Option<i64>, is_idle: bool, topics: &[(&str, u32)]) {
        upstreams.hear(&Heading {
            event_time: EventTime { watermark_us, is_idle },
            topics: topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect(),
            ..Heading::new(Kind::EventTime, from.to_owned())
        });
    }

    #[test]
    fn everyone_is_waited_for() {
        let (mut all, topics) = (Upstreams::default(), [("a", 2), ("b", 1)]);
        assert_eq!((all.watermark_us(), all.are_idle()), (None, false));
        say(&mut all, "a/0", Some(70), false, &topics);
        say(&mut all, "b/0", Some(50), false, &topics);
        assert_eq!(all.watermark_us(), None, "a/1 hasn't said anything");
        say(&mut all, "a/1", None, false, &topics);
        assert_eq!(all.watermark_us(), None, "a/1 has no rows");
        say(&mut all, "a/1", Some(60), false, &topics);
        assert_eq!(all.watermark_us(), Some(50));
        say(&mut all, "b/0", Some(90), false, &topics);
        assert_eq!(all.watermark_us(), Some(60));
        say(&mut all, "b/0", Some(10), false, &topics);
        assert_eq!(all.watermark_us(), Some(60), "an attempt that began anew takes nothing back");
    }

    #[test]
    fn who_is_idle_is_waited_for_until_it_has_looked_again() {
        let (mut all, topics) = (Upstreams::default(), [("a", 3)]);
        say(&mut all, "a/0", Some(70), false, &topics);
        say(&mut all, "a/2", Some(20), true, &topics);
        say(&mut all, "a/1", None, true, &topics);
        assert_eq!((all.watermark_us(), all.are_idle()), (None, false));
        say(&mut all, "a/1", None, true, &topics);
        assert_eq!(all.watermark_us(), Some(20));
        say(&mut all, "a/2", Some(20), true, &topics);
        assert_eq!(all.watermark_us(), Some(70), "both have looked after a/0 was there");
        // What came to a/0 may have come to the others.
        say(&mut all, "a/0", Some(90), false, &topics);
        assert_eq!(all.watermark_us(), Some(70));
        say(&mut all, "a/1", None, true, &topics);
        say(&mut all, "a/2", Some(80), false, &topics);
        assert_eq!(all.watermark_us(), Some(70), "a/1 may have looked before a/0 had moved");
        say(&mut all, "a/1", None, true, &topics);
        assert_eq!(all.watermark_us(), Some(80));
    }

    #[test]
    fn when_all_are_idle_all_come_to_where_the_first_is() {
        let (mut all, topics) = (Upstreams::default(), [("a", 2)]);
        for _ in 0..2 {
            say(&mut all, "a/0", Some(70), true, &topics);
            say(&mut all, "a/1", Some(20), true, &topics);
        }
        assert_eq!((all.watermark_us(), all.are_idle()), (Some(70), true));
        say(&mut all, "a/1", Some(30), false, &topics);
        assert_eq!((all.watermark_us(), all.are_idle()), (Some(30), false), "it goes on from where it is");
    }

    #[test]
    fn time_passes_while_they_are_idle_up_to_when_the_first_of_them_was_not_heard_of_again() {
        let (mut all, mut words, began) = (Upstreams::default(), IdleWords::default(), Instant::now());
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let mut say = |from: &str, is_idle, seconds| {
            let heading = Heading {
                event_time: EventTime { watermark_us: Some(1), is_idle },
                topics: BTreeMap::from([("a".to_owned(), 2)]),
                ..Heading::new(Kind::EventTime, from.to_owned())
            };
            all.hear(&heading);
            words.hear(&heading, at(seconds));
            all.idle_until(&words)
        };
        assert_eq!([say("a/0", true, 0), say("a/1", true, 1), say("a/0", true, 2)], [None; 3]);
        assert_eq!(say("a/1", true, 3), Some(at(0)));
        assert_eq!([say("a/0", true, 4), say("a/0", true, 6), say("a/0", true, 8)], [Some(at(1)); 3], "a/1 is silent");
        assert_eq!(say("a/1", false, 9), None);
        assert_eq!([say("a/1", true, 10), say("a/1", true, 11)], [None, Some(at(6))]);
    }

    #[test]
    fn partitions_come_and_topics_go() {
        let mut all = Upstreams::default();
        say(&mut all, "a/0", Some(70), false, &[("a", 1), ("b", 1)]);
        assert_eq!(all.watermark_us(), None);
        say(&mut all, "a/1", Some(40), false, &[("a", 2)]);
        assert_eq!(all.watermark_us(), Some(40), "b is not read any more");
        say(&mut all, "a/0", Some(71), false, &[("a", 1)]);
        assert_eq!(all.watermark_us(), Some(40), "whoever hasn't heard of a/1 doesn't take it away");
    }
}
