//! The commit protocol of one task as a state machine: claim, decide, publish. It never does I/O, never waits and never
//! reads a clock: whoever drives it performs its [`Step`]s and tells it the [`Outcome`]s.
//!
//! ```text
//! List -> Read* -> FirstOffset -> Create(CLAIM) -> Publish, Send (last COMMIT again) -> Ready
//!                                        ^ taken: from the top
//! Ready -- decide --> Mark -> Create(COMMIT) -> Publish -> Send -> Acknowledge -> Ready
//!                                   ^ taken by another attempt: Fenced, for good
//! ```
//!
//! Mark and Send are for epochs with records for topics; others go without.
//!
//! What never happens: a COMMIT n + 1 is never created before n is published and sent; an attempt never creates anything after it
//! was fenced; a COMMIT never begins elsewhere than where the entry before it ended; the tail is never read again in
//! mid-epoch, only the number that was found taken.

use super::entry::{self, Claim, Commit, CommittedFile, CommittedRecords, Entry, FORMAT};

/// Claims that lose the race for a number this often in a row give up: something else is wrong.
const MAX_CLAIMS: u32 = 20;
/// After a larger number nobody claims: numbers would run out one day. Nobody comes so far by counting.
const LAST_CLAIMED: u64 = u64::MAX >> 1;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Find the largest number in the log: answer [`Outcome::Listed`].
    List,
    /// Read entry `sequence`: answer [`Outcome::Entry`] or [`Outcome::Gone`].
    Read {
        /// Which.
        sequence: u64,
    },
    /// Find out where to begin, and whether Kafka still has that offset: answer [`Outcome::FirstOffset`].
    FirstOffset {
        /// What the log says; `None` if it is empty.
        logged: Option<i64>,
    },
    /// Create entry `sequence` if it is absent: answer [`Outcome::Created`], [`Outcome::Taken`], [`Outcome::Gone`] or
    /// [`Outcome::Unclear`].
    Create {
        /// Its number.
        sequence: u64,
        /// Its content.
        entry: Box<Entry>,
    },
    /// See to it that Kafka has a mark of this task that won't be forgotten soon: answer [`Outcome::Marked`]. Without one, who
    /// comes next could not tell whether the records of the COMMIT to come were sent.
    Mark {
        /// The offset that goes with it.
        offset: i64,
        /// What to leave there if there is none; where there is one it stays as it is.
        mark: String,
    },
    /// Give these files their final names, where they don't have them yet: answer [`Outcome::Published`].
    Publish {
        /// The files of the newest COMMIT.
        files: Vec<CommittedFile>,
    },
    /// Send these records in one transaction with the mark, unless that mark is there already: answer [`Outcome::Sent`].
    Send {
        /// The records of the newest COMMIT.
        records: Vec<CommittedRecords>,
        /// The offset that goes with the mark.
        offset: i64,
        /// Tells that COMMIT from all others.
        mark: String,
    },
    /// Tell Kafka how far we are, and remove what is staged: both only help others. Answer [`Outcome::Acknowledged`].
    Acknowledge {
        /// The offset after the last one committed.
        end: i64,
    },
    /// Nothing to do until [`Machine::decide`] is called.
    Ready,
    /// Another attempt has the task: drop everything that isn't decided. There is no way on from here.
    Fenced {
        /// The attempt that has it, or why this one had to give up.
        by: String,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The largest number in the log.
    Listed(Option<u64>),
    /// The entry that was read.
    Entry(Entry),
    /// The first offset to read.
    FirstOffset(i64),
    /// The entry is ours.
    Created,
    /// There is an entry of that number already.
    Taken(Entry),
    /// The entry that was listed, or in the way, is not there any more.
    Gone,
    /// No answer, or one that doesn't tell whether it was done: the same step comes again.
    Unclear,
    /// Kafka has a mark.
    Marked,
    /// All files have their final names.
    Published,
    /// All records are sent, and the mark with them.
    Sent,
    /// Done, or not done: it doesn't matter.
    Acknowledged,
}

/// The log, the driver or the caller broke the rules. The task must stop; nothing is lost, the log says how far it came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The log holds what no version of ours writes in that place.
    #[error("entry {sequence} of the commit log {what}")]
    BadLog {
        /// Number of the entry.
        sequence: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The caller decided out of order.
    #[error("an epoch from offset {start} can't follow one that ended at {end}")]
    Gap {
        /// Where the new epoch begins.
        start: i64,
        /// Where the log ends.
        end: i64,
    },
    /// The driver gave an outcome that isn't one of the step's.
    #[error("the commit protocol got {outcome} while at {step}")]
    Unexpected {
        /// What was to be done.
        step: String,
        /// What came.
        outcome: String,
    },
    /// Others took the number again and again.
    #[error("{MAX_CLAIMS} claims in a row lost the race for the next number of the commit log")]
    TooManyClaims,
}

/// The protocol of one attempt at one task.
#[derive(Debug, Clone)]
pub struct Machine {
    attempt: String,
    state: State,
    /// Number of the newest entry that we know of; ours once claimed.
    newest: Option<u64>,
    /// The newest COMMIT we know of, with its number.
    last_commit: Option<(u64, Commit)>,
    /// Where the next epoch begins, once claimed.
    next_offset: i64,
    generation: u32,
    claims: u32,
    /// The newest entry when one was found gone: gone again with nothing new, it wasn't cleaned away.
    gone_at: Option<u64>,
}

#[derive(Debug, Clone)]
enum State {
    Listing,
    ReadingNewest,
    /// The newest entry is this claim; its COMMIT is to be read.
    ReadingCommit(u64, Claim),
    FindingFirstOffset(Option<i64>),
    Claiming(Claim),
    Republishing,
    Resending,
    Ready,
    Marking(Commit),
    Deciding(Commit),
    Publishing,
    Sending,
    Acknowledging,
    Fenced(String),
}

impl Machine {
    /// A new attempt, which begins by claiming the task. No other attempt may ever have the same name.
    pub fn new(attempt: String) -> Self {
        Self {
            attempt,
            state: State::Listing,
            newest: None,
            last_commit: None,
            next_offset: 0,
            generation: 0,
            claims: 0,
            gone_at: None,
        }
    }

    /// The attempt's name.
    pub fn attempt(&self) -> &str {
        &self.attempt
    }

    /// Where the next epoch begins. Means something from the first [`Step::Ready`] on.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// How often the topic was made anew: raised whenever the first offset is one that was decided before.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The number of the newest entry that is known of: once claimed, the attempt's own.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The newest COMMIT, with its number.
    pub fn last_commit(&self) -> Option<&(u64, Commit)> {
        self.last_commit.as_ref()
    }

    /// What is to be done now. The same until an outcome says otherwise, so that a step can be done again.
    pub fn step(&self, time: &str) -> Step {
        match &self.state {
            State::Listing => Step::List,
            State::ReadingNewest => Step::Read { sequence: self.newest.unwrap_or_default() },
            State::ReadingCommit(sequence, _) => Step::Read { sequence: *sequence },
            State::FindingFirstOffset(logged) => Step::FirstOffset { logged: *logged },
            State::Claiming(claim) => Step::Create {
                sequence: self.next_sequence(),
                entry: Box::new(Entry::Claim(Claim { time: time.to_owned(), ..claim.clone() })),
            },
            State::Deciding(commit) => Step::Create {
                sequence: self.next_sequence(),
                entry: Box::new(Entry::Commit(Commit { time: time.to_owned(), ..commit.clone() })),
            },
            State::Republishing | State::Publishing => Step::Publish {
                files: self.last_commit.as_ref().map(|(_, commit)| commit.files.clone()).unwrap_or_default(),
            },
            State::Marking(commit) => {
                Step::Mark { offset: commit.start, mark: entry::mark(self.newest.unwrap_or_default(), &self.attempt) }
            }
            State::Resending | State::Sending => match &self.last_commit {
                Some((sequence, commit)) => Step::Send {
                    records: commit.records.clone(),
                    offset: commit.end,
                    mark: entry::mark(*sequence, &commit.attempt),
                },
                None => Step::Send { records: Vec::new(), offset: self.next_offset, mark: String::new() },
            },
            State::Acknowledging => Step::Acknowledge { end: self.next_offset },
            State::Ready => Step::Ready,
            State::Fenced(by) => Step::Fenced { by: by.clone() },
        }
    }

    /// Asks for an epoch to be decided. Only at [`Step::Ready`], and only from where the last one ended.
    pub fn decide(&mut self, commit: Commit) -> Result<(), ProtocolError> {
        if !matches!(self.state, State::Ready) {
            return Err(self.unexpected("a decision"));
        }
        if commit.start != self.next_offset || commit.end < commit.start {
            return Err(ProtocolError::Gap { start: commit.start, end: self.next_offset });
        }
        let commit = Commit { attempt: self.attempt.clone(), format: FORMAT, generation: self.generation, ..commit };
        self.state = if commit.records.is_empty() { State::Deciding(commit) } else { State::Marking(commit) };
        Ok(())
    }

    /// Gives the attempt up, as if another had taken the task: it has been silent for so long that the number it would
    /// write may have been cleaned away behind it.
    pub fn give_up(&mut self, why: &str) {
        self.state = State::Fenced(why.to_owned());
    }

    /// Tells how the step ended.
    pub fn on(&mut self, outcome: Outcome) -> Result<(), ProtocolError> {
        self.state = match (self.state.clone(), outcome) {
            (state, Outcome::Unclear) => state,
            (State::Listing, Outcome::Listed(Some(newest))) if newest > LAST_CLAIMED => {
                return Err(bad_log(newest, "leaves no numbers for others"));
            }
            (State::Listing, Outcome::Listed(newest)) => {
                self.newest = newest;
                if newest.is_some() { State::ReadingNewest } else { State::FindingFirstOffset(None) }
            }
            (State::ReadingNewest, Outcome::Entry(entry)) => self.found_newest(entry)?,
            (State::ReadingCommit(sequence, claim), Outcome::Entry(entry)) => {
                self.found_commit(sequence, claim, entry)?
            }
            // Whoever is slow finds entries cleaned away that it has listed.
            (State::ReadingNewest, Outcome::Gone) => self.list_again(self.newest.unwrap_or_default())?,
            (State::ReadingCommit(sequence, _), Outcome::Gone) => self.list_again(sequence)?,
            (State::Claiming(_), Outcome::Gone) => State::Listing,
            (State::Deciding(_), Outcome::Gone) => State::Fenced("an attempt whose entry is gone already".to_owned()),
            (State::FindingFirstOffset(logged), Outcome::FirstOffset(start)) => {
                if logged.is_some_and(|logged| start < logged) {
                    let newest = self.newest.unwrap_or_default();
                    let next = self.generation.checked_add(1);
                    self.generation = next.ok_or_else(|| bad_log(newest, "counts no more topics made anew"))?;
                }
                self.claim_from(start)
            }
            (State::Claiming(claim), Outcome::Created) => self.claimed(&claim),
            (State::Claiming(claim), Outcome::Taken(entry)) if entry.attempt() == self.attempt => self.claimed(&claim),
            (State::Claiming(_), Outcome::Taken(_)) => {
                self.claims += 1;
                if self.claims >= MAX_CLAIMS {
                    return Err(ProtocolError::TooManyClaims);
                }
                State::Listing
            }
            (State::Republishing, Outcome::Published) if self.has_records() => State::Resending,
            (State::Republishing, Outcome::Published) | (State::Resending, Outcome::Sent) => State::Ready,
            (State::Marking(commit), Outcome::Marked) => State::Deciding(commit),
            (State::Deciding(commit), Outcome::Created) => self.decided(commit),
            (State::Deciding(commit), Outcome::Taken(entry)) if entry.attempt() == self.attempt => self.decided(commit),
            (State::Deciding(_), Outcome::Taken(entry)) => State::Fenced(entry.attempt().to_owned()),
            (State::Publishing, Outcome::Published) if self.has_records() => State::Sending,
            (State::Publishing, Outcome::Published) | (State::Sending, Outcome::Sent) => State::Acknowledging,
            (State::Acknowledging, Outcome::Acknowledged) => State::Ready,
            (_, outcome) => return Err(self.unexpected(&format!("{outcome:?}"))),
        };
        Ok(())
    }

    fn has_records(&self) -> bool {
        self.last_commit.as_ref().is_some_and(|(_, commit)| !commit.records.is_empty())
    }

    fn next_sequence(&self) -> u64 {
        self.newest.map_or(0, |newest| newest + 1)
    }

    fn found_newest(&mut self, entry: Entry) -> Result<State, ProtocolError> {
        let sequence = self.newest.unwrap_or_default();
        check_format(sequence, &entry)?;
        self.generation = entry.generation();
        Ok(match entry {
            Entry::Commit(commit) => {
                let end = commit.end;
                self.last_commit = Some((sequence, commit));
                State::FindingFirstOffset(Some(end))
            }
            Entry::Claim(claim) => match claim.last_commit {
                Some(commit) if commit >= sequence => {
                    return Err(bad_log(sequence, "names a COMMIT that isn't before it"));
                }
                Some(commit) => State::ReadingCommit(commit, claim),
                None => {
                    self.last_commit = None;
                    State::FindingFirstOffset(Some(claim.start))
                }
            },
        })
    }

    fn found_commit(&mut self, sequence: u64, claim: Claim, entry: Entry) -> Result<State, ProtocolError> {
        check_format(sequence, &entry)?;
        match entry {
            // Where data was lost and the pipeline goes on, a claim may begin later than the COMMIT ended.
            Entry::Commit(commit) => {
                self.last_commit = Some((sequence, commit));
                Ok(State::FindingFirstOffset(Some(claim.start)))
            }
            Entry::Claim(_) => Err(bad_log(sequence, "is a CLAIM where a later one says there is a COMMIT")),
        }
    }

    fn list_again(&mut self, sequence: u64) -> Result<State, ProtocolError> {
        if self.gone_at == self.newest {
            return Err(bad_log(sequence, "is gone; restore it, or move the task's folder away to begin anew"));
        }
        self.gone_at = self.newest;
        Ok(State::Listing)
    }

    fn claim_from(&mut self, start: i64) -> State {
        State::Claiming(Claim {
            format: FORMAT,
            attempt: self.attempt.clone(),
            time: String::new(),
            start,
            last_commit: self.last_commit.as_ref().map(|(sequence, _)| *sequence),
            generation: self.generation,
        })
    }

    fn claimed(&mut self, claim: &Claim) -> State {
        self.newest = Some(self.next_sequence());
        self.next_offset = claim.start;
        State::Republishing
    }

    fn decided(&mut self, commit: Commit) -> State {
        let sequence = self.next_sequence();
        self.newest = Some(sequence);
        self.next_offset = commit.end;
        self.last_commit = Some((sequence, commit));
        State::Publishing
    }

    fn unexpected(&self, outcome: &str) -> ProtocolError {
        ProtocolError::Unexpected { step: format!("{:?}", self.state), outcome: outcome.to_owned() }
    }
}

fn check_format(sequence: u64, entry: &Entry) -> Result<(), ProtocolError> {
    match entry.format() {
        FORMAT => Ok(()),
        other => Err(bad_log(sequence, &format!("has format {other}; this version reads format {FORMAT}"))),
    }
}

fn bad_log(sequence: u64, what: &str) -> ProtocolError {
    ProtocolError::BadLog { sequence, what: what.to_owned() }
}
