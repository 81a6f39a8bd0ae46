//! A schema registry, a producer of Avro that is no part of rillgate, and a door before the registry that wants a password.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use serde_json::{Value, json};

use super::servers::{clone, servers};
use super::wait::{seconds, until};

/// The shared registry's URL. Returns when it answers: it is started with the other servers, and takes longest.
pub fn registry() -> &'static str {
    static ANSWERS: Once = Once::new();
    let url = servers().registry.as_str();
    ANSWERS.call_once(|| until(seconds(300), "the schema registry to answer", || answers(url).then_some(())));
    url
}

/// `host:port` of a URL, and the path after it.
pub fn address_and_path(url: &str) -> (&str, &str) {
    let rest = url.trim_start_matches("http://");
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

fn answers(url: &str) -> bool {
    let (address, path) = address_and_path(url);
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path}/subjects HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    ask().is_ok_and(|line| line.contains(" 200 "))
}

/// A producer of Avro: fastavro and Confluent's client, in a Python that is told line by line.
#[derive(Debug)]
pub struct AvroProducer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl AvroProducer {
    /// Starts one, for the shared registry and the shared Kafka.
    pub fn start() -> Self {
        let script = clone().join("tests/src/support/avro.py");
        let mut command = Command::new(&servers().registry_python);
        command.arg(script).arg(registry()).arg(&servers().kafka);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, requests, answers }
    }

    /// Registers a schema under a subject; its id.
    #[track_caller]
    pub fn register(&mut self, subject: &str, schema: &Value) -> u64 {
        self.ask(&json!({ "register": subject, "schema": schema }))["id"].as_u64().unwrap()
    }

    /// Sends records, `{"partition", "key", "value"}` each, by the schemas of these ids; what has none is bytes in hex.
    #[track_caller]
    pub fn send(&mut self, topic: &str, key: Option<u64>, value: Option<u64>, records: &[Value]) {
        let sent = self.ask(&json!({ "topic": topic, "key": key, "value": value, "records": records }));
        assert_eq!(sent["sent"], records.len());
    }

    #[track_caller]
    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).expect("the producer died");
        assert!(answer.get("error").is_none(), "{}", answer["error"]);
        answer
    }
}

impl Drop for AvroProducer {
    fn drop(&mut self) {
        // Fails when it has died already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A door before an HTTP server on a port of its own, which answers 401 to whoever doesn't know user and password. It stays
/// open for as long as the tests run.
pub fn door(upstream: &str, login_base64: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (upstream, login) = (upstream.to_owned(), format!("authorization: basic {}\r\n", login_base64.to_lowercase()));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (upstream, login) = (upstream.clone(), login.clone());
            // A client that goes away in between has its reasons.
            std::thread::spawn(move || let_in(client, &upstream, &login).ok());
        }
    });
    format!("http://{address}")
}

/// Looks at the first request of a connection, as who sends it is who sends the others.
fn let_in(mut client: TcpStream, upstream: &str, login: &str) -> std::io::Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => head.extend_from_slice(&buffer[..bytes]),
        }
    }
    if !String::from_utf8_lossy(&head).to_lowercase().contains(login) {
        let body = r#"{"error_code":401,"message":"Unauthorized"}"#;
        let length = body.len();
        write!(client, "HTTP/1.1 401 Unauthorized\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
        return client.shutdown(Shutdown::Write);
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(&head)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)
}
