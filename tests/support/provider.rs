//! The certified provider (`oidc-provider` in Node) and a client of its control API: what it counted and
//! minted, and how it shall behave from now on.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::browser::{Browser, Call};
use super::peers;
use super::process::Process;

/// A start that takes longer is given up.
const START: Duration = Duration::from_secs(15);

/// The running provider.
pub struct Provider {
    pub issuer: String,
    pub port: u16,
    _process: Process,
}

impl Provider {
    /// Starts it with settings (`clients`, `lifetimes`, …; see tests/peers/README.md).
    pub async fn start(settings: &Value) -> Self {
        let modules = peers::root().join("tests/peers/node_modules/oidc-provider");
        assert!(modules.exists(), "{} is missing: run tests/install.sh", modules.display());
        // Seen twice in a thousand starts on a crowded machine: Node loads everything and then stands still.
        for _ in 0..3 {
            let mut process = launch(settings);
            let ready = process.awaits("prints its issuer", |line| {
                let ready: Value = serde_json::from_str(line).ok()?;
                ready.get("issuer").is_some().then_some(ready)
            });
            if let Ok(ready) = tokio::time::timeout(START, ready).await {
                return Self::at(&ready, process);
            }
        }
        panic!("the provider does not start");
    }

    fn at(ready: &Value, process: Process) -> Self {
        let issuer = ready["issuer"].as_str().expect("an issuer").to_owned();
        let port = ready["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Self { issuer, port: port.expect("a port"), _process: process }
    }

    /// How it behaves from now on (replaces what was set before; `{}` is honest).
    pub async fn behaves(&self, behaviour: Value) {
        self.control("behaviour", behaviour).await;
    }

    /// Changes token lifetimes, in seconds.
    pub async fn lifetimes(&self, lifetimes: Value) {
        self.control("lifetimes", lifetimes).await;
    }

    /// Replaces the registered clients.
    pub async fn clients(&self, clients: Value) {
        self.control("clients", clients).await;
    }

    /// Signs with new keys from now on.
    pub async fn rotate_keys(&self, keep_old: bool) {
        self.control("rotate_keys", json!({ "keep_old": keep_old })).await;
    }

    /// Kills every grant of a user.
    pub async fn revoke_user(&self, login: &str) {
        self.control("revoke_user", json!({ "login": login })).await;
    }

    /// Gone for all but the control API, or back.
    pub async fn down(&self, down: bool) {
        self.behaves(if down { json!({ "down": true }) } else { json!({}) }).await;
    }

    /// Everything it counted and minted.
    pub async fn state(&self) -> Value {
        let response = Browser::default().send(Call::bare("GET", &self.url("_control/state"))).await;
        response.json()
    }

    /// How often an endpoint was asked, as `counts` of its state words it.
    pub async fn count(&self, what: &str) -> u64 {
        self.state().await["counts"][what].as_u64().unwrap_or(0)
    }

    /// How many refresh requests arrived.
    pub async fn refreshes(&self) -> u64 {
        self.count("token.refresh_token").await
    }

    /// How many refresh tokens were presented a second time.
    pub async fn reuses(&self) -> u64 {
        self.state().await["reused_refresh_tokens"].as_u64().unwrap_or(0)
    }

    /// The access tokens in the order they were minted.
    pub async fn access_tokens(&self) -> Vec<String> {
        strings(&self.state().await["tokens"]["access"])
    }

    /// Every token and code it ever gave out.
    pub async fn minted(&self) -> Vec<String> {
        let state = self.state().await;
        let kinds = ["access", "refresh", "id", "codes"];
        kinds.iter().flat_map(|kind| strings(&state["tokens"][*kind])).collect()
    }

    fn url(&self, path: &str) -> Url {
        format!("{}/{path}", self.issuer).parse().expect("a URL")
    }

    async fn control(&self, command: &str, body: Value) {
        let mut call = Call::bare("POST", &self.url(&format!("_control/{command}")));
        call.body = body.to_string().into_bytes();
        let response = Browser::default().send(call).await;
        assert_eq!(response.status, 200, "control {command} {body}: {}", response.text());
    }
}

fn launch(settings: &Value) -> Process {
    let mut command = Command::new("node");
    command.arg(peers::root().join("tests/peers/provider.mjs"));
    command.args(["--port", "0", "--host", "127.0.0.1", "--config"]).arg(settings.to_string());
    Process::spawn("provider", command)
}

fn strings(values: &Value) -> Vec<String> {
    let list = values.as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}
