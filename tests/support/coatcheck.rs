//! One replica of the product: the real binary with a config file of its own, on ports of its own, logging
//! at the most talkative level so that a leak would show.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};
use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use super::browser::{Browser, Call};
use super::patience::eventually;
use super::process::{Lines, Process};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_coatcheck");

/// Log filter of every replica.
const TALKATIVE: &str = "debug,coatcheck=trace";

/// A replica.
pub struct Coatcheck {
    pub grpc: String,
    pub http: String,
    pub admin: SocketAddr,
    directory: TempDir,
    config: Value,
    /// Where it listens, as a configuration says it: a restart takes the same ports again, for Envoy points there.
    bound: Value,
    process: Process,
    former: Vec<Lines>,
}

impl Coatcheck {
    /// Starts a replica; its config is written as JSON, which is YAML.
    pub async fn start(config: &Value) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("coatcheck.yaml");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut process = launch(&path);
        let (grpc, http, admin) = addresses(&mut process).await;
        let bound = serde_json::json!({ "grpc": grpc, "http": http, "admin": admin });
        let admin = admin.parse().expect("the admin address");
        Self { grpc, http, admin, directory, config: config.clone(), bound, process, former: Vec::new() }
    }

    /// Its working directory, where relative paths of the config lead.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Starts it again, on the same ports, with a changed config; a running process is killed.
    pub async fn restart(&mut self, change: impl FnOnce(&mut Value)) {
        self.pin_ports();
        change(&mut self.config);
        self.process.kill();
        self.start_again().await;
    }

    /// Replaces the process as an orchestrator does: tells it to stop, waits for its end, starts a new one on the same
    /// ports. Returns how the old one ended.
    pub async fn roll(&mut self) -> ExitStatus {
        self.pin_ports();
        self.process.signal("TERM");
        let process = Mutex::new(&mut self.process);
        let status = eventually("the process ends", || std::future::ready(process.lock().unwrap().ended())).await;
        self.start_again().await;
        status
    }

    /// From the next start on its config names the ports that it has.
    fn pin_ports(&mut self) {
        self.config["listen"] = self.bound.clone();
    }

    async fn start_again(&mut self) {
        self.former.push(self.process.lines().clone());
        std::fs::write(self.path(), self.config.to_string()).unwrap();
        self.process = launch(&self.path());
        addresses(&mut self.process).await;
    }

    /// Writes its config, with the addresses it listens on, into a file of that name beside it.
    pub fn write_config(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        let mut config = self.config.clone();
        config["listen"] = self.bound.clone();
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// The apps of its config.
    pub fn app_names(&self) -> Vec<&str> {
        let apps = self.config["apps"].as_array().map(Vec::as_slice).unwrap_or_default();
        apps.iter().filter_map(|app| app["name"].as_str()).collect()
    }

    /// Changes its configuration file while it runs.
    pub fn rewrite(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.config);
        self.write(&self.config.to_string());
    }

    /// Writes something into its configuration file while it runs.
    pub fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    /// Waits until it has said `count` times that a reload ended like this.
    pub async fn reloaded(&self, outcome: &str, count: u32) {
        let label = format!("outcome=\"{outcome}\"");
        eventually(&format!("a configuration is {outcome}"), || async {
            let reloads = self.metric("coatcheck_config_reloads_total", &[&label]).await;
            assert!(reloads <= f64::from(count), "{reloads} reloads are {outcome}, not {count}");
            (reloads >= f64::from(count)).then_some(())
        })
        .await;
    }

    /// The process, for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// All it logged, former lives included.
    pub fn logs(&self) -> Vec<String> {
        let former = self.former.iter().flat_map(Lines::all);
        former.chain(self.process.lines().all()).collect()
    }

    /// Asks the admin port.
    pub async fn admin(&self, path: &str) -> super::browser::Response {
        let url: Url = format!("http://{}{path}", self.admin).parse().unwrap();
        Browser::default().send(Call::bare("GET", &url)).await
    }

    /// Whether it says it is ready.
    pub async fn is_ready(&self) -> bool {
        self.admin("/readyz").await.status == 200
    }

    /// The sum of all series of a metric whose labels contain all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.admin("/metrics").await.text();
        let series = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("coatcheck.yaml")
    }
}

/// Runs the CLI to its end, for config and help stories.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(environment.iter().copied()).env_remove("RUST_LOG");
    command.output().expect("the binary runs")
}

fn launch(config: &std::path::Path) -> Process {
    let mut command = Command::new(BINARY);
    command.arg("serve").arg("-c").arg(config).env("RUST_LOG", TALKATIVE);
    // Where there is a collector: soon instead of after 5 and 60 seconds.
    command.env("OTEL_BSP_SCHEDULE_DELAY", "100").env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    command.env("RUST_BACKTRACE", "1").current_dir(config.parent().expect("a directory"));
    Process::spawn("coatcheck", command)
}

async fn addresses(process: &mut Process) -> (String, String, String) {
    let grpc = process.awaits("listens for gRPC", |line| listening(line, "grpc")).await;
    let http = process.awaits("listens for HTTP", |line| listening(line, "http")).await;
    let admin = process.awaits("listens for admin", |line| listening(line, "admin")).await;
    (grpc, http, admin)
}

/// The address in a `listening` line of that listener.
fn listening(line: &str, listener: &str) -> Option<String> {
    let record: Value = serde_json::from_str(line).ok()?;
    let fields = record.get("fields")?;
    let fits = fields["message"] == "listening" && fields["listener"] == listener;
    fits.then(|| fields["address"].as_str().map(str::to_owned)).flatten()
}
