//! `[kafka]`: the client's properties from the file and from `properties_file`, each one known to librdkafka.

use std::path::Path;

use indexmap::IndexMap;

use super::explain;
use super::options::Properties;
use super::problem::Problem;
use super::properties::{self, OWN, Property};
use super::read::Report;
use super::secret::{Syntax, is_secret};
use crate::kafka::{PropertyError, check_property, property_names};

/// The properties of the table at `path`, those of its `properties_file` below them. What is wrong goes to the report.
pub(super) fn resolve(path: &str, given: Properties, base: &Path, report: &mut Report) -> Properties {
    let mut given = given.0;
    let mut all = IndexMap::new();
    if let Some(file) = given.shift_remove("properties_file") {
        all = from_file(path, &base.join(&file), &file, report);
    }
    for (name, value) in &given {
        let key = format!("{path}.{name}");
        if let Some((_, instead)) = OWN.iter().find(|(own, _)| own == name) {
            let location = report.locate_key(&key);
            let problem = Problem::error(key, format!("`{name}` is set by rillgate itself"));
            report.problems.push(problem.hint(format!("use {instead}")).at(location));
            continue;
        }
        match check_property(name, value) {
            Ok(()) => {}
            Err(PropertyError::Unknown) => {
                let names = property_names();
                let near = explain::nearest(name, names.iter().map(String::as_str));
                let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                let location = report.locate_key(&key);
                let problem = Problem::error(key, format!("librdkafka has no property `{name}`"));
                let hint = format!("{near}see CONFIGURATION.md of librdkafka for all of them");
                report.problems.push(problem.hint(hint).at(location));
            }
            Err(PropertyError::Invalid(reason)) => {
                report.error(&key, invalid(name, reason), "see CONFIGURATION.md of librdkafka for its values");
            }
        }
    }
    all.extend(given);
    Properties(all)
}

fn invalid(name: &str, reason: String) -> String {
    if is_secret(name) { format!("librdkafka does not take this value for `{name}`") } else { reason }
}

/// The properties of a Java file that mean something to librdkafka; a warning lists the others.
fn from_file(path: &str, file: &Path, shown: &str, report: &mut Report) -> IndexMap<String, String> {
    let mut all = IndexMap::new();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("{} can't be read: {error}", file.display());
            let hint = "a relative path starts at the folder of the configuration";
            report.error(&format!("{path}.properties_file"), message, hint);
            return all;
        }
    };
    let start = report.sources.add(shown, &text, Syntax::Line);
    let mut ignored: Vec<String> = Vec::new();
    for Property { name, value, range } in properties::parse_java(&text) {
        let location = report.sources.locate(&(start + range.start..start + range.end));
        let key = format!("{path}.{name}");
        if name == "sasl.jaas.config" {
            match properties::jaas(&value) {
                Ok((username, password)) => {
                    all.insert("sasl.username".to_owned(), username);
                    all.insert("sasl.password".to_owned(), password);
                }
                Err(reason) => {
                    let problem = Problem::error(key, "this login can't be taken over");
                    report.problems.push(problem.hint(reason).at(location));
                }
            }
        } else if OWN.iter().any(|(own, _)| *own == name) {
            ignored.push(name);
        } else {
            match check_property(&name, &value) {
                Ok(()) => drop(all.insert(name, value)),
                Err(PropertyError::Unknown) => ignored.push(name),
                Err(PropertyError::Invalid(reason)) => {
                    report.problems.push(Problem::error(key, invalid(&name, reason)).at(location));
                }
            }
        }
    }
    if !ignored.is_empty() {
        let key = format!("{path}.properties_file");
        let location = report.locate(&key);
        let problem = Problem::warning(key, format!("ignored in {shown}: {}", ignored.join(", ")));
        let hint = "these are for Java clients or set by rillgate itself; where one matters, find librdkafka's own name for it";
        report.problems.push(problem.hint(hint).at(location));
    }
    all
}
