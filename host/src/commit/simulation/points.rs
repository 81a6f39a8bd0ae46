//! What a schedule must come through. Each point is counted when it was seen to happen, never when it was planned.

use std::collections::BTreeMap;

/// What an attempt is doing at the store, or at the topic that it sends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doing {
    /// Lists the log, or what earlier attempts have staged.
    Listing,
    /// Reads an entry of the log.
    Reading,
    /// Creates its CLAIM.
    Claiming,
    /// Uploads.
    Staging,
    /// Creates a COMMIT.
    Deciding,
    /// Gives files their final names, or looks at what is there.
    Publishing,
    /// Fences the producer before it, or looks for its mark.
    TakingOver,
    /// Adds to a transaction.
    Sending,
    /// Ends a transaction.
    Ending,
    /// Removes what is staged.
    Removing,
    /// Removes old entries of the log.
    Cleaning,
    /// None of these.
    Idle,
}

impl Doing {
    pub const ALL: [Self; 12] = [
        Self::Listing,
        Self::Reading,
        Self::Claiming,
        Self::Staging,
        Self::Deciding,
        Self::Publishing,
        Self::TakingOver,
        Self::Sending,
        Self::Ending,
        Self::Removing,
        Self::Cleaning,
        Self::Idle,
    ];
}

/// A point that a schedule may come to. To add one, name it here and count it where it can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Killed when it had claimed, and nothing else.
    KilledAfterClaim,
    /// Killed while a file was going up.
    KilledMidUpload,
    /// Killed when files were staged whole, and not decided.
    KilledStagedUndecided,
    /// The COMMIT was created, its answer got lost.
    CommitAnswerLost,
    /// A 412 for an entry that was the attempt's own.
    Own412,
    /// A 409 for a COMMIT.
    Conflict409,
    /// Killed when an epoch was decided, and no file of it published.
    KilledDecidedUnpublished,
    /// Killed when some files of an epoch were published, and others not.
    KilledBetweenFiles,
    /// A file was published, the answer got lost.
    CopyAnswerLost,
    /// Killed when all was published, and Kafka not told.
    KilledBeforeOffsetCommit,
    /// Killed when an epoch was decided, and none of its records sent.
    KilledDecidedUnsent,
    /// Killed with the transaction open.
    KilledTransactionOpen,
    /// Killed when its records were sent, and the stage not cleared.
    KilledSentUnacknowledged,
    /// The transaction was committed, the answer got lost.
    EndAnswerLost,
    /// A transaction was aborted, and begun again.
    TransactionAborted,
    /// A transaction was open for so long that the broker aborted it.
    TransactionTimedOut,
    /// A producer found that another had come after it.
    ProducerFenced,
    /// A claim sent what an attempt before it had decided.
    SentByTheNext,
    /// A claim found that what was decided before it had been sent.
    FoundSent,
    /// A claim read what earlier attempts remembered.
    StateRestored,
    /// A copy found that its staged file was gone already.
    StageRemovedEarly,
    /// Two claims went for the same number.
    TwoClaims,
    /// A partition was revoked while its task was uploading or deciding.
    RevokedMidFlush,
    /// A partition moved and its task did not hear of it, but went on.
    RevokedUnheard,
    /// A claim took so long that the group gave the member up.
    PollIntervalExceeded,
    /// The epoch was dropped in mid-batch.
    TrapMidBatch,
    /// The disk was full.
    DiskFull,
    /// The store's clock was an hour off from one entry of a log to the next.
    StoreClockOff,
    /// A writer's clock was.
    WriterClockOff,
    /// An attempt was fenced.
    Fenced,
    /// An attempt gave itself up after a long silence.
    SelfFenced,
    /// Old entries of a log were removed.
    LogCleaned,
    /// A number was written again that had been freed.
    NumberReused,
    /// Kafka had lost records that came next.
    RetentionPassed,
    /// The topic was made anew.
    TopicMadeAnew,
    /// A request took effect after its process had died.
    EffectAfterDeath,
    /// `verify` ran beside it all.
    VerifiedMeanwhile,
    /// Killed when an epoch was decided, and none of its chunks sent to the exchange.
    ChunksUnsent,
    /// Killed when chunks were in an open transaction.
    ChunksOpen,
    /// Killed when chunks were committed, and the stage not cleared.
    ChunksUnacknowledged,
    /// A claim sent chunks that an attempt before it had decided.
    ChunksSentByTheNext,
    /// A transaction with chunks was aborted.
    ChunksAborted,
    /// A reader passed chunks that were aborted.
    AbortedPassed,
    /// A reader got nothing, since a transaction was open.
    ReaderHeldBack,
    /// Rows came that were older than the event time of the fastest.
    RowsOfTheSlower,
    /// States that were folded before the exchange were merged.
    StatesMerged,
    /// Event time went on past that of a task that was idle.
    IdlePassed,
    /// A claim behind the exchange read groups.
    GroupsRestored,
    /// Killed behind the exchange when groups or state were on their way up.
    BehindKilledUndecided,
    /// Killed behind the exchange when an epoch was decided, and not acknowledged.
    BehindKilledDecided,
    /// A partition of the exchange was revoked while its task was uploading or deciding.
    BehindRevokedMidFlush,
    /// A stopped process woke, and another attempt had claimed its task behind the exchange.
    BehindZombie,
    /// A stopped process woke, and another attempt had claimed its task; by what it was doing.
    Zombie(Doing),
    /// SIGTERM came; by what it was doing.
    Term(Doing),
    /// SIGKILL came after SIGTERM; by what it was doing.
    KillAfterTerm(Doing),
}

impl Point {
    /// All of them, in the order in which they are printed.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::KilledAfterClaim,
            Self::KilledMidUpload,
            Self::KilledStagedUndecided,
            Self::CommitAnswerLost,
            Self::Own412,
            Self::Conflict409,
            Self::KilledDecidedUnpublished,
            Self::KilledBetweenFiles,
            Self::CopyAnswerLost,
            Self::KilledBeforeOffsetCommit,
            Self::KilledDecidedUnsent,
            Self::KilledTransactionOpen,
            Self::KilledSentUnacknowledged,
            Self::EndAnswerLost,
            Self::TransactionAborted,
            Self::TransactionTimedOut,
            Self::ProducerFenced,
            Self::SentByTheNext,
            Self::FoundSent,
            Self::StateRestored,
            Self::StageRemovedEarly,
            Self::TwoClaims,
            Self::RevokedMidFlush,
            Self::RevokedUnheard,
            Self::PollIntervalExceeded,
            Self::TrapMidBatch,
            Self::DiskFull,
            Self::StoreClockOff,
            Self::WriterClockOff,
            Self::Fenced,
            Self::SelfFenced,
            Self::LogCleaned,
            Self::NumberReused,
            Self::RetentionPassed,
            Self::TopicMadeAnew,
            Self::EffectAfterDeath,
            Self::VerifiedMeanwhile,
            Self::ChunksUnsent,
            Self::ChunksOpen,
            Self::ChunksUnacknowledged,
            Self::ChunksSentByTheNext,
            Self::ChunksAborted,
            Self::AbortedPassed,
            Self::ReaderHeldBack,
            Self::RowsOfTheSlower,
            Self::StatesMerged,
            Self::IdlePassed,
            Self::GroupsRestored,
            Self::BehindKilledUndecided,
            Self::BehindKilledDecided,
            Self::BehindRevokedMidFlush,
            Self::BehindZombie,
        ];
        for fate in [Self::Zombie, Self::Term, Self::KillAfterTerm] {
            all.extend(Doing::ALL.map(fate));
        }
        all
    }

    /// The same where what was sent are chunks for the exchange.
    pub fn of_chunks(self) -> Option<Self> {
        match self {
            Self::KilledDecidedUnsent => Some(Self::ChunksUnsent),
            Self::KilledTransactionOpen => Some(Self::ChunksOpen),
            Self::KilledSentUnacknowledged => Some(Self::ChunksUnacknowledged),
            _ => None,
        }
    }

    fn name(self) -> String {
        let name = match self {
            Self::KilledAfterClaim => "killed after CLAIM",
            Self::KilledMidUpload => "killed in mid-upload",
            Self::KilledStagedUndecided => "killed when staged but undecided",
            Self::CommitAnswerLost => "COMMIT sent, answer lost",
            Self::Own412 => "412 for an own entry",
            Self::Conflict409 => "409 for a COMMIT",
            Self::KilledDecidedUnpublished => "killed when decided, unpublished",
            Self::KilledBetweenFiles => "killed between two files",
            Self::CopyAnswerLost => "copy done, answer lost",
            Self::KilledBeforeOffsetCommit => "killed before the offset commit",
            Self::KilledDecidedUnsent => "killed when decided, unsent",
            Self::KilledTransactionOpen => "killed with the transaction open",
            Self::KilledSentUnacknowledged => "killed when sent, unacknowledged",
            Self::EndAnswerLost => "transaction committed, answer lost",
            Self::TransactionAborted => "transaction aborted",
            Self::TransactionTimedOut => "transaction timed out",
            Self::ProducerFenced => "producer fenced",
            Self::SentByTheNext => "sent by the next claim",
            Self::FoundSent => "found sent by the next claim",
            Self::StateRestored => "state restored by the next claim",
            Self::StageRemovedEarly => "staged file gone before the copy",
            Self::TwoClaims => "two claims at once",
            Self::RevokedMidFlush => "revoked in mid-flush",
            Self::RevokedUnheard => "partition moved, unheard",
            Self::PollIntervalExceeded => "poll interval exceeded",
            Self::TrapMidBatch => "trap in mid-batch",
            Self::DiskFull => "disk full",
            Self::StoreClockOff => "store's clock an hour off",
            Self::WriterClockOff => "writer's clock an hour off",
            Self::Fenced => "fenced",
            Self::SelfFenced => "gave itself up after silence",
            Self::LogCleaned => "old log entries removed",
            Self::NumberReused => "freed number written by a late writer",
            Self::RetentionPassed => "Kafka's retention passed the position",
            Self::TopicMadeAnew => "topic made anew",
            Self::EffectAfterDeath => "request done after its sender's death",
            Self::VerifiedMeanwhile => "verified meanwhile",
            Self::ChunksUnsent => "exchange: killed when decided, no chunk sent",
            Self::ChunksOpen => "exchange: killed with chunks in an open transaction",
            Self::ChunksUnacknowledged => "exchange: killed when chunks were committed",
            Self::ChunksSentByTheNext => "exchange: chunks sent by the next claim",
            Self::ChunksAborted => "exchange: transaction with chunks aborted",
            Self::AbortedPassed => "exchange: aborted chunks passed by a reader",
            Self::ReaderHeldBack => "exchange: reader held back by an open transaction",
            Self::RowsOfTheSlower => "exchange: rows older than the fastest's event time",
            Self::StatesMerged => "exchange: states merged",
            Self::IdlePassed => "exchange: event time past that of an idle task",
            Self::GroupsRestored => "behind the exchange: groups restored by the next claim",
            Self::BehindKilledUndecided => "behind the exchange: killed before its COMMIT",
            Self::BehindKilledDecided => "behind the exchange: killed after its COMMIT",
            Self::BehindRevokedMidFlush => "behind the exchange: revoked in mid-flush",
            Self::BehindZombie => "behind the exchange: woke after its partition moved",
            Self::Zombie(doing) => return format!("woke after its partition moved: {doing:?}"),
            Self::Term(doing) => return format!("SIGTERM: {doing:?}"),
            Self::KillAfterTerm(doing) => return format!("SIGKILL after SIGTERM: {doing:?}"),
        };
        name.to_owned()
    }
}

/// How often each point was reached, and how much was done.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub points: BTreeMap<Point, u64>,
    pub schedules: u64,
    pub virtual_ms: u64,
    pub operations: u64,
    pub faults: u64,
    pub kills: u64,
    pub stops: u64,
    pub commits: u64,
    pub records: u64,
    pub longest_recovery_ms: u64,
}

impl Figures {
    /// Counts a point.
    pub fn reach(&mut self, point: Point) {
        *self.points.entry(point).or_default() += 1;
    }

    /// Adds what another schedule came to.
    pub fn add(&mut self, other: &Self) {
        for (point, count) in &other.points {
            *self.points.entry(*point).or_default() += count;
        }
        self.schedules += other.schedules;
        self.virtual_ms += other.virtual_ms;
        self.operations += other.operations;
        self.faults += other.faults;
        self.kills += other.kills;
        self.stops += other.stops;
        self.commits += other.commits;
        self.records += other.records;
        self.longest_recovery_ms = self.longest_recovery_ms.max(other.longest_recovery_ms);
    }

    /// Points that no schedule came to.
    pub fn never_reached(&self) -> Vec<String> {
        let missing = Point::all().into_iter().filter(|point| !self.points.contains_key(point));
        missing.map(Point::name).collect()
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for point in Point::all() {
            writeln!(f, "{:>10}  {}", self.points.get(&point).copied().unwrap_or_default(), point.name())?;
        }
        let days = self.virtual_ms as f64 / 86_400_000.0;
        let recovery = self.longest_recovery_ms as f64 / 1000.0;
        writeln!(f, "schedules {}, virtual time {days:.1} days, records {}", self.schedules, self.records)?;
        writeln!(f, "store operations {}, of which failed on purpose {}", self.operations, self.faults)?;
        writeln!(f, "processes killed {}, stopped {}; epochs decided {}", self.kills, self.stops, self.commits)?;
        write!(f, "doubles 0, losses 0, orphans 0; longest recovery once all faults ended {recovery:.1} s")
    }
}
