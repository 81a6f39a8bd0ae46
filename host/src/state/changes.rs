//! What each file of a state accounts for, so that a commit writes what changed and not what is there.
//!
//! The files lie one over another, oldest first: what a later one says of a key goes over what an earlier one said. When there are
//! eight of about a size they become one, as in a log-structured merge tree: so files stay few, and what has changed is written again
//! once for each power of eight that there is of it. Fewer files would be written more often: with two of a size a million keys cost
//! 6.5 times what has changed in place of 3.

use std::mem;

/// So many files of about a size become one.
const RUN: usize = 8;
/// No larger than this many times another is about its size.
const ALIKE: usize = 2;
/// When the files hold this many times what lives, all is written anew: most of it has left.
const STALE: usize = 4;
/// As long as the files hold no more than this, what has left doesn't matter.
const SMALL: usize = 4096;

/// A key that left before its time: the span it was known by says which.
pub type Gone = (Box<[u8]>, i64);

/// What one file of a state says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Entries {
    /// Slots whose values are in it. Some may have left since, or been used again.
    pub slots: Vec<u32>,
    /// Keys that it takes away.
    pub gone: Vec<Gone>,
}

impl Entries {
    fn len(&self) -> usize {
        self.slots.len() + self.gone.len()
    }
}

/// What the next file of a state must hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// How many of the files there, from the oldest on, stay; the others are taken in.
    pub kept: usize,
    /// Each slot once, and live. Nothing at all: no file is needed.
    pub entries: Entries,
}

/// What changed since when.
#[derive(Debug, Default)]
pub struct Changes {
    /// Of each file, oldest first.
    files: Vec<Entries>,
    /// Since the last file.
    open: Entries,
    /// By slot: the round in which it was last noted; the first is 1.
    noted: Vec<u64>,
    /// Files begun before this one.
    rounds: u64,
    /// None of the files stays beside the next one.
    anew: bool,
}

impl Changes {
    /// Takes note that a slot has changed.
    pub fn note(&mut self, slot: u32) {
        let (slot, round) = (slot as usize, self.rounds + 1);
        if self.noted.len() <= slot {
            self.noted.resize(slot + 1, 0);
        }
        if mem::replace(&mut self.noted[slot], round) != round {
            self.open.slots.push(slot as u32);
        }
    }

    /// Takes note that a key has left that a file may still say something of.
    pub fn note_gone(&mut self, key: &[u8], start: i64) {
        self.open.gone.push((key.into(), start));
    }

    /// Takes note of what the next of the files says that were there already.
    pub fn restored(&mut self, entries: Entries) {
        self.files.push(entries);
    }

    /// Takes note that what the files hold is of no use for those to come: the next one holds all that lives.
    pub fn write_anew(&mut self) {
        self.anew = true;
    }

    /// Whether there are any files.
    pub fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// The slots that changed since the last file; some may have left.
    pub fn open(&self) -> &[u32] {
        &self.open.slots
    }

    /// Says what the next file must hold, of `live_slots` slots for which `is_live`. `None`: nothing changed, and all files stay.
    pub fn cut(&mut self, live_slots: usize, is_live: impl Fn(u32) -> bool) -> Option<Cut> {
        self.rounds += 1;
        let Entries { mut slots, mut gone } = mem::take(&mut self.open);
        let held: usize = self.files.iter().map(Entries::len).sum();
        let stale = held > SMALL.max(live_slots * STALE) || live_slots == 0;
        let anew = mem::take(&mut self.anew);
        if slots.is_empty() && gone.is_empty() && !anew && (!stale || self.files.is_empty()) {
            return None;
        }
        let kept = if stale || anew { 0 } else { self.kept(slots.len() + gone.len()) };
        for file in self.files.drain(kept..).rev() {
            slots.extend(file.slots);
            gone.extend(file.gone);
        }
        slots.sort_unstable();
        slots.dedup();
        slots.retain(|&slot| is_live(slot));
        if self.files.is_empty() {
            // There is nothing below that anything could be taken away from.
            gone.clear();
        }
        let cut = Cut { kept, entries: Entries { slots, gone } };
        if cut.entries.len() > 0 {
            self.files.push(cut.entries.clone());
        }
        Some(cut)
    }
}

impl Changes {
    /// How many of the files stay beside one of so many entries.
    fn kept(&self, mut entries: usize) -> usize {
        let mut kept = self.files.len();
        loop {
            let alike = self.files[..kept].iter().rev().take_while(|file| file.len() <= ALIKE * entries).count();
            if alike + 1 < RUN {
                return kept;
            }
            entries += self.files[kept - alike..kept].iter().map(Entries::len).sum::<usize>();
            kept -= alike;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(changes: &mut Changes, slots: impl IntoIterator<Item = u32>, live: u32) -> Option<Cut> {
        slots.into_iter().for_each(|slot| changes.note(slot));
        changes.cut(live as usize, |slot| slot < live)
    }

    #[test]
    fn a_commit_costs_by_what_changed_and_files_stay_few() {
        for keys in [100, 1000, 10_000, 100_000] {
            let mut changes = Changes::default();
            assert_eq!(cut(&mut changes, 0..keys, keys).unwrap().kept, 0);
            let (mut written, mut files) = (0, 0);
            let mut random = fastrand::Rng::with_seed(7);
            for _ in 0..1000 {
                let slots: Vec<u32> = (0..100).map(|_| random.u32(0..keys)).collect();
                let cut = cut(&mut changes, slots, keys).unwrap();
                written += cut.entries.slots.len();
                files = files.max(cut.kept + 1);
            }
            // Three powers of eight are in a thousand, and a bit.
            assert!(files <= 24, "{files} files at once of {keys} keys");
            assert!(written < 1000 * 100 * 7 / 2, "{written} slots written for 100,000 changes of {keys} keys");
        }
    }

    #[test]
    fn every_change_is_in_a_file_that_no_older_one_goes_over() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut changes = Changes::default();
        // What each file says of each slot, and what is true.
        let (mut files, mut truth): (Vec<Vec<(u32, u64)>>, Vec<u64>) = (Vec::new(), vec![0; 500]);
        for round in 1..500 {
            let slots: Vec<u32> = (0..random.usize(0..60)).map(|_| random.u32(0..500)).collect();
            slots.iter().for_each(|&slot| truth[slot as usize] = round);
            if let Some(Cut { kept, entries }) = cut(&mut changes, slots, 500) {
                files.truncate(kept);
                files.push(entries.slots.iter().map(|&slot| (slot, truth[slot as usize])).collect());
            }
            let mut read = vec![0; 500];
            files.iter().flatten().for_each(|&(slot, value)| read[slot as usize] = value);
            assert_eq!(read, truth);
        }
    }

    #[test]
    fn what_has_left_leaves_the_files_too() {
        let mut changes = Changes::default();
        cut(&mut changes, 0..100_000, 100_000);
        let cut = cut(&mut changes, [5], 10).unwrap();
        assert_eq!((cut.kept, cut.entries.slots), (0, (0..10).collect()), "the old file is not worth its place");
        let empty = changes.cut(0, |_| false).unwrap();
        assert_eq!((empty.kept, empty.entries.len()), (0, 0));
        assert_eq!(changes.cut(0, |_| false), None);
    }

    #[test]
    fn what_is_written_anew_holds_all_that_lives_and_nothing_stays_below_it() {
        let mut changes = Changes::default();
        cut(&mut changes, 0..1000, 1000);
        cut(&mut changes, [3, 4], 1000);
        changes.write_anew();
        let anew = changes.cut(1000, |slot| slot != 7).unwrap();
        assert_eq!((anew.kept, anew.entries.slots.len(), anew.entries.gone.len()), (0, 999, 0));
        assert_eq!(changes.cut(999, |_| true), None, "once");
        // Files that nobody has told of stay no more than others.
        let mut none = Changes::default();
        none.write_anew();
        assert_eq!(none.cut(0, |_| false), Some(Cut { kept: 0, entries: Entries::default() }));
    }

    #[test]
    fn a_key_that_left_is_named_as_long_as_a_file_below_may_hold_it() {
        let mut changes = Changes::default();
        cut(&mut changes, 0..1000, 1000);
        changes.note_gone(b"a", 7);
        let named = changes.cut(1000, |_| true).unwrap();
        assert_eq!((named.kept, named.entries.gone.len()), (1, 1));
        let more: Vec<Cut> = (0..6).map(|_| cut(&mut changes, 0..1000, 1000).unwrap()).collect();
        let places: Vec<_> = more.iter().map(|cut| (cut.kept, cut.entries.gone.len())).collect();
        assert_eq!(places, [(2, 0), (3, 0), (4, 0), (5, 0), (0, 0), (1, 0)]);
    }
}
