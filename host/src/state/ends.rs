//! Slots by the time that they are over.

use std::collections::BTreeMap;

/// Ends are looked for by buckets of 2^20 microseconds, about a second.
const BUCKET_BITS: u32 = 20;

/// Slots by the bucket of their end. Where an end has moved or a slot was freed, what is here is out of date: whoever reads it
/// looks at the slot.
#[derive(Debug, Default)]
pub(super) struct Ends(BTreeMap<i64, Vec<u32>>);

impl Ends {
    /// Takes note that a slot has this end now; `i64::MAX`: none.
    pub(super) fn note(&mut self, slot: u32, end: i64) {
        if end != i64::MAX {
            self.0.entry(end >> BUCKET_BITS).or_default().push(slot);
        }
    }

    /// Slots whose end may be in `(after, until]`; some twice.
    pub(super) fn within(&self, after: i64, until: i64) -> Vec<u32> {
        if after >= until {
            return Vec::new();
        }
        let buckets = self.0.range(after >> BUCKET_BITS..=until >> BUCKET_BITS);
        buckets.flat_map(|(_, slots)| slots).copied().collect()
    }

    /// Forgets the slots whose ends, as they were noted, are in buckets before that of `until`, and of that bucket those that `is_over`.
    pub(super) fn forget(&mut self, until: i64, is_over: impl Fn(u32) -> bool) {
        let bucket = until >> BUCKET_BITS;
        self.0 = self.0.split_off(&bucket);
        if let Some(slots) = self.0.get_mut(&bucket) {
            slots.retain(|&slot| !is_over(slot));
        }
    }

    /// Takes all slots whose ends, as they were noted, are in buckets that are over by `until` as a whole.
    pub(super) fn take_before(&mut self, until: i64) -> Vec<u32> {
        let mut taken = Vec::new();
        while let Some(first) = self.0.first_entry().filter(|first| *first.key() < until >> BUCKET_BITS) {
            taken.extend(first.remove());
        }
        taken
    }
}
