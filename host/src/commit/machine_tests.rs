//! Drives the protocol step by step, against a log and a table that are plain maps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::entry::{Commit, CommittedFile, CommittedRecords, Entry, FORMAT};
use super::machine::{Machine, Outcome, ProtocolError, Step};

/// What survives every crash.
#[derive(Default)]
struct World {
    log: BTreeMap<u64, Entry>,
    table: BTreeSet<String>,
    /// What was sent, as often as it was, the mark of the last of it, and who may send.
    sent: Vec<String>,
    mark: Option<String>,
    sender: Option<String>,
    /// Everyone who has ever taken over.
    senders: BTreeSet<String>,
}

impl World {
    /// Whether an attempt may send: it takes over from whoever could before, once. Kafka lets in whoever comes last; whoever
    /// sends what was decided looks first whether its claim is still the newest.
    fn takes_over(&mut self, machine: &Machine, looks: bool) -> bool {
        if !self.senders.insert(machine.attempt().to_owned()) {
            return self.sender.as_deref() == Some(machine.attempt());
        }
        self.sender = Some(machine.attempt().to_owned());
        !looks || self.log.keys().next_back().copied() == machine.newest()
    }

    /// Performs a step for an attempt in full and says how it ended; `None` if Kafka or the log has fenced it.
    fn perform_for(&mut self, machine: &Machine) -> Option<Outcome> {
        match machine.step("t") {
            Step::Mark { mark, .. } => {
                let may = self.takes_over(machine, false);
                may.then(|| self.mark.get_or_insert(mark));
                may.then_some(Outcome::Marked)
            }
            Step::Send { records, mark, .. } => {
                let may = self.takes_over(machine, true);
                if may && self.mark.as_ref() != Some(&mark) {
                    self.sent.extend(records.into_iter().map(|records| records.staged));
                    self.mark = Some(mark);
                }
                may.then_some(Outcome::Sent)
            }
            step => Some(self.perform(step)),
        }
    }

    /// Performs a step in full and says how it ended.
    fn perform(&mut self, step: Step) -> Outcome {
        match step {
            Step::List => Outcome::Listed(self.log.keys().next_back().copied()),
            Step::Read { sequence } => Outcome::Entry(self.log[&sequence].clone()),
            Step::FirstOffset { logged } => Outcome::FirstOffset(logged.unwrap_or(0)),
            Step::Create { sequence, entry } => match self.log.get(&sequence) {
                Some(there) => Outcome::Taken(there.clone()),
                None => {
                    self.log.insert(sequence, *entry);
                    Outcome::Created
                }
            },
            Step::Publish { files } => {
                self.table.extend(files.into_iter().map(|file| file.path));
                Outcome::Published
            }
            Step::Acknowledge { .. } => Outcome::Acknowledged,
            Step::Mark { .. } | Step::Send { .. } | Step::Ready | Step::Fenced { .. } => {
                panic!("nothing to perform: {step:?}")
            }
        }
    }

    fn run_to_ready(&mut self, machine: &mut Machine) {
        while machine.step("t") != Step::Ready {
            let outcome = self.perform_for(machine).expect("not fenced");
            machine.on(outcome).unwrap();
        }
    }

    /// Every offset that a reader of the table sees, as often as it sees it.
    fn offsets(&self) -> Vec<i64> {
        offsets(self.table.iter())
    }
}

/// All offsets of ranges, sorted, as often as they are there.
fn offsets<'a>(ranges: impl Iterator<Item = &'a String>) -> Vec<i64> {
    let ranges = ranges.map(|range| range.split_once("..").unwrap());
    let mut offsets: Vec<i64> =
        ranges.flat_map(|(a, b)| a.parse::<i64>().unwrap()..b.parse::<i64>().unwrap()).collect();
    offsets.sort_unstable();
    offsets
}

/// An epoch with a file and records, both named by its offsets.
fn epoch_with_records(start: i64, end: i64) -> Commit {
    let (staged, topic, xxh3) = (format!("{start}..{end}"), "t".to_owned(), String::new());
    Commit { records: vec![CommittedRecords { staged, topic, bytes: 0, xxh3, rows: 0 }], ..epoch(start, end) }
}

/// An epoch whose one file is named by its offsets.
fn epoch(start: i64, end: i64) -> Commit {
    let file = CommittedFile {
        staged: String::new(),
        path: format!("{start}..{end}"),
        bytes: 0,
        xxh3: String::new(),
        rows: 0,
    };
    Commit { start, end, files: vec![file], ..Commit::default() }
}

fn claimed(world: &mut World, attempt: &str) -> Machine {
    let mut machine = Machine::new(attempt.to_owned());
    world.run_to_ready(&mut machine);
    machine
}

#[test]
fn an_epoch_is_decided_published_and_acknowledged_in_this_order() {
    let mut world = World::default();
    let mut machine = claimed(&mut world, "a");
    machine.decide(epoch(0, 5)).unwrap();
    assert!(matches!(machine.step("t"), Step::Create { sequence: 1, .. }));
    machine.on(Outcome::Created).unwrap();
    assert!(matches!(machine.step("t"), Step::Publish { .. }));
    machine.on(Outcome::Published).unwrap();
    assert_eq!(machine.step("t"), Step::Acknowledge { end: 5 });
    machine.on(Outcome::Acknowledged).unwrap();
    assert_eq!((machine.step("t"), machine.next_offset()), (Step::Ready, 5));
}

#[test]
fn a_second_claim_fences_the_first_and_publishes_what_it_had_decided() {
    let mut world = World::default();
    let mut first = claimed(&mut world, "first");
    first.decide(epoch(0, 5)).unwrap();
    let outcome = world.perform(first.step("t"));
    first.on(outcome).unwrap();
    assert!(world.table.is_empty(), "decided, and died before publishing");

    let second = claimed(&mut world, "second");
    assert_eq!(second.next_offset(), 5);
    assert_eq!(world.offsets(), (0..5).collect::<Vec<_>>());

    // The first one wakes up: it may publish what was decided, and nothing more.
    world.run_to_ready(&mut first);
    first.decide(epoch(5, 9)).unwrap();
    let outcome = world.perform(first.step("t"));
    first.on(outcome).unwrap();
    assert_eq!(first.step("t"), Step::Fenced { by: "second".to_owned() });
    assert_eq!(world.offsets(), (0..5).collect::<Vec<_>>());
}

#[test]
fn an_epoch_with_records_is_marked_decided_published_and_sent_in_this_order() {
    let mut world = World::default();
    let mut machine = claimed(&mut world, "a");
    machine.decide(epoch_with_records(0, 5)).unwrap();
    assert_eq!(machine.step("t"), Step::Mark { offset: 0, mark: "0 a".to_owned() });
    machine.on(world.perform_for(&machine).unwrap()).unwrap();
    assert!(matches!(machine.step("t"), Step::Create { sequence: 1, .. }));
    machine.on(world.perform_for(&machine).unwrap()).unwrap();
    assert!(matches!(machine.step("t"), Step::Publish { .. }));
    machine.on(Outcome::Published).unwrap();
    let step = machine.step("t");
    assert!(
        matches!(&step, Step::Send { offset: 5, mark, records } if mark == "1 a" && records.len() == 1),
        "{step:?}"
    );
    machine.on(Outcome::Unclear).unwrap();
    assert_eq!(machine.step("t"), step, "an answer that got lost");
    machine.on(Outcome::Sent).unwrap();
    assert_eq!(machine.step("t"), Step::Acknowledge { end: 5 });
}

#[test]
fn a_claim_sends_what_was_decided_once_and_is_not_in_the_way_of_who_claimed_later() {
    let mut world = World::default();
    let mut first = claimed(&mut world, "first");
    first.decide(epoch_with_records(0, 5)).unwrap();
    for _ in 0..3 {
        let outcome = world.perform_for(&first).unwrap();
        first.on(outcome).unwrap();
    }
    assert!(matches!(first.step("t"), Step::Send { .. }) && world.sent.is_empty(), "decided, and died before sending");
    // It claims, and sleeps before it sends.
    let mut sleepy = Machine::new("sleepy".to_owned());
    while !matches!(sleepy.step("t"), Step::Send { .. }) {
        let outcome = world.perform_for(&sleepy).unwrap();
        sleepy.on(outcome).unwrap();
    }
    let mut second = claimed(&mut world, "second");
    assert_eq!(world.sent, ["0..5"]);
    second.decide(epoch_with_records(5, 9)).unwrap();
    world.run_to_ready(&mut second);
    assert_eq!(world.sent, ["0..5", "5..9"]);
    assert_eq!(world.perform_for(&sleepy), None, "another has claimed meanwhile");
    assert_eq!(world.perform_for(&first), None, "its producer was fenced");
    assert_eq!(world.sent, ["0..5", "5..9"]);
}

#[test]
fn an_answer_that_got_lost_is_found_in_the_log() {
    let mut world = World::default();
    let mut machine = claimed(&mut world, "a");
    machine.decide(epoch(0, 5)).unwrap();
    world.perform(machine.step("t"));
    machine.on(Outcome::Unclear).unwrap();
    let again = world.perform(machine.step("t"));
    assert!(matches!(again, Outcome::Taken(_)));
    machine.on(again).unwrap();
    assert!(matches!(machine.step("t"), Step::Publish { .. }));
}

#[test]
fn an_epoch_that_does_not_follow_is_refused() {
    let mut world = World::default();
    let mut machine = claimed(&mut world, "a");
    assert_eq!(machine.decide(epoch(1, 5)), Err(ProtocolError::Gap { start: 1, end: 0 }));
    assert_eq!(machine.decide(epoch(0, -1)), Err(ProtocolError::Gap { start: 0, end: 0 }));
    machine.decide(epoch(0, 5)).unwrap();
    assert!(matches!(machine.decide(epoch(5, 6)), Err(ProtocolError::Unexpected { .. })));
}

#[test]
fn a_first_offset_survives_a_crash_before_the_first_commit() {
    let mut world = World::default();
    let mut machine = Machine::new("a".to_owned());
    while machine.step("t") != Step::Ready {
        let outcome = match machine.step("t") {
            Step::FirstOffset { logged: None } => Outcome::FirstOffset(70),
            step => world.perform(step),
        };
        machine.on(outcome).unwrap();
    }
    assert_eq!(claimed(&mut world, "b").next_offset(), 70, "`latest` means what it meant at first");
}

#[test]
fn a_topic_made_anew_raises_the_generation() {
    let mut world = World::default();
    let mut machine = claimed(&mut world, "a");
    machine.decide(epoch(0, 5)).unwrap();
    world.run_to_ready(&mut machine);
    let mut machine = Machine::new("b".to_owned());
    while machine.step("t") != Step::Ready {
        let outcome = match machine.step("t") {
            Step::FirstOffset { logged: Some(5) } => Outcome::FirstOffset(2),
            step => world.perform(step),
        };
        machine.on(outcome).unwrap();
    }
    assert_eq!((machine.next_offset(), machine.generation()), (2, 1));
    assert_eq!(claimed(&mut world, "c").generation(), 1);
}

#[test]
fn a_log_of_a_later_format_is_refused() {
    let mut world = World::default();
    world.log.insert(0, Entry::Commit(Commit { format: 9, ..epoch(0, 5) }));
    let mut machine = Machine::new("a".to_owned());
    machine.on(world.perform(machine.step("t"))).unwrap();
    let error = machine.on(world.perform(machine.step("t"))).unwrap_err();
    assert!(error.to_string().contains("has format 9"), "{error}");
}

#[test]
fn a_log_whose_numbers_are_used_up_is_refused() {
    // The one before the last would be claimed, and leave none for a COMMIT.
    for newest in [u64::MAX, u64::MAX - 1] {
        let mut machine = Machine::new("a".to_owned());
        let error = machine.on(Outcome::Listed(Some(newest))).unwrap_err();
        assert_eq!(error.to_string(), format!("entry {newest} of the commit log leaves no numbers for others"));
    }

    let mut world = World::default();
    world.log.insert(0, Entry::Commit(Commit { format: FORMAT, generation: u32::MAX, ..epoch(0, 5) }));
    let mut machine = Machine::new("a".to_owned());
    while !matches!(machine.step("t"), Step::FirstOffset { .. }) {
        machine.on(world.perform(machine.step("t"))).unwrap();
    }
    let error = machine.on(Outcome::FirstOffset(2)).unwrap_err();
    assert_eq!(error.to_string(), "entry 0 of the commit log counts no more topics made anew");
}

/// What happens next in a random history.
#[derive(Debug, Clone)]
enum Event {
    /// A new attempt begins, whatever the others are doing.
    Begin,
    /// An attempt does its next step; `lost`: it is done, but the answer doesn't arrive.
    Step { attempt: usize, lost: bool },
    /// An attempt that is ready decides so many offsets; with records for a topic, or without.
    Decide { attempt: usize, count: i64, sends: bool },
    /// An attempt dies.
    Die { attempt: usize },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        1 => Just(Event::Begin),
        20 => (0..4usize, any::<bool>()).prop_map(|(attempt, lost)| Event::Step { attempt, lost }),
        6 => (0..4usize, 1..9i64, any::<bool>())
            .prop_map(|(attempt, count, sends)| Event::Decide { attempt, count, sends }),
        1 => (0..4usize).prop_map(|attempt| Event::Die { attempt }),
    ];
    prop::collection::vec(event, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However many attempts run at once, die, wake up and lose answers: no reader ever sees an offset twice, and when
    /// a last attempt is left alone, everything that was decided is seen.
    #[test]
    fn no_history_doubles_or_loses(events in events()) {
        let mut world = World::default();
        let mut attempts: Vec<Option<Machine>> = Vec::new();
        for event in events {
            match event {
                Event::Begin => attempts.push(Some(Machine::new(format!("attempt {}", attempts.len())))),
                Event::Die { attempt } => {
                    if let Some(slot) = attempts.get_mut(attempt) { *slot = None }
                }
                Event::Decide { attempt, count, sends } => {
                    if let Some(Some(machine)) = attempts.get_mut(attempt)
                        && machine.step("t") == Step::Ready
                    {
                        let start = machine.next_offset();
                        let commit = if sends { epoch_with_records } else { epoch };
                        machine.decide(commit(start, start + count)).unwrap();
                    }
                }
                Event::Step { attempt, lost } => {
                    if let Some(Some(machine)) = attempts.get_mut(attempt) {
                        let step = machine.step("t");
                        if !matches!(step, Step::Ready | Step::Fenced { .. }) {
                            match world.perform_for(machine) {
                                Some(outcome) => machine.on(if lost { Outcome::Unclear } else { outcome }).unwrap(),
                                None => attempts[attempt] = None,
                            }
                        }
                    }
                }
            }
            let seen = world.offsets();
            let once: BTreeSet<i64> = seen.iter().copied().collect();
            prop_assert_eq!(seen.len(), once.len(), "a reader sees an offset twice");
            let sent = offsets(world.sent.iter());
            prop_assert!(sent.windows(2).all(|pair| pair[0] != pair[1]), "sent twice: {:?}", world.sent);
        }
        let last = claimed(&mut world, "last");
        prop_assert_eq!(world.offsets(), (0..last.next_offset()).collect::<Vec<_>>());
        let decided = world.log.values().filter_map(|entry| match entry {
            Entry::Commit(commit) => Some(&commit.records),
            Entry::Claim(_) => None,
        });
        let decided: BTreeSet<&String> = decided.flatten().map(|records| &records.staged).collect();
        prop_assert_eq!(world.sent.iter().collect::<BTreeSet<_>>(), decided, "decided and not sent");
    }
}
