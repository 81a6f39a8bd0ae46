//! What operators and developers do to a running host: plugins pushed, promoted and rolled back, pipelines that come, change and go with
//! their file, and `rillgate dev`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::numbers::{Numbers, STEP, TABLE, digest, version};
use support::host::Host;
use support::store::Place;
use support::wait::{seconds, until};

#[test]
fn operators_push_promote_and_roll_back() {
    let numbers = Numbers::new(Place::local(), r#""manual""#);
    let mut host = numbers.config.run();
    let sending = numbers.sending();
    numbers.expect_rows_of(&mut host, &version(0));
    let (status, answer) = numbers.post(&host, "plugins/0", &version(1));
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("waiting"), "{answer}");
    let versions = numbers.versions(&host);
    assert_eq!(
        (&versions["live"][0], &versions["waiting"][0]),
        (&digest(&version(0)).into(), &digest(&version(1)).into())
    );

    assert_eq!(numbers.post(&host, "promote", &[]).0, 200);
    numbers.expect_live(&mut host, &version(1));
    numbers.expect_rows_of(&mut host, &version(1));
    assert_eq!(numbers.post(&host, "promote", &[]), (409, r#"{"error":"no version waits"}"#.to_owned()));

    assert_eq!(numbers.post(&host, "rollback", &[]).0, 200);
    numbers.expect_live(&mut host, &version(0));
    // It stays out until someone says otherwise, and a restart doesn't.
    assert_eq!(std::fs::read(&numbers.plugin).unwrap(), version(1));
    host.stop();
    let mut host = numbers.config.run();
    numbers.expect_live(&mut host, &version(0));
    let (status, answer) = numbers.post(&host, "rollback?to=ffff", &[]);
    assert_eq!(status, 409, "{answer}");
    let to = &digest(&version(1))[..12];
    assert_eq!(numbers.post(&host, &format!("rollback?to={to}"), &[]).0, 200);
    numbers.expect_live(&mut host, &version(1));
    for to in ["", to] {
        let (status, answer) = numbers.post(&host, &format!("rollback?to={to}"), &[]);
        assert_eq!(status, 409, "{answer}");
    }

    // What can't be opened isn't written over what can.
    let (status, answer) = numbers.post(&host, "plugins/0", &version(2)[..1000]);
    assert!(status == 409 && answer.contains("it is no valid component"), "{status}: {answer}");
    assert_eq!(std::fs::read(&numbers.plugin).unwrap(), version(1));

    let history =
        numbers.config.host(&["plugin", "history", &numbers.topic]).ends_within(seconds(60)).expect_code(0).output;
    for outcome in ["started", "waiting", "live", "rolled_back"] {
        assert!(history.contains(outcome), "no {outcome} in\n{history}");
    }
    let sent = sending.finish();
    host.stop();
    let versions = BTreeMap::from([(digest(&version(0)), 0), (digest(&version(1)), 1)]);
    numbers.expect_exactly_once(sent, &versions);
}

/// What is said to a host may hold its token.
#[test]
fn a_host_is_asked_without_a_proxy_in_between() {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_ascii_lowercase()
        };
        let request = line();
        let headers: Vec<String> = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())).collect();
        let length = headers.iter().find_map(|header| header.strip_prefix("content-length: ")).unwrap();
        reader.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{{\"changes\":[]}}").unwrap();
        request
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipelines.toml");
    let text = "kafka.'bootstrap.servers' = '127.0.0.1:9'\nstore.url = 'lake'\n[pipeline.p]\ntopic = 't'\n\
         decode.format = 'json'\ncolumns.n = 'int64'\nsink.table = 'main'\n";
    std::fs::write(&path, text).unwrap();
    let arguments = ["plan", "--host", &url, "--config", path.to_str().unwrap()];
    // Nobody listens there.
    let proxy = "http://127.0.0.1:9";
    let environment = [("HTTP_PROXY", proxy), ("http_proxy", proxy), ("NO_PROXY", ""), ("no_proxy", "")];
    let asked = Host::start_with(&arguments, &environment).ends_within(seconds(60));
    asked.expect_code(0).expect_output("nothing would change");
    assert_eq!(answering.join().unwrap(), "post /api/v1/plan http/1.1");
}

/// No page in a browser gets to an operator's routes.
#[test]
fn a_request_without_the_operators_header_changes_nothing() {
    use std::io::{Read, Write};
    let numbers = Numbers::new(Place::local(), r#""automatic""#);
    let mut host = numbers.config.run();
    numbers.expect_live(&mut host, &version(0));
    let url = host.url();
    let address = url.trim_start_matches("http://");
    for headers in ["", "Host: evil.example\r\nx-rillgate: 1\r\n"] {
        let host = if headers.is_empty() { format!("Host: {address}\r\n") } else { String::new() };
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let path = format!("/api/v1/pipelines/{}/plugins/0", numbers.topic);
        write!(stream, "POST {path} HTTP/1.1\r\n{host}{headers}Content-Length: 4\r\nConnection: close\r\n\r\nevil")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    assert_eq!(std::fs::read(&numbers.plugin).unwrap(), version(0));
    host.stop();
}

#[test]
fn pipelines_come_change_and_go_with_the_file() {
    let numbers = Numbers::new(Place::local(), r#""automatic""#);
    let path = numbers.config.path();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut host = numbers.config.run();
    let sending = numbers.sending();
    numbers.expect_rows_of(&mut host, &version(0));
    let names = |host: &Host| -> Vec<String> {
        let status: Value = serde_json::from_str(&host.ask("GET", "/api/v1/pipelines", &[]).1).unwrap();
        status["pipelines"].as_array().unwrap().iter().map(|one| one["pipeline"].as_str().unwrap().to_owned()).collect()
    };
    let said = |host: &mut Host, words: &str| {
        until(seconds(60), words, || {
            host.expect_running();
            host.output().contains(words).then_some(())
        });
    };

    // A mistake changes nothing and is named.
    std::fs::write(&path, text.replace("every = \"1s\"", "every = \"soon\"")).unwrap();
    said(&mut host, "the configuration is left as it was");
    assert!(host.output().contains("soon"), "{}", host.output());
    assert_eq!(names(&host), std::slice::from_ref(&numbers.topic));

    // Another comes, and the first goes on.
    let second = format!("{}_b", numbers.topic);
    let section = &text[text.find("[pipeline.").unwrap()..];
    let section = section.replacen(&numbers.topic, &second, 1).replace(TABLE, "tables/second");
    std::fs::write(&path, format!("{text}\n{section}")).unwrap();
    said(&mut host, &format!("+ {second}: begins"));
    until(seconds(60), "files of the second", || (!numbers.place.list("tables/second").is_empty()).then_some(()));
    assert_eq!(names(&host), [numbers.topic.clone(), second.clone()]);

    // The first changes while it runs; the second goes, and commits what it had. That is said beforehand.
    let planned = text.replace("every = \"1s\"", "every = \"500ms\"");
    std::fs::write(path.with_extension("new"), &planned).unwrap();
    let arguments =
        ["plan", "--host", &host.url(), "--config", path.with_extension("new").to_str().unwrap()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let plan = Host::start(&arguments).ends_within(seconds(60)).expect_code(0).output;
    for line in [format!("~ {}: goes on with", numbers.topic), format!("- {second}: commits what it has, and ends")] {
        assert!(plan.contains(&line), "no {line:?} in\n{plan}");
    }
    assert_eq!(names(&host), [numbers.topic.clone(), second.clone()], "a plan does nothing");
    // Nor does it tell what is in the host's environment.
    let path_of_host = std::env::var("PATH").unwrap();
    let topic = format!("topic = \"{}\"", numbers.topic);
    for (asked, status) in
        [(format!("{topic}\ngroup = \"x-${{PATH}}\""), 200), ("topic = \"x-${PATH}\"".to_owned(), 409)]
    {
        let asking = text.replace(&topic, &asked);
        let (answered, answer) = host.ask("POST", "/api/v1/plan", asking.as_bytes());
        assert!(answered == status && answer.contains("x-${PATH}"), "{answered}: {answer}");
        assert!(!answer.contains(&path_of_host[..20]), "{answer}");
    }
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    said(&mut host, &format!("- {second}: commits what it has, and ends"));
    said(&mut host, &format!("~ {}: goes on with", numbers.topic));
    until(seconds(60), "the second to be gone", || {
        (names(&host) == std::slice::from_ref(&numbers.topic)).then_some(())
    });
    assert!(host.output().contains("every: 500ms"), "{}", host.output());

    // What can't be changed while it runs has the pipeline begin again.
    let moved = planned.replace("swap = ", "log_retention = \"4h\"\nswap = ");
    std::fs::write(&path, moved).unwrap();
    said(&mut host, "begins again, because of `log_retention`");
    let sent = sending.finish();
    host.stop();
    numbers.expect_exactly_once(sent, &BTreeMap::from([(digest(&version(0)), 0)]));
}

/// A pipeline of its own, too.
#[test]
fn a_pipeline_whose_plugin_comes_after_the_configuration_begins_then() {
    let numbers = Numbers::new(Place::local(), r#""automatic""#);
    let mut host = numbers.config.run();
    numbers.expect_live(&mut host, &version(0));
    let path = numbers.config.path();
    let text = std::fs::read_to_string(&path).unwrap();
    let second = format!("{}_b", numbers.topic);
    let section = &text[text.find("[pipeline.").unwrap()..];
    let section = section.replacen(&numbers.topic, &second, 1).replace("numbers.wasm", "later.wasm");
    std::fs::write(&path, format!("{text}\n{}", section.replace(TABLE, "tables/second"))).unwrap();
    until(seconds(60), "the host to miss the plugin", || {
        host.expect_running();
        host.output().contains("the pipeline does not start").then_some(())
    });
    let sending = numbers.sending();
    std::fs::write(numbers.plugin.with_file_name("later.wasm"), version(0)).unwrap();
    until(seconds(60), "files of the second", || {
        host.expect_running();
        (!numbers.place.list("tables/second").is_empty()).then_some(())
    });
    let sent = sending.finish();
    host.stop();
    numbers.expect_exactly_once(sent, &BTreeMap::from([(digest(&version(0)), 0)]));
}

/// What a configuration wants is taken as soon as it is there, though it wasn't when that was read.
#[test]
fn a_plugin_that_comes_after_the_configuration_that_names_it_goes_live() {
    let numbers = Numbers::new(Place::local(), r#""automatic""#);
    let mut host = numbers.config.run();
    let sending = numbers.sending();
    numbers.expect_rows_of(&mut host, &version(0));
    let path = numbers.config.path();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("numbers.wasm", "later.wasm")).unwrap();
    until(seconds(60), "the host to miss the plugin", || host.output().contains("later.wasm").then_some(()));
    assert_eq!(numbers.versions(&host)["live"][0], digest(&version(0)).as_str());
    std::fs::write(numbers.plugin.with_file_name("later.wasm"), version(1)).unwrap();
    numbers.expect_live(&mut host, &version(1));
    numbers.expect_rows_of(&mut host, &version(1));
    let sent = sending.finish();
    host.stop();
    let versions = BTreeMap::from([(digest(&version(0)), 0), (digest(&version(1)), 1)]);
    numbers.expect_exactly_once(sent, &versions);
}

/// With a host it goes live there; without one it is tried on what a simulated system sends.
#[test]
fn dev_builds_a_plugin_and_shows_what_it_does() {
    let numbers = Numbers::new(Place::local(), r#""automatic""#);
    let mut host = numbers.config.run();
    let sending = numbers.sending();
    numbers.expect_rows_of(&mut host, &version(0));
    let folder = numbers.plugin.parent().unwrap();
    std::fs::write(folder.join("source.bin"), version(3)).unwrap();
    let (source, built) = (folder.to_str().unwrap(), folder.join("built.wasm"));
    let config = numbers.config.path();
    let dev = |more: &[&str]| {
        let artifact = built.to_str().unwrap();
        let arguments =
            ["dev", &numbers.topic, source, "--once", "--build", "cp source.bin built.wasm", "--artifact", artifact];
        let arguments = [&arguments[..], more, &["--config", config.to_str().unwrap()]].concat();
        Host::start(&arguments).ends_within(seconds(60)).expect_code(0).output
    };
    let shown = dev(&["--host", &host.url()]);
    assert!(shown.contains(&format!("{}: live", numbers.topic)), "{shown}");
    numbers.expect_live(&mut host, &version(3));
    let is_shown = |shown: &str, n: u64| shown.contains(&format!(r#"> main: {{"n":{n},"id":"r{}"}}"#, n % STEP));
    let mut of_three =
        shown.lines().filter_map(|line| line.split_once("> main: {\"n\":")?.1.split(',').next()?.parse::<u64>().ok());
    let n = of_three.find(|n| *n > 3 * STEP && is_shown(&shown, *n)).unwrap_or_else(|| panic!("{shown}"));
    let by_the_one_before = format!(r#"< main: {{"n":{},"id":"r{}"}}"#, n % STEP, n % STEP);
    assert!(shown.contains(&by_the_one_before), "{by_the_one_before} in {shown}");
    assert!(shown.contains("ns a row, over") && shown.contains("ns by the version before"), "{shown}");
    let sent = sending.finish();
    host.stop();

    let messages = folder.join("messages.jsonl");
    std::fs::write(&messages, "{\"n\":1,\"id\":\"r1\"}\n{\"n\":2,\"id\":\"r2\"}\n").unwrap();
    let shown = dev(&["--input", messages.to_str().unwrap(), "--host", "http://127.0.0.1:9"]);
    assert!(is_shown(&shown, 3 * STEP + 1) && is_shown(&shown, 3 * STEP + 2), "{shown}");
    let versions = BTreeMap::from([(digest(&version(0)), 0), (digest(&version(3)), 3)]);
    numbers.expect_exactly_once(sent, &versions);
}
