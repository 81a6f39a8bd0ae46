//! Rows that were seen, each by a digest of 128 bits in place of what it holds, until a time.
//!
//! A digest is SipHash-1-3 under a key that was drawn when the table was empty and that its files keep: whoever sends records doesn't
//! know it, so can't look for two rows with the same digest. Two of n rows have one with a probability of n² / 2^129, whatever
//! they hold: 10^-21 for a thousand million of them. Then the second counts as a double though it is none.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, BooleanArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use hashbrown::{HashTable, hash_table};
use siphasher::sip128::SipHasher13;

use super::changes::{Changes, Cut};
use super::ends::Ends;
use super::key_columns::{KeyBytes, KeyColumns, KeyRows};
use super::keys::{Entry, spread};
use super::table::{Delta, END, GONE, KEY, START};
use crate::batch::{Field, RecordBatch, Schema, SchemaRef, data_type};

/// The column of digests, but for its prefix.
pub(super) const DIGEST: &str = "digest";
/// Under this name the schema of a file says the key of its digests, 32 hexadecimal digits.
const DIGEST_KEY: &str = "rillgate.digest_key";
/// Rows in one file: Arrow counts the bytes of a column of digests to 2 GiB.
const MAX_FILE_ROWS: usize = i32::MAX as usize / size_of::<u128>();
/// The end of a slot that is free.
const FREE: i64 = i64::MIN;

/// Digests of rows, and until when each is remembered.
#[derive(Debug)]
pub struct Seen {
    columns: KeyColumns,
    hasher: SipHasher13,
    table: HashTable<Entry>,
    /// By slot.
    digests: Vec<u128>,
    /// By slot: microseconds of event time.
    untils: Vec<i64>,
    free: Vec<u32>,
    ends: Ends,
    changes: Changes,
    file_schema: SchemaRef,
    /// What [`Self::digests`] hashes.
    keys: KeyBytes,
}

/// A row that was seen, or that is now.
#[derive(Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is new: to this slot.
    New(u32),
    /// It was seen before, and is remembered until then.
    Known(u32, i64),
}

impl Seen {
    /// Nothing was seen.
    pub fn new(columns: KeyColumns) -> Self {
        // The standard library's seeds come from the system's source of randomness, and each differs from those before it.
        let half = || RandomState::new().hash_one(0_u64);
        let hasher = SipHasher13::new_with_keys(half(), half());
        Self {
            columns,
            hasher,
            table: HashTable::new(),
            digests: Vec::new(),
            untils: Vec::new(),
            free: Vec::new(),
            ends: Ends::default(),
            changes: Changes::default(),
            file_schema: file_schema(&hasher),
            keys: KeyBytes::default(),
        }
    }

    /// Rows that are remembered.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// About how much memory it takes.
    pub fn memory_bytes(&self) -> usize {
        let slot = size_of::<u128>() + size_of::<i64>() + 3 * size_of::<u32>();
        self.table.capacity() * (size_of::<Entry>() + 1) + self.digests.capacity() * slot
    }

    /// The columns of a file: those of a [`super::Table`] whose key is the digest, and which has no values.
    pub fn file_schema(&self) -> &SchemaRef {
        &self.file_schema
    }

    /// The columns that make a row the same as another.
    ///
    /// # Errors
    /// Columns of other types than were announced.
    pub fn rows(&self, table: &RecordBatch) -> Result<KeyRows, ArrowError> {
        self.columns.rows(table)
    }

    /// The digests of some rows, in place of what `into` held.
    pub fn digests(&mut self, rows: &KeyRows, of: impl Iterator<Item = usize>, into: &mut Vec<u128>) {
        rows.put(of, &mut self.keys);
        into.clear();
        into.extend(self.keys.iter().map(|key| self.hasher.hash(key).as_u128()));
    }

    /// Looks for a digest, and puts it there until this time if it isn't.
    pub fn note(&mut self, digest: u128, until: i64) -> Noted {
        let tag = digest as u32;
        let same = |entry: &Entry| entry.tag == tag && self.digests[entry.slot as usize] == digest;
        let place = match self.table.entry(spread(tag), same, Entry::hash) {
            hash_table::Entry::Occupied(known) => {
                let slot = known.get().slot;
                return Noted::Known(slot, self.untils[slot as usize]);
            }
            hash_table::Entry::Vacant(place) => place,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.digests[slot as usize] = digest;
                self.untils[slot as usize] = until;
                slot
            }
            None => {
                self.digests.push(digest);
                self.untils.push(until);
                (self.digests.len() - 1) as u32
            }
        };
        place.insert(Entry { tag, slot });
        self.ends.note(slot, until);
        Noted::New(slot)
    }

    /// Remembers until another time what is remembered.
    pub fn set_until(&mut self, slot: u32, until: i64) {
        self.untils[slot as usize] = until;
        self.ends.note(slot, until);
    }

    /// Takes note that a slot is to be written.
    pub fn note_change(&mut self, slot: u32) {
        self.changes.note(slot);
    }

    /// Forgets what is in a slot.
    pub fn remove(&mut self, slot: u32) {
        if self.untils[slot as usize] == FREE {
            return;
        }
        let tag = self.digests[slot as usize] as u32;
        if let Ok(found) = self.table.find_entry(spread(tag), |entry| entry.slot == slot) {
            found.remove();
        }
        self.untils[slot as usize] = FREE;
        self.free.push(slot);
        if self.table.is_empty() {
            // What a burst of rows took doesn't stay for ever.
            self.table = HashTable::new();
            (self.digests, self.untils, self.free) = Default::default();
            self.ends = Ends::default();
        }
    }

    /// Forgets what is over by `until`, but for what ends shortly before it: within the second. Cheap where there is nothing.
    pub fn forget_before(&mut self, until: i64) {
        for slot in self.ends.take_before(until) {
            // An end that has moved is noted again where it is.
            if self.untils.get(slot as usize).is_some_and(|&end| end <= until) {
                self.remove(slot);
            }
        }
    }

    /// Ends an epoch: forgets what is over by `until`, and says what has changed since the one before.
    ///
    /// # Errors
    /// None that Arrow should have.
    pub fn cut(&mut self, until: i64) -> Result<Option<Delta>, ArrowError> {
        for slot in self.ends.within(i64::MIN, until) {
            if self.untils.get(slot as usize).is_some_and(|&end| end <= until) {
                self.remove(slot);
            }
        }
        let untils = &self.untils;
        let is_over = |slot: u32| untils.get(slot as usize).is_none_or(|&end| end <= until);
        self.ends.forget(until, is_over);
        let Some(Cut { kept, entries }) = self.changes.cut(self.table.len(), |slot| !is_over(slot)) else {
            return Ok(None);
        };
        let file = if entries.slots.is_empty() { None } else { Some(self.file(&entries.slots)?) };
        Ok(Some(Delta { kept, file }))
    }

    fn file(&self, slots: &[u32]) -> Result<RecordBatch, ArrowError> {
        if slots.len() > MAX_FILE_ROWS {
            let (rows, most) = (slots.len(), MAX_FILE_ROWS);
            return Err(ArrowError::ComputeError(format!(
                "{rows} rows to be remembered for `dedup`, and {most} are the most"
            )));
        }
        let mut digests = BinaryBuilder::with_capacity(slots.len(), slots.len() * size_of::<u128>());
        slots.iter().for_each(|&slot| digests.append_value(self.digests[slot as usize].to_be_bytes()));
        let untils = slots.iter().map(|&slot| self.untils[slot as usize]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(digests.finish()),
            new_null_array(self.file_schema.field(1).data_type(), slots.len()),
            Arc::new(TimestampMicrosecondArray::from_iter_values(untils).with_timezone("UTC")),
            Arc::new(BooleanArray::from(vec![false; slots.len()])),
        ];
        RecordBatch::try_new(Arc::clone(&self.file_schema), columns)
    }

    /// Takes in a file that was written before, after all those before it. `is_over` tells ends that are past; all others move by
    /// `later_us`, and then nothing stays of the file at the next cut.
    ///
    /// # Errors
    /// Columns that aren't those of [`Self::file_schema`], or digests under no key or another.
    pub fn restore(
        &mut self,
        batches: &[RecordBatch],
        is_over: impl Fn(i64) -> bool,
        later_us: i64,
    ) -> Result<(), ArrowError> {
        let odd = |what: &str| ArrowError::SchemaError(format!("rows that were seen, {what}"));
        let mut entries = super::changes::Entries::default();
        for batch in batches {
            let key = batch.schema_ref().metadata().get(DIGEST_KEY).filter(|key| key.len() == 32);
            let key = key.and_then(|key| u128::from_str_radix(key, 16).ok());
            let key = key.ok_or_else(|| odd("without the key of their digests"))?.to_le_bytes();
            if key != self.hasher.key() {
                if self.changes.has_files() || !self.table.is_empty() {
                    return Err(odd("under two keys"));
                }
                self.hasher = SipHasher13::new_with_key(&key);
                self.file_schema = file_schema(&self.hasher);
            }
            let digests = batch.column(0).as_binary_opt::<i32>();
            let ends = batch.column(2).as_primitive_opt::<TimestampMicrosecondType>();
            let (Some(digests), Some(ends)) = (digests, ends) else { return Err(odd("of other columns")) };
            for (digest, &until) in digests.iter().zip(ends.values()) {
                let digest = digest.and_then(|digest| digest.try_into().ok()).map(u128::from_be_bytes);
                let digest = digest.ok_or_else(|| odd("with a digest that is none"))?;
                let (before, until) = (until, until.saturating_add(later_us));
                if is_over(before) || is_over(until) {
                    continue;
                }
                let slot = match self.note(digest, until) {
                    Noted::New(slot) => slot,
                    Noted::Known(slot, _) => {
                        self.set_until(slot, until);
                        slot
                    }
                };
                entries.slots.push(slot);
            }
        }
        self.changes.restored(entries);
        if later_us != 0 {
            self.changes.write_anew();
        }
        Ok(())
    }
}

/// The columns of a file, and the key that its digests are under.
fn file_schema(hasher: &SipHasher13) -> SchemaRef {
    let time = data_type("timestamp").expect("is in COLUMN_TYPES");
    let fields = vec![
        Field::new(format!("{KEY}{DIGEST}"), data_type("binary").expect("is in COLUMN_TYPES"), false),
        Field::new(START, time.clone(), true),
        Field::new(END, time, true),
        Field::new(GONE, data_type("boolean").expect("is in COLUMN_TYPES"), false),
    ];
    let key = [(DIGEST_KEY.to_owned(), format!("{:032x}", u128::from_le_bytes(hasher.key())))];
    Arc::new(Schema::new_with_metadata(fields, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{decode, encode};
    use arrow::array::Int64Array;

    const SECOND: i64 = 1 << 20;

    fn batch(values: std::ops::Range<i64>) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("n", data_type("int64").unwrap(), false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap()
    }

    fn seen() -> Seen {
        Seen::new(KeyColumns::new(&batch(0..0).schema(), &["n".to_owned()]).unwrap())
    }

    fn digests(seen: &mut Seen, values: std::ops::Range<i64>) -> Vec<u128> {
        let (rows, mut digests) = (seen.rows(&batch(values.clone())).unwrap(), vec![7]);
        seen.digests(&rows, 0..values.count(), &mut digests);
        digests
    }

    /// Whether each is new.
    fn note(seen: &mut Seen, values: std::ops::Range<i64>, until: impl Fn(i64) -> i64) -> Vec<bool> {
        let digests = digests(seen, values.clone());
        let note = |(digest, value)| match seen.note(digest, until(value)) {
            Noted::New(slot) => {
                seen.note_change(slot);
                true
            }
            Noted::Known(..) => false,
        };
        digests.into_iter().zip(values).map(note).collect()
    }

    #[test]
    fn rows_are_known_until_they_are_over() {
        let mut seen = seen();
        let until = |value: i64| value * SECOND;
        assert_eq!(note(&mut seen, 1..1001, until), [true; 1000]);
        assert_eq!(note(&mut seen, 1..1001, until), [false; 1000]);
        seen.forget_before(500 * SECOND + 5);
        assert_eq!(seen.len(), 501, "of the second that it is in nothing goes");
        assert_eq!(note(&mut seen, 1..1001, until).iter().filter(|new| **new).count(), 499);
        seen.cut(500 * SECOND).unwrap();
        assert_eq!(seen.len(), 500);
        // An end that has moved counts where it is now.
        let digest = digests(&mut seen, 600..601)[0];
        let Noted::Known(slot, end) = seen.note(digest, 0) else { panic!("it is known") };
        assert_eq!(end, 600 * SECOND);
        seen.set_until(slot, 2000 * SECOND);
        seen.forget_before(1001 * SECOND);
        assert_eq!(seen.len(), 1);
        assert_eq!(note(&mut seen, 599..602, until), [true, false, true]);
        seen.cut(3000 * SECOND).unwrap();
        assert!(seen.is_empty() && seen.digests.is_empty());
    }

    #[test]
    fn what_was_written_is_known_again_and_under_its_own_key_only() {
        let mut first = seen();
        let mut files = Vec::new();
        for from in [0, 2000, 2500] {
            note(&mut first, from..from + 1000, |value| value);
            let Delta { kept, file } = first.cut(-1).unwrap().unwrap();
            files.truncate(kept);
            files.push(encode(&file.unwrap(), "test").unwrap());
        }
        let read = |file: &bytes::Bytes, seen: &Seen| decode(file.clone(), "test", seen.file_schema()).unwrap();
        let mut second = seen();
        let own = second.file_schema().clone();
        for file in &files {
            second.restore(&read(file, &second), |until| until < 500, 0).unwrap();
        }
        assert_eq!(second.len(), 2000);
        assert_eq!(note(&mut second, 0..500, |value| value), [true; 500], "they were over");
        assert_eq!(note(&mut second, 500..1000, |value| value), [false; 500]);
        assert_eq!(note(&mut second, 2000..3500, |value| value), [false; 1500]);

        let mut other = seen();
        note(&mut other, 0..1, |value| value);
        let foreign = encode(&other.cut(-1).unwrap().unwrap().file.unwrap(), "test").unwrap();
        let error = second.restore(&read(&foreign, &second), |_| true, 0).unwrap_err();
        assert!(error.to_string().contains("under two keys"), "{error}");
        let plain = own.as_ref().clone().with_metadata(std::collections::HashMap::<String, String>::new());
        let without = RecordBatch::new_empty(Arc::new(plain));
        let error = seen().restore(&[without], |_| true, 0).unwrap_err();
        assert!(error.to_string().contains("without the key"), "{error}");
    }

    #[test]
    fn each_table_draws_a_key_of_its_own() {
        let digests: std::collections::HashSet<_> = (0..100).map(|_| digests(&mut seen(), 7..8)).collect();
        assert_eq!(digests.len(), 100);
    }
}
