//! pipelines.toml of any text, with `--set` and variables: never a panic, every error has a place that is there, every report can be
//! drawn, and no secret is in one.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rillgate::config::{self, Problem};

const SECRET: &str = "hunter2-hunter2";

// Lines that begin with `--set ` are flags, the others are the file.
fuzz_target!(|text: &str| {
    let (flags, lines): (Vec<&str>, Vec<&str>) = text.split('\n').partition(|line| line.starts_with("--set "));
    let flags: Vec<String> = flags.iter().map(|line| line["--set ".len()..].to_owned()).collect();
    let file = lines.join("\n");
    // Files that it names are none of a fuzzer's business.
    if text.contains("properties_file") {
        return;
    }
    let env = |name: &str| match name {
        "PASSWORD" => Some(SECRET.to_owned()),
        _ => name.starts_with('A').then(|| "5s".to_owned()),
    };
    let problems = match config::parse(&file, "pipelines.toml", Path::new("."), &flags, &env) {
        Ok(config) => {
            assert!(!config.warnings.has_errors());
            config.warnings
        }
        Err(flawed) => {
            assert!(flawed.problems.has_errors());
            flawed.problems
        }
    };
    for problem in &problems.0 {
        check(problem, &file, &flags);
    }
    let shown = problems.render(false) + &problems.to_json_lines();
    // Of a secret's variable only the name may be shown; where the text itself has it, it is no secret's.
    assert!(!shown.contains(SECRET) || text.contains(SECRET), "{shown}");
});

fn check(problem: &Problem, file: &str, flags: &[String]) {
    assert!(!problem.message.is_empty());
    // What is missing altogether has no place.
    let Some(place) = &problem.location else {
        let is_missing = problem.message.contains("missing") || problem.message == "there is no pipeline";
        return assert!(is_missing || file.trim().is_empty(), "no place: {problem:?}");
    };
    let texts: Vec<&str> = match place.file.as_str() {
        "pipelines.toml" => vec![file],
        "--set" => flags.iter().map(String::as_str).collect(),
        other => panic!("in {other}: {problem:?}"),
    };
    let there = texts.iter().any(|text| {
        let mut lines = text.split('\n');
        lines.nth(place.line - 1).is_some_and(|line| place.column - 1 <= line.chars().count())
    });
    assert!(there, "{}:{} is not there: {problem:?}", place.line, place.column);
}
