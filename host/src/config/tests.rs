//! Whole files: what is wrong with them, where, and what they mean. One `check(text, expect)`.

mod aggregate;

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::encode::Format;

const KAFKA_AND_STORE: &str = "kafka.bootstrap.servers = 'k:9092'\nstore.url = 'file:./lake'\n";
const PIPELINE: &str = "[pipeline.p]\ntopic = 't'\ndecode = { format = 'json' }\nsink = { table = 'a' }\n";

fn env(name: &str) -> Option<String> {
    let variables = HashMap::from([("TABLE", "from/env"), ("ROWS", "500"), ("PW", "hunter2"), ("QUOTE", "'\"\n[x]")]);
    variables.get(name).map(|value| (*value).to_owned())
}

fn parse_with(text: &str, overrides: &[&str]) -> Result<Config, Problems> {
    Ok(parse_flawed(text, overrides)?)
}

fn parse_flawed(text: &str, overrides: &[&str]) -> Result<Config, Box<Flawed>> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    parse(text, "pipelines.toml", Path::new("."), &overrides, &env)
}

/// `line:column path: message` of each problem.
fn lines(problems: &Problems) -> Vec<String> {
    let line = |problem: &Problem| match &problem.location {
        Some(place) => format!("{}:{} {problem}", place.line, place.column),
        None => format!("- {problem}"),
    };
    problems.0.iter().map(line).collect()
}

/// The problems of the text are exactly these, in this order.
#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let found = match parse_with(text, &[]) {
        Ok(config) => lines(&config.warnings),
        Err(problems) => lines(&problems),
    };
    assert_eq!(found, expect, "\n{text}");
}

#[track_caller]
fn good(text: &str, overrides: &[&str]) -> Config {
    parse_with(text, overrides).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn six_mistakes_are_six_reports() {
    check(
        r#"[kafka]
"bootstrap.servers" = "localhost:9092"
"sesion.timeout.ms" = 6000

[store]
url = "s4://bucket"

[pipeline.Flow]
topic = "passenger_flow"
decode = { format = "jsn" }
columns = { id = "utf8", at = { type = "timestamp", formt = "%Y" } }
transfrom = []

[pipeline.flow.sink]
table = "trains"
every = "180 parsecs"
partition_by = "date"
"#,
        &[
            "3:1 kafka.sesion.timeout.ms: librdkafka has no property `sesion.timeout.ms`",
            "6:7 store.url: no store is known for URLs of `s4:`",
            "8:1 pipeline.Flow: `Flow` can't be a pipeline's name",
            "8:1 pipeline.Flow: the key `sink` is missing",
            "10:21 pipeline.Flow.decode.format: `jsn` is none of the values it can have",
            "11:53 pipeline.Flow.columns.at.formt: unknown key `formt`",
            "12:1 pipeline.Flow.transfrom: unknown key `transfrom`",
            "14:11 pipeline.flow: the key `topic` is missing",
            "14:11 pipeline.flow: the key `decode` is missing",
            "16:9 pipeline.flow.sink.every: expected a duration like \"180s\", \"5m\" or \"7d\", found the string \"180 parsecs\"",
            "17:16 pipeline.flow.sink.partition_by: expected an array, found the string \"date\"",
        ],
    );
}

#[test]
fn mistakes_inside_of_what_serde_looks_ahead_at_keep_their_place() {
    let text = format!(
        "{KAFKA_AND_STORE}[pipeline.p]
topic = 't'
decode = {{ format = 'csv', delimiter = ';;', quote = 5, header = true }}
transform = [
    {{ plugin = 'a.wasm', limits = {{ memory = 'lots', time = '10s' }} }},
    {{ plugin = 'b.wasm', setings = {{ a = 1 }} }},
    {{ settings = {{ a = [1] }} }},
]
outputs = {{ late = {{ table = 'late', evry = '1s', size = 'big' }}, other = 'discard' }}
sink = {{ table = 'a', format = 'csv', max_open_files = 'x', rows = 0, every = '1ms', compresion = 'zstd' }}
max_batch_rows = 0
log_retention = '119m'
start = 'yesterday'
swap = {{ probation = '300000000000years' }}
aggregat = {{ plugin = 'x' }}
"
    );
    check(
        &text,
        &[
            "5:40 pipeline.p.decode.delimiter: expected one character, found the string \";;\"",
            "5:54 pipeline.p.decode.quote: expected one character, found the integer 5",
            "5:57 pipeline.p.decode.header: unknown key `header`",
            "7:46 pipeline.p.transform[0].limits.memory: expected a size like \"256MiB\", found the string \"lots\"",
            "8:26 pipeline.p.transform[1].setings: unknown key `setings`",
            "9:5 pipeline.p.transform[2]: the key `plugin` is missing",
            "9:24 pipeline.p.transform[2].settings.a: expected a string, a number, true or false, found an array",
            "11:38 pipeline.p.outputs.late.evry: unknown key `evry`",
            "11:58 pipeline.p.outputs.late.size: expected a size like \"128MiB\", or a number of bytes, found the string \"big\"",
            "11:75 pipeline.p.outputs.other: expected a sink like { table = \"late\" }, or \"drop\", found the string \"discard\"",
            "12:56 pipeline.p.sink.max_open_files: expected a whole number, found the string \"x\"",
            "12:68 pipeline.p.sink.rows: must be at least 1; leave the key out for no limit",
            "12:79 pipeline.p.sink.every: must be at least \"100ms\"",
            "12:86 pipeline.p.sink.compresion: unknown key `compresion`",
            "13:18 pipeline.p.max_batch_rows: must be between 1 and 1000000",
            "14:17 pipeline.p.log_retention: must be at least \"3h\"",
            "15:9 pipeline.p.start: expected \"earliest\", \"latest\" or a time like \"2026-01-31T06:00:00Z\", found the string \"yesterday\"",
            "16:22 pipeline.p.swap.probation: must be at most \"10000days\"",
            "17:1 pipeline.p.aggregat: unknown key `aggregat`",
        ],
    );
}

#[test]
fn pipelines_without_a_mistake_can_be_checked_further() {
    let text =
        format!("{KAFKA_AND_STORE}{PIPELINE}[pipeline.q]\ntopic = 'u'\ndecode.format = 'json'\nsink.table = 5\n");
    let flawed = parse_flawed(&text, &[]).unwrap_err();
    assert_eq!(flawed.pipelines.keys().collect::<Vec<_>>(), ["p"]);
    let problems = flawed.with([Problem::error("pipeline.p.sink.table", "x")]);
    assert_eq!(lines(&problems)[0], "6:18 pipeline.p.sink.table: x");
    assert_eq!(problems.0.len(), 2, "{problems}");
}

#[test]
fn a_misspelt_key_is_not_missing_too() {
    let text = format!(
        "{KAFKA_AND_STORE}[pipeline.p]\ntoppic = 't'\ndecode = {{ fromat = 'json' }}\n\
         sink = {{ tabel = 'a', evry = '1s' }}\noutputs.x = {{ every = '1s', zzz = 1 }}\n"
    );
    check(
        &text,
        &[
            "4:1 pipeline.p.toppic: unknown key `toppic`",
            "5:12 pipeline.p.decode.fromat: unknown key `fromat`",
            "6:10 pipeline.p.sink.tabel: unknown key `tabel`",
            "6:23 pipeline.p.sink.evry: unknown key `evry`",
            "7:13 pipeline.p.outputs.x: the key `table` is missing",
            "7:29 pipeline.p.outputs.x.zzz: unknown key `zzz`",
        ],
    );
}

#[test]
fn several_syntax_errors_and_what_is_wrong_beside_them() {
    check(
        "[kafka]\n\"bootstrap.servers\" = \n[store]\nurl = 'file:./lake\n[pipeline.p]\ntopic = 't'\nsnk = 1\n",
        &["2:23 string values must be quoted", "4:19 invalid literal string", "7:1 pipeline.p.snk: unknown key `snk`"],
    );
}

#[test]
fn what_is_missing_is_named_once() {
    check(
        "",
        &[
            "- kafka: the key `bootstrap.servers` is missing",
            "- the key `store` is missing",
            "- pipeline: there is no pipeline",
        ],
    );
}

#[test]
fn tables_topics_and_groups_must_not_meet() {
    let pipeline = |name: &str, more: &str| format!("[pipeline.{name}]\ndecode.format = 'json'\n{more}\n");
    let text = [
        KAFKA_AND_STORE.to_owned(),
        pipeline("a", "topic = 't'\nsink.table = 'x/y'\noutputs.late.table = 'x/y/late'"),
        pipeline("b", "topics = ['t', 'u', 't', 'no topic']\nsink.table = 'x/y'\ngroup = 'rillgate.a'"),
        pipeline("c", "topic = 't'\ntopics = ['u']\nsink.table = '_dead/c'"),
    ];
    check(
        &text.concat(),
        &[
            "7:22 pipeline.a.outputs.late.table: the tables `x/y/late` and `x/y` (of `pipeline.a.sink`) lie one inside of the other",
            "10:21 pipeline.b.topics[2]: the topic `t` is named twice",
            "10:26 pipeline.b.topics[3]: `no topic` can't be a topic's name",
            "11:14 pipeline.b.sink.table: `pipeline.a.sink` writes the table `x/y` too",
            "12:9 pipeline.b.group: the pipeline `a` reads a topic of this one in the same group, `rillgate.a`",
            "16:10 pipeline.c.topics: both `topic` and `topics` are given",
            "17:14 pipeline.c.sink.table: `_dead/c` can't be a table's folder: readers skip folders that start with `_` or `.`",
        ],
    );
}

#[test]
fn topics_and_tables_are_told_apart() {
    let pipeline = |name: &str, more: &str| format!("[pipeline.{name}]\ndecode.format = 'json'\n{more}\n");
    let text = [
        KAFKA_AND_STORE.to_owned(),
        pipeline(
            "a",
            "topic = 't'\nsink = { topic = 'out', key = ['id'] }\noutputs.x = { topic = 'out', every = '1s' }",
        ),
        pipeline("b", "topic = 'u'\nsink = { topic = 'u' }\ngroup = 'rillgate.a.epochs'"),
        pipeline("c", "topic = 'v'\nsink = { topic = 'no topic', partitions = 0, max_open_files = 3, kee = 'x' }"),
        pipeline("d", "topic = 'w'\nsink = { table = 'd', topic = 'd' }\noutputs.y = { table = 'y', tombstone = 'z' }"),
    ];
    check(
        &text.concat(),
        &[
            "11:18 pipeline.b.sink.topic: the pipeline reads the topic `u` that it writes",
            "12:9 pipeline.b.group: the group `rillgate.a.epochs` is one of those in which rillgate keeps what it has sent to topics",
            "16:18 pipeline.c.sink.topic: `no topic` can't be a topic's name",
            "16:43 pipeline.c.sink.partitions: must be at least 1; leave the key out for the cluster's default",
            "16:63 pipeline.c.sink.max_open_files: `max_open_files` is for a `table`, and this sink is a topic",
            "16:66 pipeline.c.sink.kee: unknown key `kee`",
            "20:31 pipeline.d.sink.topic: a sink has a `table` or a `topic`, not both",
            "21:40 pipeline.d.outputs.y.tombstone: `tombstone` is for a `topic`, and this sink is a table",
        ],
    );
}

#[test]
fn environment_expands_inside_of_values_only() {
    let text = format!(
        "{KAFKA_AND_STORE}{PIPELINE}[pipeline.q]\ntopic = 't2'\ndecode.format = 'json'\n\
         sink = {{ table = '${{TABLE}}/q', rows = '${{ROWS}}', every = '${{EVERY:-5s}}' }}\n\
         transform = [{{ plugin = 'x.wasm', settings = {{ a = '${{QUOTE}}', b = 12, c = true, d = '$${{x}}' }} }}]\n"
    );
    let config = good(&text, &[]);
    let pipeline = &config.pipelines["q"];
    assert_eq!(pipeline.sink.target.table().unwrap().table, "from/env/q");
    assert_eq!((pipeline.sink.rows, pipeline.sink.every), (Some(500), Duration::from_secs(5)));
    let settings: Vec<_> = pipeline.transform[0].settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(settings, [("a", "'\"\n[x]"), ("b", "12"), ("c", "true"), ("d", "${x}")]);
    let text = format!("{KAFKA_AND_STORE}{PIPELINE}group = 'a-${{NOPE}}-${{ALSO}}'\n");
    check(
        &text,
        &[
            "7:12 pipeline.p.group: the environment variable `NOPE` is not set",
            "7:20 pipeline.p.group: the environment variable `ALSO` is not set",
        ],
    );
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let text = format!("{KAFKA_AND_STORE}{PIPELINE}transform = [{{ plugin = 'x.wasm' }}]\n");
    let overrides = [
        "pipeline.p.sink.every=30s",
        "pipeline.p.sink.partition_by=['date']",
        "pipeline.p.transform[0].settings.keep=all",
        "pipeline.p.group=5",
        "kafka.session.timeout.ms=9000",
        "store.aws_region=eu-central-1",
    ];
    let config = good(&text, &overrides);
    let pipeline = &config.pipelines["p"];
    assert_eq!((pipeline.sink.every, pipeline.group.as_str()), (Duration::from_secs(30), "5"));
    assert_eq!(pipeline.sink.target.table().unwrap().partition_by, ["date"]);
    assert_eq!(pipeline.transform[0].settings["keep"], "all");
    assert_eq!(pipeline.kafka["session.timeout.ms"], "9000");
    assert_eq!(config.store.options["aws_region"], "eu-central-1");

    let store = |overrides: &[String]| {
        let env = |name: &str| (name == "RILLGATE_STORE").then(|| "s3://from-env".to_owned());
        parse(&text, "f", Path::new("."), overrides, &env).unwrap().store.url
    };
    assert_eq!(store(&[]), "s3://from-env");
    assert_eq!(store(&["store.url=gs://flag".to_owned()]), "gs://flag");
}

#[test]
fn wrong_overrides_are_reported_where_they_are_written() {
    let text = format!("{KAFKA_AND_STORE}{PIPELINE}transform = [{{ plugin = 'x.wasm' }}]\n");
    let overrides = [
        "pipeline.p.sink.evry=30s",
        "pipeline.pp.topic=x",
        "pipeline.p.transform[3].plugin=x",
        "pipeline.p.topic.x=1",
        "nothing",
        "pipeline.p.sink.size=huge",
    ];
    let problems = parse_with(&text, &overrides).unwrap_err();
    let found: Vec<_> =
        problems.0.iter().map(|p| p.location.as_ref().map(|at| (at.file.as_str(), at.text.as_str()))).collect();
    assert_eq!(found.len(), 6, "{problems}");
    assert!(found.iter().all(|place| place.is_some_and(|(file, _)| file == "--set")), "{found:?}");
    let text = problems.to_string();
    for expected in
        ["there is no pipeline `pp`", "did you mean `p`?", "unknown key `evry`", "did you mean `every`?", "needs a `=`"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn a_confluent_cloud_file_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let properties = "# Required connection configs\nbootstrap.servers=pkc-1.example:9092\nsecurity.protocol=SASL_SSL\n\
        sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='KEY' password='hunter2';\n\
        sasl.mechanism=PLAIN\nclient.dns.lookup=use_all_dns_ips\nsession.timeout.ms=45000\nschema.registry.url=https://x\n\
        group.id=mine\n";
    std::fs::write(folder.path().join("client.properties"), properties).unwrap();
    let text =
        format!("[kafka]\nproperties_file = 'client.properties'\nclient.id = 'me'\n[store]\nurl='lake'\n{PIPELINE}");
    let config = parse(&text, "pipelines.toml", folder.path(), &[], &env).unwrap();
    let pairs = |key: &str| config.kafka.get(key).map(String::as_str);
    assert_eq!(pairs("bootstrap.servers"), Some("pkc-1.example:9092"));
    assert_eq!((pairs("sasl.username"), pairs("sasl.password")), (Some("KEY"), Some("hunter2")));
    assert_eq!((pairs("sasl.mechanism"), pairs("client.id"), pairs("group.id")), (Some("PLAIN"), Some("me"), None));
    let warnings = lines(&config.warnings);
    assert_eq!(warnings, ["2:19 kafka.properties_file: ignored in client.properties: schema.registry.url, group.id"]);
    assert!(!format!("{config:?}").contains("hunter2"));

    let broken = properties.replace("45000", "soon").replace("plain.Plain", "x.Krb5");
    std::fs::write(folder.path().join("client.properties"), broken).unwrap();
    let problems = parse(&text, "pipelines.toml", folder.path(), &[], &env).unwrap_err().problems;
    let files: Vec<_> =
        problems.0.iter().filter_map(|p| p.location.as_ref()).map(|at| (at.file.as_str(), at.line)).collect();
    assert_eq!(files, [("client.properties", 4), ("client.properties", 7), ("pipelines.toml", 2)]);
    assert!(!format!("{problems} {}", problems.to_json_lines()).contains("hunter2"), "{problems}");
}

#[test]
fn secrets_show_up_nowhere() {
    let text = "[kafka]\n\"bootstrap.servers\" = 'k:1'\n\"sasl.password\" = 'hunter2'\nssl.key.pem = \"hunter2\"\n\
                \"enable.ssl.certificate.verification\" = 'hunter'\n[store]\nurl = 's3://user:hunter2@b/'\nsecret_access_key = 'hunter2'\nbad_token = 'hunter2'\n";
    let problems = parse_with(&format!("{text}{PIPELINE}"), &["kafka.sasl.password=['hunter2']"]).unwrap_err();
    let shown = format!("{problems:?} {problems} {} {}", problems.render(true), problems.to_json_lines());
    assert!(!shown.contains("hunter2"), "{problems}");
    assert!(shown.contains("bad_token"), "{problems}");
}

#[test]
fn defaults_and_everything_given() {
    let config = good(&format!("{KAFKA_AND_STORE}{PIPELINE}"), &[]);
    let defaults = &config.pipelines["p"];
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    assert_eq!((defaults.group.as_str(), defaults.start), ("rillgate.p", Start::Earliest));
    assert_eq!((defaults.sink.every, defaults.sink.size), (Duration::from_secs(60), 128 << 20));
    assert_eq!((defaults.sink.target.table().unwrap().format, defaults.max_batch_rows), (Format::Parquet, 8192));
    assert_eq!((defaults.delivery, defaults.on_data_loss), (Delivery::ExactlyOnce, OnDataLoss::Fail));
    assert_eq!(defaults.log_retention, Duration::from_secs(604_800));
    assert_eq!(config.locate("pipeline.p.sink.partition_by").unwrap().line, 6);
    assert_eq!(config.locate("pipeline.p.columns.x").unwrap().line, 3);

    let text = format!(
        "{KAFKA_AND_STORE}http.listen = '0.0.0.0:80'\n[pipeline.p]\ntopics = ['t', 'u']\ngroup = 'g'\nstart = 2026-01-31T06:00:00Z\n\
         decode = {{ format = 'csv' }}\ncolumns = {{ z = 'utf8', a = 'int64', m = {{ type = 'timestamp' }} }}\n\
         outputs = {{ late = {{ table = 'late', format = 'json' }}, rest = 'drop' }}\ndead_letters.format = 'parquet'\n\
         delivery = 'at-least-once'\non_data_loss = 'continue'\nlog_retention = '3h'\nkafka.fetch.min.bytes = 7\n\
         sink = {{ table = 'a', size = 1000, every = '5m' }}\n"
    );
    let config = good(&text, &[]);
    let all = &config.pipelines["p"];
    assert_eq!(all.start, Start::At("2026-01-31T06:00:00Z".parse().unwrap()));
    assert_eq!(all.columns.keys().collect::<Vec<_>>(), ["z", "a", "m"], "in the order of the file");
    assert_eq!(all.sinks().map(|(path, _)| path).collect::<Vec<_>>(), ["sink", "outputs.late"]);
    assert_eq!(all.outputs["rest"], OutputOptions::Drop);
    assert_eq!((all.dead_letters.format, all.delivery), (DeadLetterFormat::Parquet, Delivery::AtLeastOnce));
    assert_eq!((all.kafka["fetch.min.bytes"].as_str(), all.kafka["bootstrap.servers"].as_str()), ("7", "k:9092"));
    assert_ne!(all.digest(), defaults.digest());
}

#[test]
fn problems_as_json_have_place_and_hint() {
    let problems = parse_with(&format!("{KAFKA_AND_STORE}{PIPELINE}strat = 'latest'\n"), &[]).unwrap_err();
    let json: serde_json::Value = serde_json::from_str(&problems.to_json_lines()).unwrap();
    assert_eq!(json["line"], 7);
    assert_eq!(json["column"], 1);
    assert_eq!(json["text"], "strat");
    assert_eq!(json["path"], "pipeline.p.strat");
    assert!(json["hint"].as_str().unwrap().starts_with("did you mean `start`?"), "{json}");
    assert!(problems.to_string().contains("pipelines.toml:7:1"), "{problems}");
}
