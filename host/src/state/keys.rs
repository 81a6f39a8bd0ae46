//! Keys and their slots: dense numbers that whatever is kept for a key is indexed by.
//!
//! A key is bytes (columns in Arrow's row format) and the span of event time that it holds for: the window of a group, or the
//! time that a record is remembered for. What never happens: a slot changes its number while its key lives; two live
//! slots have the same bytes and the same start.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Ends are looked for by buckets of 2^20 microseconds, about a second.
const BUCKET_BITS: u32 = 20;

/// Microseconds of event time, since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub start: i64,
    /// The one after the last; `i64::MAX`: for ever.
    pub end: i64,
}

impl Span {
    /// Of what has no window.
    pub const ALWAYS: Self = Self { start: i64::MIN, end: i64::MAX };
}

/// How keys are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// By their bytes and their start: one look finds a key.
    ByStart,
    /// By their bytes: all spans of a key are found together, for spans that grow.
    ByKey,
}

/// Keys and their slots.
#[derive(Debug)]
pub struct Keys {
    lookup: Lookup,
    /// Whoever sends records doesn't know it, so can't choose keys that collide.
    seed: u64,
    table: HashTable<u32>,
    /// By slot; `None` for one that is free.
    keys: Vec<Option<Box<[u8]>>>,
    spans: Vec<Span>,
    free: Vec<u32>,
    /// Slots by the bucket of their end. Where an end has moved or a slot was freed, what is here is out of date: whoever reads it
    /// looks at the slot.
    ends: BTreeMap<i64, Vec<u32>>,
    key_bytes: usize,
}

impl Keys {
    /// No keys.
    pub fn new(lookup: Lookup) -> Self {
        Self {
            lookup,
            seed: RandomState::new().hash_one(0_u64),
            table: HashTable::new(),
            keys: Vec::new(),
            spans: Vec::new(),
            free: Vec::new(),
            ends: BTreeMap::new(),
            key_bytes: 0,
        }
    }

    /// Live keys.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// About how much memory it takes.
    pub fn memory_bytes(&self) -> usize {
        let slot = size_of::<Option<Box<[u8]>>>() + size_of::<Span>() + 2 * size_of::<u32>();
        self.key_bytes + self.table.capacity() * (size_of::<u32>() + 1) + self.keys.capacity() * slot
    }

    /// The bytes of a slot's key; `None` for a slot that is free.
    pub fn key(&self, slot: u32) -> Option<&[u8]> {
        self.keys.get(slot as usize)?.as_deref()
    }

    /// The span of a slot.
    pub fn span(&self, slot: u32) -> Span {
        self.spans[slot as usize]
    }

    /// The slot of a key, and whether it is new.
    pub fn find_or_add(&mut self, key: &[u8], span: Span) -> (u32, bool) {
        let hash = hash(self.lookup, self.seed, key, span.start);
        match self.find_hashed(hash, key, span.start) {
            Some(slot) => (slot, false),
            None => (self.add(hash, key, span), true),
        }
    }

    /// The slot of a key.
    pub fn find(&self, key: &[u8], start: i64) -> Option<u32> {
        self.find_hashed(hash(self.lookup, self.seed, key, start), key, start)
    }

    /// The slot of a key, which is put there with this span if it isn't, or given its end.
    pub fn put(&mut self, key: &[u8], span: Span) -> u32 {
        let (slot, _) = self.find_or_add(key, span);
        self.set_end(slot, span.end);
        slot
    }

    /// Gives a live key another end.
    pub fn set_end(&mut self, slot: u32, end: i64) {
        if self.spans[slot as usize].end != end {
            self.spans[slot as usize].end = end;
            self.note_end(slot);
        }
    }

    /// All slots of the same bytes, for [`Lookup::ByKey`].
    pub fn find_all(&self, key: &[u8]) -> impl Iterator<Item = u32> {
        debug_assert_eq!(self.lookup, Lookup::ByKey);
        let slots = self.table.iter_hash(hash(self.lookup, self.seed, key, 0));
        slots.copied().filter(move |&slot| self.key(slot) == Some(key))
    }

    fn find_hashed(&self, hash: u64, key: &[u8], start: i64) -> Option<u32> {
        let same = |&slot: &u32| self.spans[slot as usize].start == start && self.key(slot) == Some(key);
        self.table.find(hash, same).copied()
    }

    fn add(&mut self, hash: u64, key: &[u8], span: Span) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.keys.push(None);
            self.spans.push(Span::ALWAYS);
            (self.keys.len() - 1) as u32
        });
        self.keys[slot as usize] = Some(key.into());
        self.spans[slot as usize] = span;
        self.key_bytes += key.len();
        let rehash = rehash(self.lookup, self.seed, &self.keys, &self.spans);
        self.table.insert_unique(hash, slot, rehash);
        self.note_end(slot);
        slot
    }

    /// Gives a live key another span. For [`Lookup::ByKey`]: otherwise it couldn't be found again.
    pub fn set_span(&mut self, slot: u32, span: Span) {
        debug_assert_eq!(self.lookup, Lookup::ByKey);
        self.spans[slot as usize] = span;
        self.note_end(slot);
    }

    /// Frees a slot.
    pub fn remove(&mut self, slot: u32) {
        let Some(key) = self.keys[slot as usize].take() else { return };
        let hash = hash(self.lookup, self.seed, &key, self.spans[slot as usize].start);
        if let Ok(found) = self.table.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        self.key_bytes -= key.len();
        self.free.push(slot);
        if self.table.is_empty() {
            // What a burst of keys took doesn't stay for ever.
            *self = Self { seed: self.seed, ..Self::new(self.lookup) };
        }
    }

    fn note_end(&mut self, slot: u32) {
        let end = self.spans[slot as usize].end;
        if end != i64::MAX {
            self.ends.entry(end >> BUCKET_BITS).or_default().push(slot);
        }
    }

    /// The slots whose end is in `(after, until]`, each once, in ascending order of their slots.
    pub fn ending(&self, after: i64, until: i64) -> Vec<u32> {
        if after >= until {
            return Vec::new();
        }
        let buckets = self.ends.range(after >> BUCKET_BITS..=until >> BUCKET_BITS);
        let is_ending = |slot: &u32| {
            let end = self.spans[*slot as usize].end;
            self.key(*slot).is_some() && after < end && end <= until
        };
        let mut slots: Vec<u32> = buckets.flat_map(|(_, slots)| slots).copied().filter(is_ending).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Frees every slot whose end is `until` or before it.
    pub fn remove_ended(&mut self, until: i64) {
        for slot in self.ending(i64::MIN, until) {
            self.remove(slot);
        }
        // All that is left of these is out of date. The last bucket may hold later ends.
        self.ends = self.ends.split_off(&(until >> BUCKET_BITS));
        let (keys, spans) = (&self.keys, &self.spans);
        if let Some(last) = self.ends.get_mut(&(until >> BUCKET_BITS)) {
            last.retain(|&slot| keys[slot as usize].is_some() && spans[slot as usize].end > until);
        }
    }

    /// All live slots.
    pub fn live(&self) -> impl Iterator<Item = u32> {
        self.table.iter().copied()
    }
}

fn hash(lookup: Lookup, seed: u64, key: &[u8], start: i64) -> u64 {
    match lookup {
        Lookup::ByStart => xxh3_64_with_seed(key, seed ^ start as u64),
        Lookup::ByKey => xxh3_64_with_seed(key, seed),
    }
}

fn rehash(lookup: Lookup, seed: u64, keys: &[Option<Box<[u8]>>], spans: &[Span]) -> impl Fn(&u32) -> u64 {
    move |&slot| {
        let key = keys[slot as usize].as_deref().unwrap_or_default();
        hash(lookup, seed, key, spans[slot as usize].start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: i64, end: i64) -> Span {
        Span { start, end }
    }

    #[test]
    fn a_key_keeps_its_slot_until_it_is_removed() {
        let mut keys = Keys::new(Lookup::ByStart);
        let (first, new) = keys.find_or_add(b"a", span(0, 10));
        assert!(new);
        let (second, _) = keys.find_or_add(b"a", span(10, 20));
        assert_ne!(first, second, "another window is another key");
        for n in 0..10_000_i64 {
            keys.find_or_add(&n.to_be_bytes(), span(n, n + 1));
        }
        assert_eq!(keys.find_or_add(b"a", span(0, 10)), (first, false));
        assert_eq!(keys.find(b"a", 10), Some(second));
        keys.remove(first);
        assert_eq!((keys.find(b"a", 0), keys.key(first)), (None, None));
        assert_eq!(keys.find_or_add(b"b", span(5, 6)), (first, true), "its slot is used again");
        assert_eq!(keys.len(), 10_002);
    }

    #[test]
    fn ends_are_exact_and_each_is_found_once() {
        let mut keys = Keys::new(Lookup::ByKey);
        let slots: Vec<u32> = (0..100).map(|n: i64| keys.find_or_add(&n.to_be_bytes(), span(n, n << 16)).0).collect();
        keys.set_span(slots[7], span(7, 50 << 16));
        let mut ended: Vec<u32> = vec![slots[7]];
        ended.extend(&slots[41..=50]);
        assert_eq!(keys.ending(40 << 16, 50 << 16), ended);
        keys.remove_ended(50 << 16);
        assert_eq!(keys.len(), 49);
        assert!(keys.ending(i64::MIN, 50 << 16).is_empty());
        assert_eq!(keys.ending(i64::MIN, 51 << 16), [slots[51]]);
        keys.remove_ended(i64::MAX - 1);
        assert!(keys.is_empty());
    }

    #[test]
    fn spans_of_a_key_are_found_together() {
        let mut keys = Keys::new(Lookup::ByKey);
        let first = keys.find_or_add(b"a", span(0, 10)).0;
        let second = keys.find_or_add(b"a", span(20, 30)).0;
        keys.find_or_add(b"b", span(0, 10));
        keys.set_span(first, span(-5, 12));
        let mut all: Vec<u32> = keys.find_all(b"a").collect();
        all.sort_unstable();
        assert_eq!(all, [first, second]);
        assert_eq!(keys.find(b"a", -5), Some(first));
    }
}
