//! From what is typed to what it means: required keys, names, defaults, and what must agree across pipelines.

use indexmap::IndexMap;

use super::options::{PipelineOptions, Properties, StoreOptions};
use super::read::Report;
use super::sink::OutputOptions;
use super::{aggregate, kafka, raw, store};
use crate::encode::Target;
use crate::registry::RegistryOptions;

/// The parts of a configuration. Where something required is missing the part is absent and the reason has been reported.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) kafka: Properties,
    pub(super) store: Option<StoreOptions>,
    pub(super) schema_registry: Option<RegistryOptions>,
    pub(super) pipelines: IndexMap<String, PipelineOptions>,
}

/// Everything that is wrong goes to the report.
pub(super) fn resolve(file: raw::File, base: &std::path::Path, report: &mut Report) -> Resolved {
    let kafka = file.kafka.map(|given| kafka::resolve("kafka", given, base, report)).unwrap_or_default();
    if !kafka.contains_key("bootstrap.servers") && !report.touched("kafka") {
        required(
            report,
            "kafka",
            "bootstrap.servers",
            "the brokers to ask first: \"bootstrap.servers\" = \"host:9092\"",
        );
    }
    let store = match file.store {
        Some(given) => store::resolve(given, report),
        None => {
            if !report.touched("store") {
                required(report, "", "store", "[store] says where the files go: url = \"file:./lake\"");
            }
            None
        }
    };
    if file.pipeline.is_empty() && !report.touched("pipeline") {
        let hint = "add one: [pipeline.NAME] with topic, decode, columns and sink";
        report.error("pipeline", "there is no pipeline", hint);
    }
    check_tables(&file.pipeline, report);
    let mut pipelines = IndexMap::new();
    for (name, given) in file.pipeline {
        if let Some(pipeline) = pipeline(&name, given, &kafka, base, report) {
            pipelines.insert(name, pipeline);
        }
    }
    check_groups(&pipelines, report);
    let registry_is_given = file.schema_registry.is_some() || report.touched("schema_registry");
    let schema_registry = file.schema_registry.and_then(|given| schema_registry(given, report));
    for (name, _) in pipelines.iter().filter(|(_, pipeline)| pipeline.decode.avro().is_some() && !registry_is_given) {
        let hint = "add [schema_registry] with url = \"http://host:8081\"";
        report.error(&format!("pipeline.{name}.decode.format"), "Avro is read by the schemas of a registry", hint);
    }
    for (name, pipeline) in pipelines.iter().filter(|_| !registry_is_given) {
        for (at, _) in pipeline.sinks().filter(|(_, sink)| sink.target.is_avro()) {
            let hint = "add [schema_registry] with url = \"http://host:8081\"";
            let path = format!("pipeline.{name}.{at}.format");
            report.error(&path, "Avro is written by schemas that a registry keeps", hint);
        }
    }
    Resolved { kafka, store, schema_registry, pipelines }
}

fn schema_registry(given: raw::SchemaRegistry, report: &mut Report) -> Option<RegistryOptions> {
    let hint = "its URL, with the path if it has one: url = \"http://host:8081\"";
    let Some(url) = given.url else {
        required(report, "schema_registry", "url", hint);
        return None;
    };
    if given.password.is_some() && given.username.is_none() {
        report.error("schema_registry.password", "a password without a user", "add `username`");
    }
    let options = RegistryOptions { url, username: given.username, password: given.password };
    match options.check() {
        Ok(()) => Some(options),
        Err(error) => {
            report.error("schema_registry.url", error.to_string(), hint);
            None
        }
    }
}

/// Reports a key that must be there, if it isn't missing just because it was wrong.
pub(super) fn required(report: &mut Report, table: &str, key: &str, hint: &str) {
    let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
    if !report.touched(&path) && !report.is_misspelt(table, key) {
        report.error(table, format!("the key `{key}` is missing"), hint);
    }
}

fn pipeline(
    name: &str,
    given: raw::Pipeline,
    kafka: &Properties,
    base: &std::path::Path,
    report: &mut Report,
) -> Option<PipelineOptions> {
    let path = format!("pipeline.{name}");
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c)) {
        let message = format!("`{name}` can't be a pipeline's name");
        report.error(&path, message, "a-z, 0-9, `_` and `-`: it is part of paths and of the consumer group's name");
    }
    let topics = topics(&path, given.topic, given.topics, report);
    let group = given.group.unwrap_or_else(|| format!("rillgate.{name}"));
    if group.starts_with("rillgate.") && group.ends_with(".epochs") {
        let message = format!("the group `{group}` is one of those in which rillgate keeps what it has sent to topics");
        report.error(&format!("{path}.group"), message, "choose a name that doesn't end in `.epochs`");
    }
    if group.is_empty() {
        report.error(&format!("{path}.group"), "a consumer group's name can't be empty", "leave `group` out");
    }
    if given.decode.is_none() {
        required(report, &path, "decode", "how the values are written: decode = { format = \"json\" }");
    }
    if given.sink.is_none() {
        required(
            report,
            &path,
            "sink",
            "where the rows end up: sink = { table = \"folder/of/the/table\" }, or { topic = \"name\" }",
        );
    }
    for (at, transform) in given.transform.iter().enumerate() {
        if transform.plugin.is_empty() {
            let path = format!("{path}.transform[{at}].plugin");
            report.error(&path, "the plugin's file is not named", "plugins/NAME.wasm, from the configuration's folder");
        }
    }
    if let Some(options) = &given.aggregate {
        aggregate::check(&format!("{path}.aggregate"), options, report);
    }
    let own = kafka::resolve(&format!("{path}.kafka"), given.kafka, base, report);
    Some(PipelineOptions {
        topics: topics?,
        group,
        start: given.start,
        decode: given.decode?,
        columns: given.columns,
        transform: given.transform,
        aggregate: given.aggregate,
        sink: given.sink?,
        outputs: given.outputs,
        dead_letters: given.dead_letters,
        swap: given.swap,
        delivery: given.delivery,
        on_data_loss: given.on_data_loss,
        kafka: kafka.with(&own),
        log_retention: given.log_retention,
        max_batch_rows: given.max_batch_rows,
    })
}

/// The topics from `topic` or `topics`; `None` if there are none.
fn topics(path: &str, topic: Option<String>, topics: Option<Vec<String>>, report: &mut Report) -> Option<Vec<String>> {
    let (key, all) = match (topic, topics) {
        (Some(_), Some(_)) => {
            report.error(&format!("{path}.topics"), "both `topic` and `topics` are given", "keep one of them");
            return None;
        }
        (Some(topic), None) => ("topic", vec![topic]),
        (None, Some(topics)) => ("topics", topics),
        (None, None) => {
            if !report.touched(&format!("{path}.topics")) {
                required(report, path, "topic", "the topic to read, or topics = [\"a\", \"b\"]");
            }
            return None;
        }
    };
    if all.is_empty() {
        report.error(&format!("{path}.topics"), "there is no topic to read", "name at least one");
    }
    for (at, topic) in all.iter().enumerate() {
        let path = if key == "topic" { format!("{path}.topic") } else { format!("{path}.topics[{at}]") };
        check_topic(&path, topic, report);
        if all[..at].contains(topic) {
            report.error(&path, format!("the topic `{topic}` is named twice"), "name it once");
        }
    }
    Some(all)
}

fn check_topic(path: &str, topic: &str, report: &mut Report) {
    let legal = topic.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !legal || topic.is_empty() || topic.len() > 249 || topic == "." || topic == ".." {
        let hint = "1 to 249 letters, digits, `.`, `_` and `-`, says Kafka";
        report.error(path, format!("`{topic}` can't be a topic's name"), hint);
    }
}

/// One folder, one table: names are legal, none is used twice, none lies inside of another.
fn check_tables(pipelines: &IndexMap<String, raw::Pipeline>, report: &mut Report) {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for (name, pipeline) in pipelines {
        let outputs = pipeline.outputs.iter().filter_map(|(output, options)| match options {
            OutputOptions::Sink(sink) => Some((format!("pipeline.{name}.outputs.{output}"), sink.as_ref())),
            OutputOptions::Drop => None,
        });
        let main = pipeline.sink.iter().map(|sink| (format!("pipeline.{name}.sink"), sink));
        for (path, sink) in main.chain(outputs) {
            match &sink.target {
                Target::Table(to) => {
                    check_table(&path, &to.table, &seen, report);
                    seen.push((path, &to.table));
                }
                Target::Topic(to) => {
                    let path = format!("{path}.topic");
                    check_topic(&path, &to.topic, report);
                    let read = pipeline.topics.iter().flatten().chain(&pipeline.topic);
                    if read.into_iter().any(|topic| *topic == to.topic) {
                        let message = format!("the pipeline reads the topic `{}` that it writes", to.topic);
                        report.error(&path, message, "its own records would go round without end: name another topic");
                    }
                }
                // Nobody can ask for it.
                Target::Placed(_) => {}
            }
        }
    }
}

fn check_table(sink: &str, table: &str, seen: &[(String, &str)], report: &mut Report) {
    let path = format!("{sink}.table");
    let inside = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    if let Some(wrong) = wrong_table_name(table) {
        let message = format!("`{table}` can't be a table's folder: {wrong}");
        report.error(&path, message, "for example `trains/arrivals`");
    } else if let Some((other, _)) = seen.iter().find(|(_, other)| *other == table) {
        let message = format!("`{other}` writes the table `{table}` too");
        report.error(&path, message, "one folder, one table: give each a folder of its own");
    } else if let Some((sink, other)) = seen.iter().find(|(_, other)| inside(other, table) || inside(table, other)) {
        let message = format!("the tables `{table}` and `{other}` (of `{sink}`) lie one inside of the other");
        report.error(&path, message, "whoever lists a folder reads all below it as one table: move one of them");
    }
}

/// What keeps a folder from being a table's.
fn wrong_table_name(table: &str) -> Option<&'static str> {
    if table.is_empty() {
        return Some("it is empty");
    }
    if table.starts_with('/') || table.contains("://") {
        return Some("it must be relative to the store's URL");
    }
    table.split('/').find_map(|segment| match segment {
        "" => Some("it has an empty segment (`//`, or `/` at the end)"),
        ".." | "." => Some("`.` and `..` are not followed"),
        _ if segment.starts_with(['_', '.']) => Some("readers skip folders that start with `_` or `.`"),
        _ if segment.contains('=') => Some("`=` is for partitions"),
        _ if segment.chars().any(|c| c.is_control() || "\\?*#%\"<>|:{}^~`[]".contains(c)) => {
            Some("a character in it is not safe in every store")
        }
        _ => None,
    })
}

/// Two pipelines that share a group and a topic would each get only some of its partitions.
fn check_groups(pipelines: &IndexMap<String, PipelineOptions>, report: &mut Report) {
    for (at, (name, pipeline)) in pipelines.iter().enumerate() {
        let other = pipelines.iter().take(at).find(|(_, other)| {
            other.group == pipeline.group && other.topics.iter().any(|topic| pipeline.topics.contains(topic))
        });
        if let Some((other, _)) = other {
            let message =
                format!("the pipeline `{other}` reads a topic of this one in the same group, `{}`", pipeline.group);
            let hint = "each would get only some of the partitions: give each pipeline a group of its own";
            report.error(&format!("pipeline.{name}.group"), message, hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names() {
        for good in ["a", "railway_station/passenger_flow", "a-b/c.d/e f"] {
            assert_eq!(wrong_table_name(good), None, "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "../a", "a/..", "a/./b", "_a", "a/_b", "a/.b", "a=1", "s3://a/b", "a\\b"] {
            assert!(wrong_table_name(bad).is_some(), "{bad}");
        }
    }
}
