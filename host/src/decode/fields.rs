//! Which column the field of a JSON object goes to.
//!
//! Producers write the fields of every object in the same order, so the field that followed this one last time is tried first:
//! one comparison instead of a hash, for unknown fields too.

use std::collections::HashMap;

/// Unknown names are remembered up to these bounds, so that hostile messages can't fill the memory with new ones.
const MAX_UNKNOWN: usize = 1024;
const MAX_UNKNOWN_LEN: usize = 256;

/// The fields that columns read, and others seen so far.
#[derive(Debug)]
pub(super) struct Fields {
    /// First [`START`], which is no field, then those of columns, then the unknown.
    seen: Vec<Seen>,
    by_name: HashMap<Box<str>, usize>,
    max_seen: usize,
}

#[derive(Debug)]
struct Seen {
    /// The name as it stands after its opening quote, with the closing one; `None` if it needs escapes.
    plain: Option<Box<[u8]>>,
    column: Option<usize>,
    /// What followed it last; no index of `seen` if nothing did.
    next: usize,
}

/// What comes before the first field of an object.
pub(super) const START: usize = 0;

impl Fields {
    /// Fields by name, with the index of their columns; names are unique.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, usize)>) -> Self {
        let mut seen = vec![Seen { plain: None, column: None, next: 1 }];
        let mut by_name = HashMap::new();
        for (name, column) in columns {
            by_name.insert(name.into(), seen.len());
            seen.push(Seen { plain: plain(name), column: Some(column), next: seen.len() + 1 });
        }
        let max_seen = seen.len() + MAX_UNKNOWN;
        Self { seen, by_name, max_seen }
    }

    /// What probably follows field `previous` in an object: a field, and how it stands after its opening quote.
    #[inline(always)]
    pub fn guess(&self, previous: usize) -> Option<(usize, &[u8])> {
        let guess = self.seen[previous].next;
        Some((guess, self.seen.get(guess)?.plain.as_deref()?))
    }

    /// The column that reads a field as [`Fields::guess`] and [`Fields::look_up`] number it.
    #[inline]
    pub fn column(&self, field: usize) -> Option<usize> {
        self.seen[field].column
    }

    /// The field of this name, which follows field `previous`; [`START`] for a name not worth remembering.
    pub fn look_up(&mut self, previous: usize, name: &str) -> usize {
        let field = match self.by_name.get(name) {
            Some(&field) => field,
            None if self.seen.len() < self.max_seen && name.len() <= MAX_UNKNOWN_LEN => {
                self.by_name.insert(name.into(), self.seen.len());
                self.seen.push(Seen { plain: plain(name), column: None, next: START });
                self.seen.len() - 1
            }
            None => START,
        };
        self.seen[previous].next = field;
        field
    }
}

fn plain(name: &str) -> Option<Box<[u8]>> {
    let needs_escapes = name.contains(|c: char| c == '"' || c == '\\' || c < ' ');
    (!needs_escapes).then(|| format!("{name}\"").into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(fields: &mut Fields, names: &[&str]) -> Vec<Option<usize>> {
        let mut field = START;
        let mut next = |name: &&str| {
            field = match fields.guess(field) {
                Some((guess, rest)) if format!("{name}\"").as_bytes() == rest => guess,
                _ => fields.look_up(field, name),
            };
            fields.column(field)
        };
        names.iter().map(&mut next).collect()
    }

    #[test]
    fn any_order_finds_the_same_columns() {
        let mut fields = Fields::new([("a", 0), ("b", 1), ("", 2)]);
        for _ in 0..2 {
            assert_eq!(columns(&mut fields, &["a", "b", ""]), [Some(0), Some(1), Some(2)]);
            assert_eq!(columns(&mut fields, &["", "x", "b", "b", "a"]), [Some(2), None, Some(1), Some(1), Some(0)]);
            assert_eq!(columns(&mut fields, &["x", "y", "a"]), [None, None, Some(0)]);
        }
    }

    #[test]
    fn a_field_without_a_name_is_not_the_start() {
        let mut fields = Fields::new([("a", 0)]);
        for _ in 0..2 {
            assert_eq!(columns(&mut fields, &["a", "", "a", ""]), [Some(0), None, Some(0), None]);
        }
    }

    #[test]
    fn unknown_names_are_bounded() {
        let mut fields = Fields::new([("a", 0)]);
        for n in 0..10_000 {
            assert_eq!(columns(&mut fields, &[&format!("unknown {n}"), "a"]), [None, Some(0)]);
        }
        assert_eq!(columns(&mut fields, &[&"long".repeat(1000), "a"]), [None, Some(0)]);
        assert!(fields.seen.len() <= 2 + MAX_UNKNOWN);
    }
}
