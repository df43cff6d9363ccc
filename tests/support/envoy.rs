//! A real Envoy with one of the shipped files in `envoy/`, in which only addresses are replaced. It listens on a
//! free port; the admin port tells which.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::browser::{Browser, Call};
use super::patience::eventually;
use super::peers;
use super::process::Process;

/// Where the clusters of the shipped file lead in a test.
#[derive(Clone, Debug)]
pub struct Targets {
    pub replicas: Vec<Replica>,
    pub upstream: SocketAddr,
    pub otlp: SocketAddr,
}

/// The three listeners of one replica.
#[derive(Clone, Debug)]
pub struct Replica {
    pub grpc: String,
    pub http: String,
    pub admin: SocketAddr,
}

/// The running proxy.
pub struct Envoy {
    pub address: SocketAddr,
    admin: SocketAddr,
    process: Process,
    _directory: TempDir,
}

impl Envoy {
    /// Starts a shipped file with these targets, after a last `edit` by the test.
    pub async fn start(file: &str, targets: &Targets, edit: impl FnOnce(&mut Value)) -> Self {
        let mut config = shipped(file);
        redirect(&mut config, targets);
        edit(&mut config);
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("envoy.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let admin_path = directory.path().join("admin");
        let mut command = Command::new(peers::program("envoy"));
        command.arg("-c").arg(&path).arg("--use-dynamic-base-id").args(["--concurrency", "1"]);
        command.arg("--admin-address-path").arg(&admin_path).args(["-l", "warning"]);
        // The access log; the default is 10 s.
        command.args(["--file-flush-interval-msec", "50"]);
        let mut process = Process::spawn("envoy", command);
        let (admin, address) = ready(&mut process, &admin_path).await;
        Self { address, admin, process, _directory: directory }
    }

    /// All it wrote: the access log, and what it complains about.
    pub fn lines(&self) -> Vec<String> {
        self.process.lines().all()
    }

    /// The lines of the access log for a path, once there are that many.
    pub async fn access_log(&self, path: &str, count: usize) -> Vec<Value> {
        eventually("Envoy has logged the requests", || async {
            let lines = self.lines();
            let records = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let records: Vec<Value> = records.filter(|record| record["path"] == path).collect();
            (records.len() >= count).then_some(records)
        })
        .await
    }

    /// Waits until Envoy sees that many replicas healthy, for checks and for the login routes.
    pub async fn sees_healthy(&self, hosts: usize) {
        eventually("Envoy sees the replicas healthy", || async {
            let text = admin(self.admin, "/clusters?format=json").await;
            let clusters: Value = serde_json::from_str(&text).ok()?;
            let enough = |cluster: &str| healthy(&clusters, cluster) >= hosts;
            (enough("coatcheck_grpc") && enough("coatcheck_http")).then_some(())
        })
        .await;
    }
}

/// A shipped configuration.
pub fn shipped(file: &str) -> Value {
    let path = peers::root().join("envoy").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Applies `edit` to every ext_authz filter of a config.
pub fn edit_ext_authz(config: &mut Value, edit: &dyn Fn(&mut Value)) {
    walk(config, &mut |object| {
        let kind = object.get("@type").and_then(Value::as_str).unwrap_or_default();
        if kind.ends_with("ext_authz.v3.ExtAuthz") {
            edit(object);
        }
    });
}

/// Calls `visit` on every object of a tree, outermost first.
pub fn walk(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    if value.is_object() {
        visit(value);
    }
    match value {
        Value::Object(map) => map.values_mut().for_each(|child| walk(child, visit)),
        Value::Array(list) => list.iter_mut().for_each(|child| walk(child, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn redirect(config: &mut Value, targets: &Targets) {
    let free = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 0 } });
    config["admin"]["address"] = free.clone();
    let resources = &mut config["static_resources"];
    for listener in resources["listeners"].as_array_mut().expect("listeners") {
        listener["address"] = free.clone();
    }
    for cluster in resources["clusters"].as_array_mut().expect("clusters") {
        let name = cluster["name"].as_str().expect("a name").to_owned();
        let endpoints: Vec<Value> = match name.as_str() {
            "coatcheck_grpc" => targets.replicas.iter().map(|one| endpoint(&one.grpc)).collect(),
            "coatcheck_http" => targets.replicas.iter().map(login_endpoint).collect(),
            "app" => vec![endpoint(&targets.upstream.to_string())],
            "otlp" => vec![endpoint(&targets.otlp.to_string())],
            other => panic!("a shipped file has a cluster the tests do not know: {other}"),
        };
        cluster["load_assignment"]["endpoints"] = json!([{ "lb_endpoints": endpoints }]);
    }
}

fn endpoint(address: &str) -> Value {
    let address = if let Some(path) = address.strip_prefix("unix:") {
        json!({ "pipe": { "path": path } })
    } else {
        let address: SocketAddr = address.parse().expect("an address");
        let ip = address.ip().to_string();
        json!({ "socket_address": { "address": ip, "port_value": address.port() } })
    };
    json!({ "endpoint": { "address": address } })
}

/// The login routes' health is asked at the admin port, as in the shipped file.
fn login_endpoint(replica: &Replica) -> Value {
    let mut login = endpoint(&replica.http);
    let admin = endpoint(&replica.admin.to_string());
    login["endpoint"]["health_check_config"] = admin["endpoint"].clone();
    login
}

async fn ready(process: &mut Process, path: &std::path::Path) -> (SocketAddr, SocketAddr) {
    let lines = process.lines().clone();
    eventually("Envoy listens", || {
        assert!(process.ended().is_none(), "Envoy ended:\n{}", lines.all().join("\n"));
        async {
            let at: SocketAddr = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
            let text = admin(at, "/listeners?format=json").await;
            let listeners: Value = serde_json::from_str(&text).ok()?;
            let public = listeners["listener_statuses"].as_array()?.iter().find(|one| one["name"] == "public")?;
            let port = public["local_address"]["socket_address"]["port_value"].as_u64().filter(|port| *port != 0)?;
            let live = admin(at, "/ready").await.trim() == "LIVE";
            live.then(|| (at, SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap_or(0)))))
        }
    })
    .await
}

async fn admin(at: SocketAddr, path: &str) -> String {
    let url: Url = format!("http://{at}{path}").parse().unwrap();
    Browser::default().send(Call::bare("GET", &url)).await.text()
}

fn healthy(clusters: &Value, name: &str) -> usize {
    let list = clusters["cluster_statuses"].as_array().cloned().unwrap_or_default();
    // In in-band mode Envoy knows no cluster for the login routes: nothing to wait for.
    let Some(cluster) = list.into_iter().find(|cluster| cluster["name"] == name) else { return usize::MAX };
    let hosts = cluster["host_statuses"].as_array().cloned();
    let fine = |host: &&Value| {
        let status = &host["health_status"];
        status["failed_active_health_check"] != true && status["eds_health_status"] == "HEALTHY"
    };
    hosts.unwrap_or_default().iter().filter(fine).count()
}
