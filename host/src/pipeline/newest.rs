//! Columns that come from a schema registry: its newest schemas, asked for before pipelines are opened.

use indexmap::IndexMap;

use crate::avro::SchemaText;
use crate::config::{PipelineOptions, Problem};
use crate::decode::{AvroOptions, DecodeOptions, NewestSchemas};
use crate::registry::{Registry, RegistryError, RegistryOptions};

/// Puts the newest schemas into the options of the pipelines that take their columns from them, and takes those out for which
/// that fails. Blocks for as long as the registry takes, but not for ever.
pub fn ask_for_newest(
    pipelines: &mut IndexMap<String, PipelineOptions>,
    registry: Option<&RegistryOptions>,
) -> Vec<Problem> {
    let wants = |options: &PipelineOptions| options.decode.wants_newest_schema(&options.columns);
    if !pipelines.values().any(wants) {
        return Vec::new();
    }
    let Some(registry) = registry else {
        // Which has been reported.
        pipelines.retain(|_, options| !wants(options));
        return Vec::new();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return vec![Problem::error("schema_registry", error.to_string())],
    };
    runtime.block_on(ask(pipelines, registry))
}

async fn ask(pipelines: &mut IndexMap<String, PipelineOptions>, registry: &RegistryOptions) -> Vec<Problem> {
    let registry = match Registry::new(registry) {
        Ok(registry) => registry,
        Err(error) => return vec![Problem::error("schema_registry.url", error.to_string())],
    };
    let mut problems = Vec::new();
    let mut away = false;
    let mut ready = IndexMap::new();
    for (name, mut options) in std::mem::take(pipelines) {
        let topics = options.topics.clone();
        if !options.decode.wants_newest_schema(&options.columns) {
            ready.insert(name, options);
        } else if !away && let DecodeOptions::Avro(avro) = &mut options.decode {
            let keys = avro.wants_newest_key(&options.columns);
            match newest(&registry, &topics, keys).await {
                Ok(newest) => {
                    *avro = AvroOptions { newest, ..avro.clone() };
                    ready.insert(name, options);
                }
                Err(Lacking::Subject(subject)) => {
                    let problem = format!("the schema registry has no subject `{subject}` to take columns from");
                    let hint = "register its schema (producers do), or declare `columns`";
                    problems.push(Problem::error(format!("pipeline.{name}.decode"), problem).hint(hint));
                }
                Err(Lacking::Registry(error)) => {
                    // Nobody wants to wait for each of them.
                    away = error.may_pass();
                    let problem = format!("the columns of pipeline {name} come from the schema registry: {error}");
                    let hint = "start it or mend [schema_registry]; with `columns` declared it isn't needed to start";
                    problems.push(Problem::error("schema_registry", problem).hint(hint));
                }
            }
        }
    }
    *pipelines = ready;
    problems
}

/// Why there is no schema.
enum Lacking {
    Subject(String),
    Registry(RegistryError),
}

async fn newest(registry: &Registry, topics: &[String], keys: bool) -> Result<Vec<NewestSchemas>, Lacking> {
    let of = async |subject: String| -> Result<SchemaText, Lacking> {
        let newest = registry.newest(&subject).await.map_err(Lacking::Registry)?;
        newest.map(|newest| newest.schema).ok_or(Lacking::Subject(subject))
    };
    let mut all = Vec::with_capacity(topics.len());
    for topic in topics {
        let value = of(format!("{topic}-value")).await?;
        let key = if keys { Some(of(format!("{topic}-key")).await?) } else { None };
        all.push(NewestSchemas { topic: topic.clone(), value, key });
    }
    Ok(all)
}
