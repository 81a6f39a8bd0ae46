//! `rillgate check`: all that is wrong with a configuration, or what will come out of each pipeline.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::json;

use crate::config::{Config, PipelineOptions, Problem, Problems, StoreOptions, load_flawed};
use crate::encode::TopicOptions;
use crate::kafka::{ProbeError, probe};
use crate::pipeline::{Description, Pipeline, ask_for_newest};
use crate::plugin::Engine;
use crate::reload::golden;
use crate::sink::{self, Difference};

/// How long a broker may take to answer.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// Probes a store: the answer is why it can't be used.
pub type ProbeStore<'a> = &'a dyn Fn(&StoreOptions, &PipelineOptions) -> Result<(), String>;

/// What a check came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// What will come out of the pipelines that are right.
    pub pipelines: Vec<Description>,
    /// What is wrong with the configuration.
    pub problems: Problems,
    /// What is wrong with the broker or the store.
    pub environment: Problems,
}

impl Checked {
    /// 0 if nothing is wrong, 2 if the configuration is, 3 if only broker or store are.
    pub fn exit_code(&self) -> u8 {
        match (self.problems.has_errors(), self.environment.has_errors()) {
            (true, _) => 2,
            (false, true) => 3,
            (false, false) => 0,
        }
    }

    /// Prints it: for people what comes out on stdout and what is wrong on stderr, for machines one JSON object a line
    /// on stdout.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            for pipeline in &self.pipelines {
                writeln!(out, "{}", json!(pipeline))?;
            }
            return write!(out, "{}{}", self.problems.to_json_lines(), self.environment.to_json_lines());
        }
        for pipeline in &self.pipelines {
            writeln!(out, "{pipeline}")?;
        }
        out.flush()?;
        let mut err = io::stderr().lock();
        let color = err.is_terminal();
        for problems in [&self.problems, &self.environment].into_iter().filter(|problems| !problems.0.is_empty()) {
            write!(err, "{}", problems.render(color))?;
        }
        Ok(())
    }
}

/// Reads the configuration and opens every pipeline whose name begins with one of `only` (all, if there is none). With
/// `probe_store`, asks brokers and store too, each once.
pub fn check(
    file: &Path,
    overrides: &[String],
    only: &[String],
    engine: &Engine,
    probe_store: Option<ProbeStore<'_>>,
) -> Checked {
    match load_flawed(file, overrides) {
        Ok(mut config) => {
            config.pipelines.retain(|name, _| super::is_asked_for(name, only));
            check_config(&config, engine, probe_store)
        }
        Err(mut flawed) => {
            // The pipelines that are not at fault are opened all the same: everything at once. No server is asked, though.
            flawed.pipelines.retain(|_, options| !options.decode.wants_newest_schema(&options.columns));
            let (pipelines, problems) = open_all(&flawed.pipelines, engine, &flawed.base);
            Checked { pipelines, problems: flawed.with(problems), environment: Problems::default() }
        }
    }
}

/// [`check`] for a configuration that has been read.
pub fn check_config(config: &Config, engine: &Engine, probe_store: Option<ProbeStore<'_>>) -> Checked {
    let mut all = config.pipelines.clone();
    let lacking = ask_for_newest(&mut all, config.schema_registry.as_ref());
    let (pipelines, mut problems) = open_all(&all, engine, &config.base);
    problems.extend(config.warnings.0.iter().cloned());
    let mut environment = probe_store.map(|probe_store| environment(config, probe_store)).unwrap_or_default();
    environment.extend(lacking);
    Checked { pipelines, problems: config.place(problems), environment: config.place(environment) }
}

fn open_all(
    pipelines: &IndexMap<String, PipelineOptions>,
    engine: &Engine,
    base: &Path,
) -> (Vec<Description>, Vec<Problem>) {
    let (mut described, mut problems) = (Vec::new(), Vec::new());
    for (name, options) in pipelines {
        match Pipeline::open(name, options, engine, base) {
            Ok(pipeline) => match golden::check(&pipeline, golden::TIME_LIMIT) {
                Ok(_) => described.push(pipeline.describe()),
                Err(failures) => problems.extend(failures.iter().map(|failure| failed(name, failure))),
            },
            Err(found) => problems.extend(found),
        }
    }
    (described, problems)
}

/// A plugin that doesn't do what is said beside it.
fn failed(pipeline: &str, failure: &golden::Failure) -> Problem {
    Problem::error(format!("pipeline.{pipeline}.{}.plugin", failure.at), failure.to_string()).hint(
        "the plugin is another than its cases are for, or one of them is wrong: they lie beside it, `.cases.json`",
    )
}

/// Asks each cluster for its topics, and the store.
fn environment(config: &Config, probe_store: ProbeStore<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut asked: Vec<&PipelineOptions> = Vec::new();
    for options in config.pipelines.values() {
        // Most pipelines have the same cluster: one connection asks for all their topics.
        if asked.iter().any(|other| other.kafka == options.kafka) {
            continue;
        }
        asked.push(options);
        let same = || config.pipelines.iter().filter(|(_, other)| other.kafka == options.kafka);
        let topics: Vec<String> = same().flat_map(|(_, other)| other.topics.iter().cloned()).collect();
        let found = probe(&options.kafka, &topics, BROKER_TIMEOUT);
        if !found.iter().any(|error| matches!(error, ProbeError::Cluster(_))) {
            problems.extend(topics_as_asked_for(&same().collect::<Vec<_>>()));
        }
        for error in found {
            problems.push(match error {
                ProbeError::Cluster(reason) => {
                    let servers = options.kafka.get("bootstrap.servers").map_or("", String::as_str);
                    Problem::error("kafka", format!("the brokers at {servers} can't be asked: {reason}"))
                        .hint("check bootstrap.servers, security.protocol and the sasl.* properties")
                }
                ProbeError::Topic { topic, reason } => {
                    let reader = same().find(|(_, other)| other.topics.contains(&topic));
                    let path = reader.map_or_else(String::new, |(name, other)| {
                        let key = if other.topics.len() == 1 { "topic" } else { "topics" };
                        format!("pipeline.{name}.{key}")
                    });
                    Problem::error(path, format!("the topic `{topic}` can't be read: {reason}"))
                }
            });
        }
    }
    // The pipeline that asks the most of the store speaks for all.
    let strictest = config.pipelines.values().min_by_key(|options| options.delivery as u8);
    if let Some(Err(reason)) = strictest.map(|options| probe_store(&config.store, options)) {
        problems.push(Problem::error("store", reason));
    }
    problems
}

/// What is otherwise at the topics that pipelines of one cluster send to. Those that aren't there will be made.
fn topics_as_asked_for(pipelines: &[(&String, &PipelineOptions)]) -> Vec<Problem> {
    let Some((_, first)) = pipelines.first() else { return Vec::new() };
    let asked: Vec<(String, &TopicOptions)> = (pipelines.iter())
        .flat_map(|(name, options)| {
            options.sinks().filter_map(move |(at, sink)| Some((format!("pipeline.{name}.{at}"), sink.target.topic()?)))
        })
        .collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = asked.iter().map(|(_, options)| options.topic.as_str()).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Problem::error("kafka", error.to_string())],
    };
    let found = match sink::look(&first.kafka, &names, runtime.handle(), BROKER_TIMEOUT) {
        Ok(found) => found,
        Err(error) => return vec![Problem::error("kafka", error.to_string())],
    };
    let differences = asked.iter().flat_map(|(path, options)| {
        let all = found.get(&options.topic).map(|found| sink::differences(options, found)).unwrap_or_default();
        all.into_iter().map(move |Difference { key, message, hint, is_error }| {
            let path = format!("{path}.{key}");
            let problem = if is_error { Problem::error(path, message) } else { Problem::warning(path, message) };
            problem.hint(hint)
        })
    });
    differences.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::EmbeddedBroker;
    use crate::plugin::tests::{Guest, identity};

    /// Checks a file with one pipeline that reads `topic` from `servers`.
    fn check_with(servers: &str, topic: &str, more: &str, probe_store: ProbeStore<'_>) -> Checked {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pipelines.toml");
        let text = format!(
            "kafka.bootstrap.servers = '{servers}'\nstore.url = 'lake'\n[pipeline.p]\ntopic = '{topic}'\n\
             decode.format = 'json'\ncolumns.a = 'utf8'\nsink.table = 'a'\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        check(&file, &[], &[], &Engine::new(None).unwrap(), Some(probe_store))
    }

    #[test]
    fn broker_and_store_are_asked_and_exit_codes_tell_them_from_the_configuration() {
        let broker = EmbeddedBroker::start(&["there", "there2"], 1).unwrap();
        let servers = broker.servers();

        let checked = check_with(servers, "there", "", &|_, _| Ok(()));
        assert_eq!((checked.exit_code(), checked.pipelines.len()), (0, 1), "{checked:?}");

        let checked = check_with(servers, "gone", "", &|store, _| Err(format!("no {}", store.url)));
        assert_eq!(checked.exit_code(), 3);
        let found: Vec<_> =
            checked.environment.0.iter().map(|p| (p.path.as_str(), p.location.as_ref().map(|at| at.line))).collect();
        assert_eq!(found, [("store", Some(2)), ("pipeline.p.topic", Some(4))], "{}", checked.environment);

        let checked = check_with(
            servers,
            "there",
            "outputs = {}\n[pipeline.q]\ntopic = 'there'\ngroup = 'q'\ndecode.format = 'json'\n\
            columns.a = 'utf8'\nsink = { topic = 'there2', partitions = 3 }\n",
            &|_, _| Ok(()),
        );
        assert_eq!((checked.exit_code(), checked.environment.0.len()), (0, 1), "{checked:?}");
        let problem = &checked.environment.0[0];
        assert_eq!((problem.path.as_str(), problem.is_error()), ("pipeline.q.sink.partitions", false), "{problem}");

        let checked = check_with(servers, "there", "rows = 3\n", &|_, _| Ok(()));
        assert_eq!((checked.exit_code(), checked.problems.0.len()), (2, 1), "{}", checked.problems);

        let checked = check_with(servers, "there", "columns.b = 'text'\n", &|_, _| Ok(()));
        assert_eq!((checked.exit_code(), checked.problems.0.len()), (2, 1), "{}", checked.problems);
    }

    #[test]
    fn a_plugin_that_does_not_do_what_its_cases_say_is_a_problem_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
        file("x.wasm", &Guest { code: &identity("", "", ""), ..Guest::default() }.build());
        let pipeline = "topic = 't'\ndecode.format = 'json'\ncolumns.a = 'utf8'\ntransform = [{ plugin = 'x.wasm' }]\n";
        let text = format!(
            "kafka.bootstrap.servers = 'k:1'\nstore.url = 'lake'\n[pipeline.p]\n{pipeline}sink.table = 'p'\n\
             [pipeline.q]\n{pipeline}sink.table = 'q'\n"
        );
        file("pipelines.toml", text.as_bytes());
        let checked = |expected: &str| {
            let case =
                format!("[{{ \"name\": \"as it is\", \"input\": [{{ \"a\": \"b\" }}], \"output\": {expected} }}]");
            file("x.cases.json", case.as_bytes());
            check(&folder.path().join("pipelines.toml"), &[], &["p".to_owned()], &Engine::new(None).unwrap(), None)
        };
        let right = checked("{ \"main\": [{ \"a\": \"b\" }] }");
        assert_eq!((right.exit_code(), right.pipelines.len()), (0, 1), "{}", right.problems);
        let wrong = checked("{}");
        assert_eq!((wrong.exit_code(), wrong.pipelines.len(), wrong.problems.0.len()), (2, 0, 1), "{}", wrong.problems);
        let problem = &wrong.problems.0[0];
        let line = problem.location.as_ref().map(|place| place.line);
        assert_eq!((problem.path.as_str(), line), ("pipeline.p.transform[0].plugin", Some(7)));
        assert!(
            problem.message.ends_with(
                "x.wasm: case `as it is`: output `main`: expected 0 rows, found 1; row 0, found only: {\"a\":\"b\"}"
            ),
            "{problem}"
        );
    }
}
