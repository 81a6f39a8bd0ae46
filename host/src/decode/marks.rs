//! Where the delimiters of a line are, and whether it needs more than that: in steps of many bytes at once.
//!
//! Our own, because a line has a delimiter for each ten bytes: a search that begins anew behind each of them, as `memchr` does, takes four
//! times as long, and a CSV parser, which looks at each byte by itself, longer still.

/// Whether a line is ASCII without this quote and without line breaks.
pub(super) fn is_plain(line: &[u8], quote: u8) -> bool {
    // All bytes are looked at, so that the compiler can do many at once.
    !line.iter().fold(false, |odd, &byte| odd | (byte == quote) | (byte == b'\n') | (byte == b'\r') | !byte.is_ascii())
}

/// Puts where each byte like this is to `places`, as far as there is room. Returns how many there are.
pub(super) fn find_all(line: &[u8], byte: u8, places: &mut [usize]) -> usize {
    let mut found = 0;
    let mut note = |from: usize, mut bits: u64| {
        while bits != 0 {
            if let Some(place) = places.get_mut(found) {
                *place = from + bits.trailing_zeros() as usize;
            }
            found += 1;
            bits &= bits - 1;
        }
    };
    let (blocks, rest) = line.as_chunks::<64>();
    for (at, block) in blocks.iter().enumerate() {
        note(at * 64, bits(block, byte));
    }
    if rest.is_empty() {
        return found;
    }
    let from = line.len() - rest.len();
    match line.last_chunk() {
        // Without those that were found already.
        Some(last) => note(from, bits(last, byte) >> (64 - rest.len())),
        None => {
            let mut block = [!byte; 64];
            block[..rest.len()].copy_from_slice(rest);
            note(from, bits(&block, byte));
        }
    }
    found
}

/// Bit `n` is set where byte `n` is this one.
#[cfg(target_arch = "x86_64")]
#[inline]
fn bits(block: &[u8; 64], byte: u8) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi8};
    let (lanes, _) = block.as_chunks::<16>();
    lanes.iter().rev().fold(0, |bits, lane| {
        // SAFETY: these look at no memory, and SSE2 is there on every x86-64.
        let found =
            unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(bytemuck::cast(*lane), _mm_set1_epi8(byte.cast_signed()))) };
        bits << 16 | u64::from(found.cast_unsigned())
    })
}

/// The same where there is no such instruction, eight bytes at a time.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[cfg_attr(target_arch = "x86_64", allow(dead_code))]
#[inline]
fn bits_by_words(block: &[u8; 64], byte: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const LOW: u64 = ONES * 0x7f;
    let (words, _) = block.as_chunks::<8>();
    words.iter().rev().fold(0, |bits, word| {
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(byte));
        // The lowest bit of each byte: whether it is 0. Exact, since no byte carries into the next.
        let same = !(((differs & LOW) + LOW) | differs | LOW) >> 7;
        // Takes bit 8n to bit 56 + n; no two meet.
        bits << 8 | same.wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

#[cfg(not(target_arch = "x86_64"))]
use bits_by_words as bits;

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of every length around whole blocks, of few different bytes, so that what is looked for is everywhere.
    fn lines() -> impl Iterator<Item = Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(3);
        let bytes = [b',', b',' ^ 0x80, b',' - 1, b',' + 1, b'"', b'\n', b'\r', 0, 0x80, 0xff, b'a'];
        (0..20_000).map(move |n| {
            let kinds = 1 + n % bytes.len();
            let line = (0..n % 200).map(|_| bytes[random.usize(0..kinds)]);
            line.collect()
        })
    }

    #[test]
    fn all_places_are_found_and_counted_past_the_room() {
        for line in lines() {
            let expected: Vec<usize> = (0..line.len()).filter(|&at| line[at] == b',').collect();
            for room in [0, 5, 300] {
                let mut places = vec![usize::MAX; room];
                assert_eq!(find_all(&line, b',', &mut places), expected.len(), "{line:?}");
                let kept = room.min(expected.len());
                assert_eq!(places[..kept], expected[..kept], "{line:?}");
                assert!(places[kept..].iter().all(|&place| place == usize::MAX), "{line:?}");
            }
        }
    }

    #[test]
    fn plain_is_what_has_neither_quotes_nor_breaks_nor_letters_of_other_scripts() {
        let mut plain = 0;
        for line in lines() {
            let expected = !line.iter().any(|byte| matches!(byte, b'"' | b'\n' | b'\r' | 0x80..));
            assert_eq!(is_plain(&line, b'"'), expected, "{line:?}");
            plain += usize::from(expected);
        }
        assert!((100..19_900).contains(&plain), "{plain}");
        // One odd byte, wherever it stands.
        for length in 1..100 {
            for at in 0..length {
                let mut line = vec![b'a'; length];
                assert!(is_plain(&line, b'"'));
                line[at] = 0xc3;
                assert!(!is_plain(&line, b'"'), "{at} of {length}");
            }
        }
    }

    #[test]
    fn both_ways_find_the_same() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..20_000 {
            let kinds = random.u8(1..=255);
            let block = std::array::from_fn(|_| random.u8(..=kinds));
            let byte = random.u8(..=kinds);
            assert_eq!(bits(&block, byte), bits_by_words(&block, byte), "{byte} in {block:?}");
        }
    }
}
