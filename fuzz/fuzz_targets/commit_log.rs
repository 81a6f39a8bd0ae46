//! Entries of the commit log: any bytes, what is read of them written and read again, and the commit protocol on a log of them.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use rillgate::commit::Commit;
use rillgate::commit::entry::{
    Claim, CommittedFile, CommittedRecords, CommittedState, Entry, FORMAT, StateFile, file_name, sequence,
};
use rillgate::commit::machine::{Machine, Outcome, Step};

#[derive(Debug, Arbitrary)]
enum Text {
    Any(String),
    Claim { format: u32, attempt: String, start: i64, last_commit: Option<u64>, generation: u32 },
    Commit { attempt: String, start: i64, end: i64, counts: [u64; 2], generation: u32, texts: Vec<String> },
}

#[derive(Debug, Arbitrary)]
struct Input {
    /// Entries of the log, and the bytes of one put in place of those of another.
    log: Vec<(u64, Text)>,
    names: Vec<String>,
    /// What is answered where the log doesn't say.
    first_offset: i64,
    end: i64,
}

fuzz_target!(|input: Input| {
    for name in &input.names {
        if let Some(number) = sequence(name) {
            assert_eq!(&file_name(number), name);
        }
    }
    let mut log: Vec<(u64, Entry)> = Vec::new();
    for (number, text) in &input.log {
        assert_eq!(sequence(&file_name(*number)), Some(*number));
        let json = json(text);
        if let Ok(entry) = serde_json::from_str::<Entry>(&json) {
            let written = serde_json::to_vec(&entry).unwrap();
            assert_eq!(serde_json::from_slice::<Entry>(&written).unwrap(), entry);
            log.push((*number, entry));
        }
    }
    log.sort_by_key(|(number, _)| *number);
    log.dedup_by_key(|(number, _)| *number);
    drive(&mut log, &input);
});

/// An attempt at a task with this log: it is refused, or decides an epoch that begins where it was told.
fn drive(log: &mut Vec<(u64, Entry)>, input: &Input) {
    let mut machine = Machine::new("ours".to_owned());
    let mut decided = false;
    // Far more steps than any way through the protocol has.
    for _ in 0..200 {
        let outcome = match machine.step("2026-01-01T00:00:00Z") {
            Step::List => Outcome::Listed(log.last().map(|(number, _)| *number)),
            Step::Read { sequence } => match log.iter().find(|(number, _)| *number == sequence) {
                Some((_, entry)) => Outcome::Entry(entry.clone()),
                // The driver reports a hole in the log.
                None => return,
            },
            // Where the topic was made anew its offsets begin again.
            Step::FirstOffset { logged } => {
                Outcome::FirstOffset(logged.filter(|_| input.end % 2 == 0).unwrap_or(input.first_offset))
            }
            Step::Create { sequence, entry } => {
                assert!(log.last().is_none_or(|(number, _)| *number < sequence), "entry {sequence} would go back");
                log.push((sequence, *entry));
                Outcome::Created
            }
            Step::Mark { .. } => Outcome::Marked,
            Step::Publish { .. } => Outcome::Published,
            Step::Send { .. } => Outcome::Sent,
            Step::Acknowledge { end } => {
                assert_eq!(end, machine.next_offset());
                Outcome::Acknowledged
            }
            Step::Ready if decided => return,
            Step::Ready => {
                let (start, end) = (machine.next_offset(), input.end);
                let commit = Commit { start, end, ..Commit::default() };
                match machine.decide(commit) {
                    Ok(()) => decided = true,
                    Err(_) => return assert!(end <= start),
                }
                continue;
            }
            Step::Fenced { .. } => return,
        };
        if machine.on(outcome).is_err() {
            return;
        }
    }
    panic!("the protocol doesn't end");
}

fn json(text: &Text) -> String {
    let entry = match text {
        Text::Any(text) => return text.clone(),
        Text::Claim { format, attempt, start, last_commit, generation } => Entry::Claim(Claim {
            format: if format % 4 == 0 { *format } else { FORMAT },
            attempt: attempt.clone(),
            time: attempt.clone(),
            start: *start,
            last_commit: *last_commit,
            generation: *generation,
        }),
        Text::Commit { attempt, start, end, counts: [skipped, dead_letters], generation, texts } => {
            let file = |text: &String| CommittedFile {
                staged: text.clone(),
                path: attempt.clone(),
                bytes: *skipped,
                xxh3: text.clone(),
                rows: *dead_letters,
            };
            let records = |text: &String| CommittedRecords {
                staged: text.clone(),
                topic: attempt.clone(),
                bytes: *skipped,
                xxh3: text.clone(),
                rows: *dead_letters,
            };
            let state = |text: &String| StateFile {
                table: text.clone(),
                path: attempt.clone(),
                bytes: *skipped,
                xxh3: text.clone(),
                rows: *dead_letters,
            };
            let state = CommittedState {
                watermark_us: (*start != *end).then_some(*start),
                over_us: (*start > *end).then_some(*end),
                allowed_lateness_us: (*start > *end).then_some(*start),
                files: texts.iter().map(state).collect(),
                exchange: texts.first().map(|text| Box::new(text.clone().into())),
            };
            Entry::Commit(Commit {
                format: FORMAT,
                attempt: attempt.clone(),
                time: attempt.clone(),
                start: *start,
                end: *end,
                generation: *generation,
                skipped: *skipped,
                dead_letters: *dead_letters,
                plugins: texts.clone(),
                config: attempt.clone(),
                files: texts.iter().map(file).collect(),
                records: texts.iter().map(records).collect(),
                state: (!texts.is_empty()).then_some(state),
                next_file: *skipped,
            })
        }
    };
    serde_json::to_string(&entry).unwrap()
}
