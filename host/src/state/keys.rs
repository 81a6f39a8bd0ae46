//! Keys and their slots: dense numbers that whatever is kept for a key is indexed by.
//!
//! A key is bytes (see `key_columns`) and the span of event time that it holds for: the window of a group, or the
//! time that a record is remembered for. What never happens: a slot changes its number while its key lives; two live
//! slots have the same bytes and the same start.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ends::Ends;

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

/// A slot, and what tells most others from it without a look at their keys: neither looking for one nor growing goes to the keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) tag: u32,
    pub(super) slot: u32,
}

impl Entry {
    /// What the table goes by: its low bits and its highest seven.
    pub(super) fn hash(&self) -> u64 {
        spread(self.tag)
    }
}

/// All 64 bits depend on the tag.
pub(super) fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What lies together since it is looked at together.
#[derive(Debug)]
struct Slot {
    /// `None` for one that is free.
    key: Option<Box<[u8]>>,
    span: Span,
}

/// Keys and their slots.
#[derive(Debug)]
pub struct Keys {
    lookup: Lookup,
    /// Whoever sends records doesn't know it, so can't choose keys that collide.
    seed: u64,
    table: HashTable<Entry>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    ends: Ends,
    key_bytes: usize,
}

impl Keys {
    /// No keys.
    pub fn new(lookup: Lookup) -> Self {
        Self {
            lookup,
            seed: RandomState::new().hash_one(0_u64),
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            ends: Ends::default(),
            key_bytes: 0,
        }
    }

    /// How it is looked for keys.
    pub fn lookup(&self) -> Lookup {
        self.lookup
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
        let slot = size_of::<Slot>() + 2 * size_of::<u32>();
        self.key_bytes + self.table.capacity() * (size_of::<Entry>() + 1) + self.slots.capacity() * slot
    }

    /// The bytes of a slot's key; `None` for a slot that is free.
    pub fn key(&self, slot: u32) -> Option<&[u8]> {
        self.slots.get(slot as usize)?.key.as_deref()
    }

    /// The span of a slot.
    pub fn span(&self, slot: u32) -> Span {
        self.slots[slot as usize].span
    }

    /// The slot of a key, and whether it is new.
    pub fn find_or_add(&mut self, key: &[u8], span: Span) -> (u32, bool) {
        self.find_or_add_tagged(self.tag(key, span.start), key, span)
    }

    /// The same for a key whose tag is known.
    pub fn find_or_add_tagged(&mut self, tag: u32, key: &[u8], span: Span) -> (u32, bool) {
        match self.find_tagged(tag, key, span.start) {
            Some(slot) => (slot, false),
            None => (self.add(tag, key, span), true),
        }
    }

    /// The slot of a key.
    pub fn find(&self, key: &[u8], start: i64) -> Option<u32> {
        self.find_tagged(self.tag(key, start), key, start)
    }

    /// The slot of a key, which is put there with this span if it isn't, or given its end.
    pub fn put(&mut self, key: &[u8], span: Span) -> u32 {
        let (slot, _) = self.find_or_add(key, span);
        self.set_end(slot, span.end);
        slot
    }

    /// Gives a live key another end.
    pub fn set_end(&mut self, slot: u32, end: i64) {
        if self.slots[slot as usize].span.end != end {
            self.slots[slot as usize].span.end = end;
            self.ends.note(slot, end);
        }
    }

    /// All slots of the same bytes, for [`Lookup::ByKey`].
    pub fn find_all(&self, key: &[u8]) -> impl Iterator<Item = u32> {
        debug_assert_eq!(self.lookup, Lookup::ByKey);
        let tag = self.tag(key, 0);
        let slots = self.table.iter_hash(spread(tag)).filter(move |entry| entry.tag == tag);
        slots.map(|entry| entry.slot).filter(move |&slot| self.key(slot) == Some(key))
    }

    /// What [`Self::find_or_add_tagged`] wants: of this table's own seed.
    pub fn tag(&self, key: &[u8], start: i64) -> u32 {
        let seed = match self.lookup {
            Lookup::ByStart => self.seed ^ start as u64,
            Lookup::ByKey => self.seed,
        };
        xxh3_64_with_seed(key, seed) as u32
    }

    fn find_tagged(&self, tag: u32, key: &[u8], start: i64) -> Option<u32> {
        let same = |entry: &Entry| {
            let slot = &self.slots[entry.slot as usize];
            entry.tag == tag && slot.span.start == start && slot.key.as_deref() == Some(key)
        };
        Some(self.table.find(spread(tag), same)?.slot)
    }

    fn add(&mut self, tag: u32, key: &[u8], span: Span) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { key: None, span });
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Slot { key: Some(key.into()), span };
        self.key_bytes += key.len();
        self.table.insert_unique(spread(tag), Entry { tag, slot }, Entry::hash);
        self.ends.note(slot, span.end);
        slot
    }

    /// Gives a live key another span. For [`Lookup::ByKey`]: otherwise it couldn't be found again.
    pub fn set_span(&mut self, slot: u32, span: Span) {
        debug_assert_eq!(self.lookup, Lookup::ByKey);
        self.slots[slot as usize].span = span;
        self.ends.note(slot, span.end);
    }

    /// Frees a slot.
    pub fn remove(&mut self, slot: u32) {
        let Some(key) = self.slots[slot as usize].key.take() else { return };
        let tag = self.tag(&key, self.slots[slot as usize].span.start);
        if let Ok(found) = self.table.find_entry(spread(tag), |entry| entry.slot == slot) {
            found.remove();
        }
        self.key_bytes -= key.len();
        self.free.push(slot);
        if self.table.is_empty() {
            // What a burst of keys took doesn't stay for ever.
            *self = Self { seed: self.seed, ..Self::new(self.lookup) };
        }
    }

    /// The slots whose end is in `(after, until]`, each once, in ascending order of their slots.
    pub fn ending(&self, after: i64, until: i64) -> Vec<u32> {
        let is_ending = |slot: &u32| {
            let end = self.slots[*slot as usize].span.end;
            self.key(*slot).is_some() && after < end && end <= until
        };
        let mut slots = self.ends.within(after, until);
        slots.retain(is_ending);
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Frees every slot whose end is `until` or before it.
    pub fn remove_ended(&mut self, until: i64) {
        for slot in self.ending(i64::MIN, until) {
            self.remove(slot);
        }
        let slots = &self.slots;
        self.ends.forget(until, |slot| slots[slot as usize].key.is_none() || slots[slot as usize].span.end <= until);
    }

    /// All live slots.
    pub fn live(&self) -> impl Iterator<Item = u32> {
        self.table.iter().map(|entry| entry.slot)
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
