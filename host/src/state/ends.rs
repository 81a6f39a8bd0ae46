//! Slots by the time that they are over.

use std::collections::BTreeMap;

/// Ends are looked for by buckets of 2^20 microseconds, about a second.
const BUCKET_BITS: u32 = 20;

/// Slots by the bucket of their end. Where an end has moved or a slot was freed, what is here is out of date: whoever reads it
/// looks at the slot.
#[derive(Debug, Default)]
pub(super) struct Ends {
    buckets: BTreeMap<i64, Vec<u32>>,
    /// The bucket that was noted in last, out of the others: most ends come in rows of the same.
    last: (i64, Vec<u32>),
}

impl Ends {
    /// Takes note that a slot has this end now; `i64::MAX`: none.
    pub(super) fn note(&mut self, slot: u32, end: i64) {
        if end == i64::MAX {
            return;
        }
        let bucket = end >> BUCKET_BITS;
        if bucket != self.last.0 {
            self.put_back();
            self.last = (bucket, self.buckets.remove(&bucket).unwrap_or_default());
        }
        self.last.1.push(slot);
    }

    fn put_back(&mut self) {
        let (bucket, slots) = std::mem::take(&mut self.last);
        if !slots.is_empty() {
            self.buckets.entry(bucket).or_default().extend(slots);
        }
    }

    /// Slots whose end may be in `(after, until]`; some twice.
    pub(super) fn within(&self, after: i64, until: i64) -> Vec<u32> {
        if after >= until {
            return Vec::new();
        }
        let range = after >> BUCKET_BITS..=until >> BUCKET_BITS;
        let last = range.contains(&self.last.0).then_some(&self.last.1);
        self.buckets.range(range).map(|(_, slots)| slots).chain(last).flatten().copied().collect()
    }

    /// Forgets the slots whose ends, as they were noted, are in buckets before that of `until`, and of that bucket those that `is_over`.
    pub(super) fn forget(&mut self, until: i64, is_over: impl Fn(u32) -> bool) {
        self.put_back();
        self.buckets = self.buckets.split_off(&(until >> BUCKET_BITS));
        if let Some(first) = self.buckets.get_mut(&(until >> BUCKET_BITS)) {
            first.retain(|&slot| !is_over(slot));
        }
    }

    /// Takes all slots whose ends, as they were noted, are in buckets that are over by `until` as a whole.
    pub(super) fn take_before(&mut self, until: i64) -> Vec<u32> {
        let bucket = until >> BUCKET_BITS;
        let mut taken = Vec::new();
        if self.last.0 < bucket {
            taken.append(&mut self.last.1);
        }
        while let Some(first) = self.buckets.first_entry().filter(|first| *first.key() < bucket) {
            taken.extend(first.remove());
        }
        taken
    }
}
