//! All guests in hosts that run: those that can't be opened are refused by `check`, the others end as they should while another
//! pipeline of the same host goes on, and the host never takes more memory than is stated here, with all of them compiled anew.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{Guest, MEMORY_MIB, OUTPUT_MIB, Outcome, Pattern, corpus};
use support::host::{Config, Host};
use support::kafka::{Cluster, Record};
use support::servers::unique;
use support::store::Place;
use support::wait::{seconds, until};

/// Records that each guest is given: enough to fail on 33 in a row.
const RECORDS: usize = 40;
/// Guests in one host.
const SIDE_BY_SIDE: usize = 20;
/// What a host may take at most with so many hostile pipelines, of which each has librdkafka's buffers and threads, and an
/// instance or two of at most [`MEMORY_MIB`].
const PEAK_MIB: u64 = 384;
/// What `check` may take at most, which opens all guests.
const CHECK_PEAK_MIB: u64 = 256;
const BOUND: Duration = seconds(240);

/// Files of guests, and the topic that all of them read.
struct Stage {
    folder: TempDir,
    topic: String,
    place: Place,
    /// For compiled plugins: empty, so that compiling is part of what is measured.
    cache: TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("rillgate-guests-").tempdir().unwrap();
        let topic = unique("guests");
        Cluster::shared().create_topic(&topic, 1, &[]);
        produce(&topic, RECORDS);
        let cache = tempfile::Builder::new().prefix("rillgate-cache-").tempdir().unwrap();
        Self { folder, topic, place: Place::local(), cache }
    }

    fn start(&self, config: &Config, arguments: &[&str]) -> Host {
        config.host_with(arguments, &[("XDG_CACHE_HOME", self.cache.path().to_str().unwrap())])
    }

    /// Panics unless as many plugins were compiled.
    fn expect_compiled(&self, count: usize) {
        let compiled = std::fs::read_dir(self.cache.path().join("rillgate/plugins")).unwrap().count();
        assert_eq!(compiled, count, "plugins in the cache");
    }

    fn file(&self, guest: &Guest) -> PathBuf {
        self.folder.path().join(format!("{}.wasm", guest.plain_name()))
    }

    /// A pipeline through a guest. In that of an aggregate each row is a group of its own, given out when it is there.
    fn pipeline(&self, guest: &Guest) -> String {
        let file = self.file(guest);
        std::fs::write(&file, &guest.bytes).unwrap();
        let (name, topic, time) = (guest.plain_name(), &self.topic, guest.time_limit.as_millis());
        let plugin = format!(
            "plugin = '{}', limits = {{ memory = \"{MEMORY_MIB}MiB\", output = \"{OUTPUT_MIB}MiB\", time = \"{time}ms\" }}",
            file.display()
        );
        let stage = match guest.is_aggregate() {
            true => format!("aggregate = {{ {plugin}, key = [\"n\"] }}"),
            false => format!("transform = [{{ {plugin} }}]"),
        };
        format!("{}{stage}\n", source(&name, topic))
    }
}

fn source(pipeline: &str, topic: &str) -> String {
    format!(
        "[pipeline.{pipeline}]\ntopic = \"{topic}\"\ndecode = {{ format = \"json\" }}\n\
         columns = {{ n = {{ type = \"int64\", nullable = false }}, id = {{ type = \"utf8\", nullable = false }}, x = \"float64\" }}\n\
         sink = {{ table = \"tables/{pipeline}\", format = \"json\", every = \"1s\" }}\n"
    )
}

/// Sends rows that are all the same but for `n`, as the plugin layer's test gives them.
fn produce(topic: &str, count: usize) {
    let producer = Cluster::shared().producer();
    for n in 0..count {
        let value = format!(r#"{{"n":{n},"id":"Süd"}}"#).into_bytes();
        producer.send(topic, &Record { partition: Some(0), value: Some(&value), ..Record::default() });
    }
    producer.flush();
}

#[test]
fn check_refuses_what_can_not_be_opened_and_says_why() {
    let stage = Stage::new();
    let guests: Vec<Guest> =
        corpus().into_iter().filter(|guest| matches!(guest.outcome, Outcome::Refused(_))).collect();
    let pipelines: String = guests.iter().map(|guest| stage.pipeline(guest)).collect();
    let config = Config::new(&Cluster::shared(), &stage.place, &pipelines);
    let mut host = stage.start(&config, &["check", "--json"]);
    let mut peak = 0;
    let ended = until(BOUND, "check", || {
        peak = peak.max(host.peak_mib().unwrap_or_default());
        host.ends(Duration::ZERO)
    });
    let ended = ended.expect_code(2);
    let problems: Vec<Value> = ended.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(problems.len(), guests.len(), "{}", ended.output);
    for guest in &guests {
        let Outcome::Refused(why) = &guest.outcome else { continue };
        let place = if guest.is_aggregate() { "aggregate" } else { "transform[0]" };
        // What a plugin says of its settings belongs to them.
        let paths = ["plugin", "settings"].map(|key| format!("pipeline.{}.{place}.{key}", guest.plain_name()));
        let problem = problems.iter().find(|problem| paths.iter().any(|path| problem["path"] == path.as_str()));
        let message = problem.unwrap_or_else(|| panic!("{} is not refused", guest.name))["message"].as_str().unwrap();
        assert!(why.is_in(message), "{}: {message}", guest.name);
        assert!(!message.contains(char::is_control), "{}: {message:?}", guest.name);
    }
    assert!(stage.place.list("").is_empty(), "something was started");
    println!("check of {} guests: peak of {peak} MiB", guests.len());
    assert!((1..=CHECK_PEAK_MIB).contains(&peak), "check took {peak} MiB; {CHECK_PEAK_MIB} are stated");
}

#[test]
fn guests_end_as_they_should_beside_a_pipeline_that_goes_on() {
    let guests: Vec<Guest> =
        corpus().into_iter().filter(|guest| !matches!(guest.outcome, Outcome::Refused(_))).collect();
    assert!(guests.len() > SIDE_BY_SIDE);
    // Each kind by itself: how many there are of one doesn't decide who stands beside whom in the other.
    let (aggregates, transforms): (Vec<Guest>, Vec<Guest>) = guests.into_iter().partition(Guest::is_aggregate);
    for guests in aggregates.chunks(SIDE_BY_SIDE).chain(transforms.chunks(SIDE_BY_SIDE)) {
        run(guests);
    }
}

/// Runs guests in one host until each of them has come to its end.
fn run(guests: &[Guest]) {
    let stage = Stage::new();
    let good = unique("good");
    Cluster::shared().create_topic(&good, 1, &[]);
    produce(&good, RECORDS);
    let pipelines: String = guests.iter().map(|guest| stage.pipeline(guest)).collect();
    let config = Config::new(&Cluster::shared(), &stage.place, &(pipelines + &source("good", &good)));
    let mut host = stage.start(&config, &["run"]);
    for guest in guests {
        until(BOUND, &format!("the end of {}", guest.name), || {
            host.expect_running();
            has_ended(guest, &host, &stage).then_some(())
        });
    }
    stage.expect_compiled(guests.len());
    // All are at their end, and this one is not.
    produce(&good, RECORDS);
    until(BOUND, "the other pipeline", || (rows(&stage.place, "good") == 2 * RECORDS).then_some(()));
    let peak = host.peak_mib().unwrap();
    println!("{} guests, from {} on: peak of {peak} MiB", guests.len(), guests[0].name);
    assert!((1..=PEAK_MIB).contains(&peak), "the host took {peak} MiB; {PEAK_MIB} are stated");
    let written = host.output();
    assert!(!written.contains('\u{1b}') && !written.contains('\u{7}'), "a plugin's control characters are in the log");
    assert!(
        !written.lines().any(|line| line.contains("forged-line") && !line.contains("fine")),
        "a plugin forged a line"
    );
    let longest = written.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 6000 && written.len() < 4 << 20, "{} bytes of log, in lines of up to {longest}", written.len());
    host.signal("TERM");
    // Pipelines that failed are said so by the exit code.
    let failed = guests.iter().any(|guest| guest.stops().is_some());
    host.ends_within(seconds(60)).expect_code(i32::from(failed));
    config.verify();
    for guest in guests {
        let (rows, dead) = (rows(&stage.place, &guest.plain_name()), dead_letters(&stage.place, guest));
        match &guest.outcome {
            // It failed on everything: nothing is committed, and nothing lost.
            _ if guest.stops().is_some() => assert_eq!((rows, dead), (0, 0), "{}", guest.name),
            Outcome::Some(_) => assert_eq!(rows + dead, RECORDS, "{}", guest.name),
            _ => assert_eq!((rows, dead), (RECORDS, 0), "{}", guest.name),
        }
    }
}

fn has_ended(guest: &Guest, host: &Host, stage: &Stage) -> bool {
    let file = stage.file(guest).display().to_string();
    let words = match guest.stops() {
        None => return rows(&stage.place, &guest.plain_name()) + dead_letters(&stage.place, guest) == RECORDS,
        Some(Stops::Always(Pattern(why))) => {
            format!("{file} failed on 33 messages in a row, the last time with: {why}")
        }
        Some(Stops::AtTheEnd(Pattern(why))) => format!("{file}: {why}"),
    };
    host.output().lines().any(|line| Pattern(words.clone()).is_in(line))
}

/// How a guest stops its pipeline.
enum Stops<'a> {
    /// Each message fails alone.
    Always(&'a Pattern),
    /// What comes out for groups can't be had when the epoch ends: no message is to blame.
    AtTheEnd(&'a Pattern),
}

impl Guest {
    /// `None` if its pipeline goes on. Where groups have no sessions nothing is merged.
    fn stops(&self) -> Option<Stops<'_>> {
        let in_function =
            |functions: &'_ [(String, Pattern)], name: &str| functions.iter().position(|(at, _)| at == name);
        match &self.outcome {
            Outcome::Fails(why) => Some(Stops::Always(why)),
            Outcome::FailsIn(functions) => match (in_function(functions, "update"), in_function(functions, "finish")) {
                (Some(update), _) => Some(Stops::Always(&functions[update].1)),
                (None, Some(finish)) => Some(Stops::AtTheEnd(&functions[finish].1)),
                (None, None) => None,
            },
            Outcome::Refused(_) | Outcome::Some(_) | Outcome::Passes => None,
        }
    }
}

/// Rows of a pipeline's table, whose files are JSON lines, as anyone sees them who just lists and reads.
fn rows(place: &Place, pipeline: &str) -> usize {
    lines(place, &format!("tables/{pipeline}"))
}

fn dead_letters(place: &Place, guest: &Guest) -> usize {
    lines(place, &format!("_dead/{}", guest.plain_name()))
}

fn lines(place: &Place, folder: &str) -> usize {
    let files = place.list(folder);
    let lines = |path: &String| place.read(path).unwrap_or_default().split(|byte| *byte == b'\n').count() - 1;
    files.keys().map(lines).sum()
}
