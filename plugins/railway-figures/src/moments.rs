//! A set of moments, to the second, each with how often it was: the bytes of a state. It is bounded by the seconds of a window, however
//! many records there are, and has an entry of twelve bytes for each second that something happened in.

/// A second since 1970-01-01T00:00:00Z, and how often: both little-endian, sorted by the second.
const ENTRY: usize = 8 + 4;

/// Takes `count` more moments in a second.
pub fn add(moments: &mut Vec<u8>, second: i64, count: u32) {
    let (entries, _) = moments.as_chunks_mut::<ENTRY>();
    match entries.binary_search_by_key(&second, |entry| read(entry).0) {
        Ok(found) => {
            let entry = &mut entries[found];
            let (_, before) = read(entry);
            entry[8..].copy_from_slice(&before.saturating_add(count).to_le_bytes());
        }
        Err(place) => {
            let at = place * ENTRY;
            moments.splice(at..at, second.to_le_bytes().into_iter().chain(count.to_le_bytes()));
        }
    }
}

/// Takes all moments of `others`.
pub fn merge(moments: &mut Vec<u8>, others: &[u8]) {
    iter(others).for_each(|(second, count)| add(moments, second, count));
}

/// The seconds in order, and how often each was.
pub fn iter(moments: &[u8]) -> impl Iterator<Item = (i64, u32)> {
    moments.as_chunks::<ENTRY>().0.iter().map(read)
}

/// The first second from `second` on.
pub fn first_from(moments: &[u8], second: i64) -> Option<i64> {
    let (entries, _) = moments.as_chunks::<ENTRY>();
    entries.get(entries.partition_point(|entry| read(entry).0 < second)).map(|entry| read(entry).0)
}

fn read(entry: &[u8; ENTRY]) -> (i64, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
    (i64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_sorted_and_counted_however_they_come() {
        let mut moments = Vec::new();
        [5, -3, 9, 5, 7, 5].into_iter().for_each(|second| add(&mut moments, second, 1));
        let mut others = Vec::new();
        [9, 8].into_iter().for_each(|second| add(&mut others, second, 2));
        merge(&mut moments, &others);
        assert_eq!(iter(&moments).collect::<Vec<_>>(), [(-3, 1), (5, 3), (7, 1), (8, 2), (9, 3)]);
        assert_eq!(moments.len(), 5 * ENTRY);
        assert_eq!(
            [-9, -3, 6, 9, 10].map(|second| first_from(&moments, second)),
            [Some(-3), Some(-3), Some(7), Some(9), None]
        );
    }

    #[test]
    fn a_second_that_is_full_stays_full() {
        let mut moments = Vec::new();
        add(&mut moments, 1, u32::MAX);
        add(&mut moments, 1, 1);
        assert_eq!(iter(&moments).collect::<Vec<_>>(), [(1, u32::MAX)]);
    }
}
