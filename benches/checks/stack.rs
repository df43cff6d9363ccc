//! The servers under test: the real binary, once on the embedded store and once on a real Redis.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coatcheck::clock::SystemClock;
use coatcheck::config::RedisConfig;
use coatcheck::store::SessionStore;
use coatcheck::store::embedded::Embedded;
use coatcheck::store::redis::Redis;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Plan;
use crate::process::Server;
use crate::provider::Provider;
use crate::sessions::{self, KEY, Sessions};

const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that runs.
pub(crate) struct Stack {
    pub(crate) embedded: Side,
    pub(crate) redis: Side,
    pub(crate) provider: Provider,
    _redis_server: RedisServer,
    _directory: TempDir,
}

/// One coatcheck with its sessions.
pub(crate) struct Side {
    pub(crate) server: Server,
    pub(crate) sessions: Sessions,
    pub(crate) ready_after: Duration,
    pub(crate) bytes_per_session: u64,
}

impl Stack {
    pub(crate) async fn start(plan: &Plan) -> Self {
        let directory = TempDir::new().unwrap();
        let provider = Provider::start();
        let embedded = embedded(plan, directory.path(), &provider).await;
        let redis_server = RedisServer::start(directory.path()).await;
        let redis = redis(plan, directory.path(), &provider, &redis_server).await;
        Self { embedded, redis, provider, _redis_server: redis_server, _directory: directory }
    }
}

/// One process owns the file, so it is filled before the server starts.
async fn embedded(plan: &Plan, directory: &Path, provider: &Provider) -> Side {
    let path = directory.join("coatcheck.db");
    let store = Arc::new(Embedded::open(&path, Arc::new(SystemClock)).unwrap());
    let before = std::fs::metadata(&path).unwrap().len();
    let sessions = sessions::fill(store.clone(), &provider.issuer, plan).await;
    store.close();
    drop(store);
    let grown = std::fs::metadata(&path).unwrap().len().saturating_sub(before);
    let store = format!("{{ kind: embedded, path: {} }}", path.display());
    side(plan, sessions, grown, directory, &config(&store, provider)).await
}

async fn redis(plan: &Plan, directory: &Path, provider: &Provider, server: &RedisServer) -> Side {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let store = Arc::new(Redis::new(&server.config(), &tasks, &stop).unwrap());
    let since = Instant::now();
    while store.ping().await.is_err() {
        assert!(since.elapsed() < PATIENCE, "Redis does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = server.used_memory().await;
    let sessions = sessions::fill(store, &provider.issuer, plan).await;
    let grown = server.used_memory().await.saturating_sub(before);
    stop.cancel();
    let store =
        format!("{{ kind: redis, url: \"redis://{}/0\", response_timeout: 2s, connect_timeout: 2s }}", server.address);
    side(plan, sessions, grown, directory, &config(&store, provider)).await
}

async fn side(plan: &Plan, sessions: Sessions, grown: u64, directory: &Path, config: &str) -> Side {
    let config = format!("{config}{}", plan.config);
    let file = directory.join(format!("{}.yaml", config.len()));
    std::fs::write(&file, config).unwrap();
    let words: Vec<&str> = plan.wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_coatcheck")]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("serve").arg("-c").arg(&file).env_remove("RUST_LOG");
    command.env("COATCHECK_KEY", URL_SAFE_NO_PAD.encode(KEY)).env("COATCHECK_SECRET", "bench-secret");
    let began = Instant::now();
    let server = Server::start_with(command, &["grpc", "admin"]);
    let admin = server.admin.unwrap();
    while !is_ready(admin).await {
        assert!(began.elapsed() < PATIENCE, "not ready: {:#?}", server.last_words());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ready_after = began.elapsed();
    let count = sessions.fresh.len() + sessions.expired.len();
    Side { server, ready_after, bytes_per_session: grown / u64::try_from(count).unwrap(), sessions }
}

fn config(store: &str, provider: &Provider) -> String {
    format!(
        "listen: {{ grpc: 127.0.0.1:0, http: 127.0.0.1:0, admin: 127.0.0.1:0 }}
store: {store}
keys: [ {{ id: 1, value: \"${{COATCHECK_KEY}}\" }} ]
providers:
  - {{ name: main, issuer: \"{}\", client_id: bench, client_secret: \"${{COATCHECK_SECRET}}\" }}
apps:
  - name: shop
    origin: https://shop.example.com
    provider: main
    upstream: {{ authorization: access_token, headers: {{ x-user-id: sub, x-user-email: email, x-user-groups: groups }} }}
    rules: [ {{ paths: [/assets/**], session: none }} ]
",
        provider.issuer
    )
}

async fn is_ready(admin: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(admin).await else { return false };
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// A Redis of our own: no persistence, no neighbours.
struct RedisServer {
    child: Child,
    address: SocketAddr,
}

impl RedisServer {
    async fn start(directory: &Path) -> Self {
        // Redis cannot choose a port by itself.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = address.port().to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server has to be installed");
        let server = Self { child, address };
        let since = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(since.elapsed() < PATIENCE, "Redis does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    fn config(&self) -> RedisConfig {
        RedisConfig {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            database: 0,
            tls: None,
            username: None,
            password: None,
            prefix: "coatcheck:".to_owned(),
            connections: 4,
            response_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
        }
    }

    async fn used_memory(&self) -> u64 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(b"INFO memory\r\nQUIT\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let line = answer.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
