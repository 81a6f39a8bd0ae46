//! The servers that `tests/servers/up` has started, and servers that a test has for itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::proxy::Proxy;

/// What `up` wrote down.
#[derive(Debug)]
pub struct Servers {
    /// `host:port` of Kafka's plain listener.
    pub kafka: String,
    /// `host:port` of the listener that wants SASL.
    pub kafka_sasl: String,
    /// Who may log in there.
    pub kafka_user: String,
    /// And by what.
    pub kafka_password: String,
    /// The shared S3 server.
    pub s3: S3,
    /// A Python that has DuckDB and pyarrow.
    pub python: PathBuf,
    /// The schema registry's URL; `support::registry` waits for it.
    pub registry: String,
    /// A Python that has fastavro and a Kafka client.
    pub registry_python: PathBuf,
    directory: PathBuf,
}

/// Where an S3 server is, and what opens it.
#[derive(Debug, Clone)]
pub struct S3 {
    /// `http://host:port`.
    pub endpoint: String,
    /// Access key id.
    pub key: String,
    /// Secret access key.
    pub secret: String,
    /// A bucket that exists.
    pub bucket: String,
}

/// The shared servers. Panics, saying what to do, where they have not been started.
pub fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let directory = match std::env::var_os("RILLGATE_TEST_SERVERS") {
            Some(directory) => PathBuf::from(directory),
            None => target().join("servers"),
        };
        let file = directory.join("env");
        let env = read_env(&file).unwrap_or_else(|| {
            panic!("no servers to test against ({} is missing): run `make test`, or `tests/servers/up`", file.display())
        });
        Servers {
            kafka: env["RILLGATE_TEST_KAFKA"].clone(),
            kafka_sasl: env["RILLGATE_TEST_KAFKA_SASL"].clone(),
            kafka_user: env["RILLGATE_TEST_KAFKA_USER"].clone(),
            kafka_password: env["RILLGATE_TEST_KAFKA_PASSWORD"].clone(),
            s3: S3::from_env(&env),
            python: PathBuf::from(&env["RILLGATE_TEST_PYTHON"]),
            registry: env["RILLGATE_TEST_REGISTRY"].clone(),
            registry_python: PathBuf::from(&env["RILLGATE_TEST_REGISTRY_PYTHON"]),
            directory,
        }
    })
}

/// Cargo's target directory, which this test binary is in.
pub fn target() -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/<binary>
    binary.ancestors().nth(3).unwrap().to_path_buf()
}

/// The root of the clone.
pub fn clone() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A name that no other test and no earlier run has used.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    format!("{name}_{since_epoch}_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl S3 {
    fn from_env(env: &HashMap<String, String>) -> Self {
        Self {
            endpoint: env["RILLGATE_TEST_S3"].clone(),
            key: env["RILLGATE_TEST_S3_KEY"].clone(),
            secret: env["RILLGATE_TEST_S3_SECRET"].clone(),
            bucket: env["RILLGATE_TEST_S3_BUCKET"].clone(),
        }
    }

    /// The same server, reached another way: through a proxy.
    pub fn through(&self, address: &str) -> Self {
        Self { endpoint: format!("http://{address}"), ..self.clone() }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }
}

/// A Kafka of the test's own, which it may restart and kill; ended and removed when dropped.
#[derive(Debug)]
pub struct OwnKafka {
    server: OwnServer,
    /// `host:port` of the plain listener; a restart keeps it.
    pub bootstrap: String,
}

impl OwnKafka {
    /// Starts one.
    pub fn start() -> Self {
        Self::launch(OwnServer::new("kafka")).0
    }

    /// Starts one with a listener for each proxy, whose clients stay with that proxy.
    pub fn start_behind(proxies: &[Proxy]) -> Self {
        let mut server = OwnServer::new("kafka");
        let ports: Vec<String> = proxies.iter().map(|proxy| proxy.port().to_string()).collect();
        server.env.push(("KAFKA_PROXY_PORTS", ports.join(" ")));
        let (kafka, proxied) = Self::launch(server);
        proxies.iter().zip(proxied.split(' ')).for_each(|(proxy, listener)| proxy.redirect(listener));
        kafka
    }

    fn launch(server: OwnServer) -> (Self, String) {
        let env = server.start();
        let bootstrap = env["RILLGATE_TEST_KAFKA"].clone();
        (Self { server, bootstrap }, env["RILLGATE_TEST_KAFKA_PROXIED"].clone())
    }

    /// Ends it in order and starts it again, with its port and data.
    pub fn restart(&self) {
        self.server.call("restart");
    }

    /// Ends it as a power cut does.
    pub fn kill(&self) {
        self.server.call("kill");
    }

    /// Starts it again, with its port and data.
    pub fn start_again(&self) {
        self.server.call("start");
    }
}

/// An S3 server of the test's own, which it may restart and kill; ended and removed when dropped.
#[derive(Debug)]
pub struct OwnS3 {
    server: OwnServer,
    /// How to reach it; a restart keeps that.
    pub s3: S3,
}

impl OwnS3 {
    /// Starts one.
    pub fn start() -> Self {
        let server = OwnServer::new("s3");
        let s3 = S3::from_env(&server.start());
        Self { server, s3 }
    }

    /// Ends it as a power cut does.
    pub fn kill(&self) {
        self.server.call("kill");
    }

    /// Starts it again, with its port and objects.
    pub fn start_again(&self) {
        self.server.call("start");
    }
}

#[derive(Debug)]
struct OwnServer {
    kind: &'static str,
    directory: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl OwnServer {
    fn new(kind: &'static str) -> Self {
        // Below the shared servers' directory, so that `down` ends what a test that was killed has left behind.
        let directory = servers().directory.join("own").join(unique(kind));
        Self { kind, directory, env: Vec::new() }
    }

    fn start(&self) -> HashMap<String, String> {
        self.call("start");
        read_env(&self.directory.join("env")).unwrap()
    }

    fn call(&self, action: &str) {
        let script = clone().join("tests/servers").join(self.kind);
        let mut command = Command::new(script);
        command.arg(action).arg(&self.directory).envs(self.env.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let script = clone().join("tests/servers").join(self.kind);
        // A failure here would hide the one that the test is about.
        let _ = Command::new(script).arg("kill").arg(&self.directory).output();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn read_env(file: &Path) -> Option<HashMap<String, String>> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}
