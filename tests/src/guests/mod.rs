//! The hostile plugins of `tests/guests/`, each with what must become of it: alone under the plugin layer, and in a running host.
//!
//! A guest is a file in WebAssembly text, or an example in Rust of the package beside it. Its first lines say what it does, and after
//! `=>` what becomes of it:
//!
//! - `refused: <why>`: it is not opened, for this reason.
//! - `fails: <why>`: it is opened, and each call of `apply` fails, with this reason.
//! - `some: <why>`: some calls fail so, and what the others give is right.
//! - `passes`: what comes out is what went in, and nothing else happened.
//! - `update fails: <why>`, and so with `merge`, `finish` and `migrate`, one line for each: it is an aggregate, which is opened, and each
//!   call of that function fails, with this reason; the others pass. `migrate` is called only of those that say so.
//!
//! A `…` in a reason stands for any text. `{time}` in it, for the time limit, makes that short for the guest.
//!
//! A text that has sections, `;; in-apply:` and so on, is put into the component of `shell.wat`, with the code of `identity.wat`, or in the
//! folder `aggregates` with that of `keep.wat`: `code` is before it, `in-open`, `in-apply` and `after-apply` (`in-update` and so on) go
//! into its functions, `in-realloc` and `in-reset` into those that the host calls for memory, `imports` and `with` give it something to
//! call. Any other text is the whole file. `;; cut: <n>` leaves n bytes of it, and `(;repeat <n>;)` ... `(;end;)` repeats what is between.

mod aggregates;
mod alone;
mod hosted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::servers::{clone, target};

/// The host's own tests put their plugins together so, too.
#[path = "../../../host/src/plugin/tests/guest.rs"]
pub mod guest;
#[path = "../../../host/src/plugin/tests/keep.rs"]
pub mod keep;

/// Limits of all guests: memory and output in MiB.
const MEMORY_MIB: u64 = 16;
const OUTPUT_MIB: u64 = 1;
/// For guests that reach it.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);

/// What must become of a guest.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Refused(Pattern),
    Fails(Pattern),
    Some(Pattern),
    Passes,
    /// These functions of an aggregate fail.
    FailsIn(Vec<(String, Pattern)>),
}

/// The functions of an aggregate after `open`.
const FUNCTIONS: [&str; 3] = ["update", "merge", "finish"];
/// The one that only some of them have.
const MIGRATE: &str = "migrate";

/// A text with `…` for anything.
#[derive(Debug, Clone, PartialEq)]
struct Pattern(String);

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        self.found_in(text, true)
    }

    /// Whether it is part of a text.
    fn is_in(&self, text: &str) -> bool {
        self.found_in(text, false)
    }

    fn found_in(&self, text: &str, whole: bool) -> bool {
        let parts: Vec<&str> = self.0.split('…').collect();
        let mut rest = text;
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            let at = if last && whole && index > 0 { rest.rfind(part) } else { rest.find(part) };
            match at {
                Some(at) if at == 0 || index > 0 || !whole => rest = &rest[at + part.len()..],
                _ => return false,
            }
        }
        !whole || rest.is_empty()
    }
}

/// A hostile plugin.
struct Guest {
    /// `traps/open`, `rust/files`.
    name: String,
    outcome: Outcome,
    bytes: Vec<u8>,
    time_limit: Duration,
}

impl Guest {
    /// Whether it belongs where a pipeline has an aggregate.
    fn is_aggregate(&self) -> bool {
        self.name.starts_with(AGGREGATES)
    }

    /// A name for its file, its pipeline and its table.
    fn plain_name(&self) -> String {
        self.name.replace(['/', '-'], "_")
    }
}

/// How the names of aggregates begin.
const AGGREGATES: &str = "aggregates/";

/// All of them, in the order of their names.
fn corpus() -> Vec<Guest> {
    let root = clone().join("tests/guests");
    let mut files = Vec::new();
    files_below(&root, &mut files);
    files.sort();
    let guests: Vec<Guest> = files.iter().filter_map(|path| read(&root, path)).collect();
    // What is built and has no source any more is an example that was removed: only a build can leave it.
    assert!(guests.len() > 100, "looked in the wrong place: {}", root.display());
    guests
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

/// The guest in a file. Anything else in the folder than guests and their package fails the test.
fn read(root: &Path, path: &Path) -> Option<Guest> {
    let name = path.strip_prefix(root).unwrap().with_extension("").to_str().unwrap().to_owned();
    let text = || std::fs::read_to_string(path).unwrap();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("wat") => {
            let text = text();
            Some(guest_of(&name, &text, ";;", || build(&name, &text).unwrap_or_else(|error| panic!("{name}: {error}"))))
        }
        Some("rs") => {
            let stem = path.file_stem().unwrap().to_str().unwrap().replace('-', "_");
            let built = target().join(format!("guests/{stem}.wasm"));
            let bytes = || {
                std::fs::read(&built).unwrap_or_else(|_| panic!("{} is missing: run `make guests`", built.display()))
            };
            Some(guest_of(&name, &text(), "//", bytes))
        }
        Some("toml") => None,
        _ => panic!("{} is no guest", path.display()),
    }
}

/// Reads the comment at the start of a guest.
fn guest_of(name: &str, text: &str, comment: &str, bytes: impl FnOnce() -> Vec<u8>) -> Guest {
    let mut header =
        text.lines().map_while(|line| line.strip_prefix(comment)).map(|line| line.trim_start_matches('!').trim());
    assert!(header.next().is_some_and(|what| what.ends_with(['.', ':'])), "{name} does not say what it does");
    let outcomes: Vec<&str> = header.filter_map(|line| line.strip_prefix("=> ")).collect();
    let limit = if outcomes.iter().any(|outcome| outcome.contains("{time}")) { SHORT } else { LONG };
    let time = format!("time limit of {}ms for a batch exceeded", SHORT.as_millis());
    let pattern = |why: &str| Pattern(why.replace("{time}", &time));
    let in_function = |outcome: &&str| {
        let (function, why) = outcome.split_once(" fails: ")?;
        (FUNCTIONS.contains(&function) || function == MIGRATE).then(|| (function.to_owned(), pattern(why)))
    };
    let in_functions: Vec<(String, Pattern)> = outcomes.iter().filter_map(in_function).collect();
    let outcome = match outcomes.as_slice() {
        [] => panic!("{name} does not say what must become of it"),
        all if all.len() == in_functions.len() => Outcome::FailsIn(in_functions),
        [outcome] => match outcome.split_once(": ").unwrap_or((outcome, "")) {
            ("refused", why) => Outcome::Refused(pattern(why)),
            ("fails", why) => Outcome::Fails(pattern(why)),
            ("some", why) => Outcome::Some(pattern(why)),
            ("passes", "") => Outcome::Passes,
            _ => panic!("{name}: no outcome `{outcome}`"),
        },
        several => panic!("{name}: no outcome {several:?}"),
    };
    Guest { name: name.to_owned(), outcome, bytes: bytes(), time_limit: limit }
}

/// The binary of a guest in text.
fn build(name: &str, text: &str) -> Result<Vec<u8>, String> {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    let mut current = None;
    let mut cut = None;
    for line in text.lines() {
        let directive = line.strip_prefix(";; ").unwrap_or_default();
        let section = directive.strip_suffix(':').filter(|section| SECTIONS.contains(section));
        if let Some(bytes) = directive.strip_prefix("cut: ") {
            cut = Some(bytes.parse::<usize>().map_err(|error| error.to_string())?);
        } else if section.is_some() {
            current = section;
        } else if let Some(current) = current {
            *sections.entry(current).or_default() += &format!("{line}\n");
        }
    }
    let sections: BTreeMap<&str, String> = sections.iter().map(|(name, text)| (*name, repeated(text))).collect();
    let section = |name: &str| sections.get(name).map(String::as_str).unwrap_or_default();
    let is_aggregate = name.starts_with(AGGREGATES);
    let functions = match is_aggregate {
        false => guest::identity(section("in-open"), section("in-apply"), section("after-apply")),
        true => keep::Keep {
            in_open: section("in-open"),
            in_update: section("in-update"),
            after_update: section("after-update"),
            in_merge: section("in-merge"),
            after_merge: section("after-merge"),
            in_finish: section("in-finish"),
            after_finish: section("after-finish"),
            in_migrate: section("in-migrate"),
            after_migrate: section("after-migrate"),
        }
        .code(),
    };
    let whole = match current {
        None => repeated(text),
        Some(_) => guest::Guest {
            is_aggregate,
            has_migration: ["in-migrate", "after-migrate"].iter().any(|name| sections.contains_key(name)),
            imports: section("imports"),
            with: section("with"),
            code: &(section("code").to_owned() + &functions),
            in_realloc: section("in-realloc"),
            in_reset: section("in-reset"),
        }
        .text(),
    };
    let mut bytes = wat::parse_str(&whole).map_err(|error| error.to_string())?;
    if let Some(cut) = cut {
        assert!(cut < bytes.len(), "there are only {} bytes to cut", bytes.len());
        bytes.truncate(cut);
    }
    Ok(bytes)
}

/// What a guest can put into the parts that it is made of.
const SECTIONS: [&str; 16] = [
    "imports",
    "with",
    "code",
    "in-open",
    "in-apply",
    "after-apply",
    "in-update",
    "after-update",
    "in-merge",
    "after-merge",
    "in-finish",
    "after-finish",
    "in-migrate",
    "after-migrate",
    "in-realloc",
    "in-reset",
];

/// A text with what is to be repeated repeated.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("(;repeat ") else { return text.to_owned() };
    let (count, rest) = rest.split_once(";)").expect("`(;repeat <n>;)`");
    let (body, after) = rest.split_once("(;end;)").expect("`(;end;)` after `(;repeat`");
    let count: usize = count.trim().parse().expect("a number after `repeat`");
    before.to_owned() + &body.repeat(count) + &repeated(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_repetitions_are_read() {
        let guest = guest_of("a/b", ";; Does nothing.\n;; => fails: {time}\n", ";;", Vec::new);
        assert_eq!(guest.outcome, Outcome::Fails(Pattern("time limit of 100ms for a batch exceeded".to_owned())));
        assert_eq!(guest.time_limit, SHORT);
        assert_eq!(repeated("a(;repeat 3;)b(;end;)c(;repeat 2;)d(;end;)"), "abbbcdd");
        assert_eq!(build("a/b", "(module)").unwrap().len(), 8);
        let text = ";; Traps.\n;; => update fails: trap\n;; => finish fails: {time}\n";
        let Outcome::FailsIn(functions) = guest_of("aggregates/a", text, ";;", Vec::new).outcome else {
            panic!("not an aggregate's outcome")
        };
        assert_eq!(functions.iter().map(|(function, _)| function.as_str()).collect::<Vec<_>>(), ["update", "finish"]);
    }

    #[test]
    fn patterns_match_whole_texts_or_parts() {
        let pattern = Pattern("trap: … gone".to_owned());
        assert!(pattern.matches("trap: x gone is gone") && pattern.is_in("a trap: x gone."));
        assert!(!pattern.matches("a trap: x gone") && !pattern.matches("trap: x gone.") && !pattern.is_in("trap: x"));
    }

    #[test]
    #[should_panic(expected = "does not say what must become of it")]
    fn a_guest_without_an_outcome_fails() {
        guest_of("a/b", ";; Does nothing.\n(module)\n", ";;", Vec::new);
    }
}
