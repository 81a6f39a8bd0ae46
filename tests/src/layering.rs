//! Who may import whom in the host, and what every source file looks like: ARCHITECTURE.md's rules, kept by a test.

use std::fs;
use std::path::{Path, PathBuf};

/// The way of the data. A stage knows nothing of its neighbours.
const STAGES: [&str; 8] = ["source", "decode", "plugin", "window", "state", "exchange", "encode", "commit"];

/// What every module may import.
const GROUND: [&str; 3] = ["avro", "batch", "metrics"];

/// The control side, from the bottom up: each may import the stages and what stands to its left.
/// A module that is named nowhere counts as standing just left of `cli`.
const CONTROL: [&str; 11] =
    ["kafka", "sink", "registry", "config", "pipeline", "task", "worker", "supervisor", "replay", "reload", "http"];

/// Crates that must be replaceable, and the only top-level modules that may name them.
const CONFINED: [(&str, &[&str]); 2] = [("wasmtime", &["plugin"]), ("rdkafka", &["source", "kafka", "sink", "feed"])];

/// Tests that run several stages together: what they import is theirs to choose.
const TOGETHER: [&str; 1] = ["commit/simulation/"];

/// More lines than this are two things in one file.
const LINES_MAX: usize = 450;

/// Whether top-level module `importer` may import top-level module `imported`.
fn may_import(importer: &str, imported: &str) -> bool {
    if importer == imported || importer == "main" {
        return true;
    }
    if GROUND.contains(&importer) || importer == "lib" {
        return false;
    }
    if GROUND.contains(&imported) {
        return true;
    }
    if STAGES.contains(&importer) {
        return (importer, imported) == ("window", "state");
    }
    // A task is handed what it needs: it reads no configuration.
    if (importer, imported) == ("task", "config") {
        return false;
    }
    height(imported) < height(importer)
        || (height(importer) == height("") && height(imported) == height("") && imported != "cli")
}

fn height(module: &str) -> usize {
    if STAGES.contains(&module) {
        return 0;
    }
    if module == "cli" {
        return CONTROL.len() + 2;
    }
    CONTROL.iter().position(|name| *name == module).unwrap_or(CONTROL.len()) + 1
}

/// A source file of the host: its path below `src/`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The top-level module that it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super::` lead from this file's own items to the crate's root.
    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        if self.path.ends_with("/mod.rs") { folders } else { folders + 1 }
    }

    /// Its lines without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(|line| line.split("//").next().unwrap_or_default())
    }
}

/// The top-level modules that `source` names, each once.
fn imports(source: &Source, modules: &[String]) -> Vec<String> {
    let code: String = source.code().collect::<Vec<_>>().join("\n");
    let mut found: Vec<String> = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
            continue;
        }
        found.extend(heads(&code[at + "crate::".len()..]));
    }
    let way_up = "super::".repeat(source.depth());
    for (at, _) in code.match_indices(&way_up) {
        found.extend(heads(&code[at + way_up.len()..]));
    }
    found.retain(|name| modules.contains(name));
    found.sort();
    found.dedup();
    found
}

/// First names of the paths at the start of `text`: of `a::b` it is `a`, of `{a::b, c::{d, e}}` they are `a` and `c`.
fn heads(text: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    if !text.starts_with('{') {
        return vec![name(text)];
    }
    let mut names = Vec::new();
    let mut open = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => {
                open += 1;
                if open == 1 {
                    names.push(name(&text[at + 1..]));
                }
            }
            '}' => {
                open -= 1;
                if open == 0 {
                    break;
                }
            }
            ',' if open == 1 => names.push(name(&text[at + 1..])),
            _ => {}
        }
    }
    names
}

/// Whether a line of code names crate `name`: `use name;` or `name::`.
fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let is_word = before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | ':' | '"' | '`'));
        let after = &line[at + name.len()..];
        is_word && (after.starts_with("::") || (line.trim_start().starts_with("use ") && after.starts_with([';', ' '])))
    })
}

/// Everything in `sources` that breaks a rule, one line each.
fn violations(sources: &[Source]) -> Vec<String> {
    let modules: Vec<String> = sources.iter().map(|source| source.module().to_owned()).collect();
    let mut found = Vec::new();
    for source in sources {
        let module = source.module();
        let is_together = TOGETHER.iter().any(|folder| source.path.starts_with(folder));
        let imported = if is_together { Vec::new() } else { imports(source, &modules) };
        for imported in imported.iter().filter(|imported| !may_import(module, imported)) {
            found.push(format!("{}: `{module}` must not import `{imported}`", source.path));
        }
        for (name, homes) in CONFINED.iter().filter(|(_, homes)| !homes.contains(&module)) {
            if source.code().any(|line| names_crate(line, name)) {
                found.push(format!("{}: {name} stays inside {homes:?}", source.path));
            }
        }
    }
    found
}

/// What is wrong with the form of a file, if anything.
fn malformed(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        return Some(format!("{path}: {lines} lines; {LINES_MAX} is the most: what two things live in there?"));
    }
    (!text.starts_with("//!")).then(|| format!("{path}: does not begin with `//!` and what it is for"))
}

/// The Rust files below `folder`, but for what cargo builds.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn clone() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

#[test]
fn the_host_keeps_its_layers() {
    let root = clone().join("host/src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.iter().any(|path| path.ends_with("batch.rs")), "looked in the wrong place: {}", root.display());
    let read = |path: &PathBuf| Source {
        path: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(path).unwrap(),
    };
    let found = violations(&files.iter().map(read).collect::<Vec<_>>());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let root = clone();
    let mut files = Vec::new();
    for folder in [
        "host/src",
        "host/benches",
        "feeds",
        "sdk",
        "plugins",
        "tests/src",
        "tests/chaos",
        "tests/guests",
        "tests/versions",
    ] {
        rust_files(&root.join(folder), &mut files);
    }
    assert!(files.len() > 10, "looked in the wrong place: {}", root.display());
    let found: Vec<String> =
        files.iter().filter_map(|path| malformed(path.to_str()?, &fs::read_to_string(path).ok()?)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The violations of a host that has every module, empty, and this file instead of its own.
    fn check(path: &str, text: &str) -> Vec<String> {
        let mut sources: Vec<Source> = GROUND
            .iter()
            .chain(&STAGES)
            .chain(&CONTROL)
            .chain(&["cli", "check", "demo", "feed"])
            .map(|module| Source { path: format!("{module}.rs"), text: String::new() })
            .collect();
        sources.push(Source { path: path.to_owned(), text: text.to_owned() });
        violations(&sources)
    }

    #[test]
    fn a_stage_that_imports_its_neighbour_is_found() {
        let expected = ["encode/parquet.rs: `encode` must not import `decode`"];
        assert_eq!(check("encode/parquet.rs", "use crate::decode::Decoder;"), expected);
        assert_eq!(check("encode/parquet.rs", "use crate::{batch::Rows, decode::{Decoder, config}};"), expected);
        assert_eq!(check("encode/parquet.rs", "use crate::{\n    batch,\n    decode,\n};"), expected);
        assert_eq!(check("encode/parquet.rs", "fn f() { let d = crate::decode::Decoder::new(); }"), expected);
        assert_eq!(check("encode/parquet.rs", "use super::super::decode::Decoder;"), expected);
        assert_eq!(check("encode.rs", "use super::decode::Decoder;"), ["encode.rs: `encode` must not import `decode`"]);
        assert_eq!(
            check("state/mod.rs", "use crate::window;"),
            ["state/mod.rs: `state` must not import `window`"],
            "only the other way round"
        );
    }

    #[test]
    fn what_the_layers_allow_is_left_alone() {
        let none: [&str; 0] = [];
        assert_eq!(
            check("encode/parquet.rs", "use crate::batch::Rows;\nuse super::decode;"),
            none,
            "encode's own decode"
        );
        assert_eq!(
            check("encode/parquet.rs", "// crate::decode\n/// [`crate::task`]"),
            none,
            "comments import nothing"
        );
        assert_eq!(check("encode/parquet.rs", "macro!($crate::decode);"), none, "another crate's");
        assert_eq!(check("window.rs", "use crate::state::Table;"), none);
        assert_eq!(check("commit/simulation/sides.rs", "use crate::exchange::Upstreams;"), none, "a test of both");
        assert_eq!(check("config/mod.rs", "use crate::{encode::TableOptions, commit};"), none);
        assert_eq!(check("task.rs", "use crate::{decode, plugin, encode, commit, pipeline};"), none);
        assert_eq!(check("supervisor.rs", "use crate::{task, config};"), none);
        assert_eq!(check("cli.rs", "use crate::{supervisor, demo, http};"), none);
        assert_eq!(check("feed/sender.rs", "use crate::batch;\nuse rdkafka::producer::Producer;"), none);
    }

    #[test]
    fn the_control_side_is_imported_from_above_only() {
        assert_eq!(check("batch.rs", "use crate::metrics;"), ["batch.rs: `batch` must not import `metrics`"]);
        assert_eq!(check("commit/mod.rs", "use crate::config;"), ["commit/mod.rs: `commit` must not import `config`"]);
        assert_eq!(check("config/mod.rs", "use crate::task;"), ["config/mod.rs: `config` must not import `task`"]);
        assert_eq!(check("task.rs", "use crate::config::Config;"), ["task.rs: `task` must not import `config`"]);
        assert_eq!(check("task.rs", "use crate::supervisor;"), ["task.rs: `task` must not import `supervisor`"]);
        assert_eq!(check("check.rs", "use crate::cli;"), ["check.rs: `check` must not import `cli`"]);
        assert_eq!(check("http/api.rs", "use crate::demo;"), ["http/api.rs: `http` must not import `demo`"]);
    }

    #[test]
    fn confined_crates_are_found_outside_their_homes() {
        assert_eq!(check("task.rs", "use wasmtime::Store;"), ["task.rs: wasmtime stays inside [\"plugin\"]"]);
        assert_eq!(check("task.rs", "let s: wasmtime::Store = x;").len(), 1);
        assert_eq!(check("commit/store.rs", "use rdkafka;").len(), 1);
        assert!(check("plugin/engine.rs", "use wasmtime::Store;").is_empty());
        assert!(check("source/mod.rs", "use rdkafka::Message;").is_empty());
        assert!(check("task.rs", "error!(\"wasmtime said no\"); // rdkafka::X").is_empty());
    }

    #[test]
    fn long_files_and_files_that_do_not_say_what_they_are_for_are_found() {
        assert_eq!(malformed("a.rs", "//! Good.\n"), None);
        assert!(malformed("a.rs", "use std::fs;\n").is_some());
        assert_eq!(malformed("a.rs", &"//! Good.\n".repeat(LINES_MAX)), None);
        assert!(malformed("a.rs", &"//! Good.\n".repeat(LINES_MAX + 1)).is_some());
    }
}
