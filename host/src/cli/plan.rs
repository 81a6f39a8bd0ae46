//! Asking a running host: `rillgate plan`, and what `rillgate plugin` and `rillgate dev` tell it.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{ConfigArgs, Exit, Say, load, runtime};
use crate::config::{Config, Token};
use crate::http::admin::HEADER;

/// Compiling a large plugin and trying it takes its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Which host.
#[derive(Debug, Clone, Args)]
pub(super) struct HostArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Where the host listens; what `[http]` of the configuration says unless given.
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

/// A host that may run.
pub(super) struct Host {
    base: String,
    token: Option<Token>,
}

impl HostArgs {
    /// The host of this configuration.
    pub(super) fn of(&self, config: &Config) -> Host {
        let base = self.host.clone().unwrap_or_else(|| format!("http://{}", config.http.listen));
        Host { base: base.trim_end_matches('/').to_owned(), token: config.http.token.clone() }
    }

    /// The host of the configuration that is given.
    pub(super) fn load(&self, json: bool) -> Result<Host, Exit> {
        match self.unheard() {
            Some(unheard) => Err((Exit::BadInput, unheard).say("rillgate")),
            None => load(&self.config, json).map(|config| self.of(&config)),
        }
    }

    /// Why the host would not do what the command line says, if it says what only this process would know.
    pub(super) fn unheard(&self) -> Option<String> {
        let ConfigArgs { overrides, only, .. } = &self.config;
        // Where the host is, and its token.
        let is_of_host = |value: &String| value.trim_start().starts_with("http.");
        let argument = match (overrides.iter().find(|value| !is_of_host(value)), only.first()) {
            (Some(value), _) => format!("--set {value}"),
            (None, Some(prefix)) => format!("--only {prefix}"),
            (None, None) => return None,
        };
        Some(format!("the host that does the work doesn't hear `{argument}`: write it in its file, or start it so"))
    }
}

impl Host {
    /// Asks for what is at a path below `/api/v1/`; with `body` it posts that. [`Exit::Environment`]: no host answers.
    pub(super) fn ask(&self, path: &str, body: Option<Vec<u8>>) -> Result<Value, (Exit, String)> {
        let Self { base, token } = self;
        let url = format!("{base}/api/v1/{path}");
        let asked = async {
            // The token is for the host, and for no proxy on the way.
            let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
            let request = match body {
                Some(body) => client.post(&url).body(body),
                None => client.get(&url),
            };
            let request = request.header(HEADER, "1");
            let request = match token {
                Some(token) => request.bearer_auth(&token.0),
                None => request,
            };
            let response = request.send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        };
        let runtime = runtime().map_err(|exit| (exit, "no runtime".to_owned()))?;
        let (status, text) = runtime
            .block_on(asked)
            .map_err(|error| (Exit::Environment, format!("no host answers at {base}: {error}")))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() {
            return Ok(answer);
        }
        let reason = answer["error"].as_str().map_or_else(|| format!("{status}: {answer}"), str::to_owned);
        Err((Exit::Failed, reason))
    }
}

pub(super) fn plan(args: &HostArgs, json: bool) -> Exit {
    let asked = args.load(json).and_then(|host| {
        let file = &args.config.config;
        let unreadable = |error| (Exit::BadInput, format!("{}: {error}", file.display()));
        let text = std::fs::read(file).map_err(unreadable);
        text.and_then(|text| host.ask("plan", Some(text))).map_err(|error| error.say("plan"))
    });
    let changes = match asked {
        Ok(answer) => answer["changes"].as_array().cloned().unwrap_or_default(),
        Err(exit) => return exit,
    };
    for change in &changes {
        match json {
            true => println!("{change}"),
            false => println!("{}", change["text"].as_str().unwrap_or_default()),
        }
    }
    if changes.is_empty() && !json {
        println!("nothing would change");
    }
    Exit::Fine
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_the_host_would_not_hear_is_refused() {
        let unheard = |set: &[&str], only: &[&str]| {
            let [overrides, only] = [set, only].map(|all| all.iter().map(|one| (*one).to_owned()).collect());
            let config = ConfigArgs { config: PathBuf::from("pipelines.toml"), overrides, only };
            HostArgs { config, host: None }.unheard()
        };
        assert_eq!(unheard(&["http.listen=127.0.0.1:1", "http.token=secret"], &[]), None);
        let refused = unheard(&["http.token=secret", "pipeline.a.sink.every=1s"], &["a"]).unwrap();
        assert!(refused.contains("doesn't hear `--set pipeline.a.sink.every=1s`"), "{refused}");
        assert!(unheard(&[], &["mta"]).unwrap().contains("`--only mta`"));
    }
}
