//! A real redis-server for one test: started on a free port, stopped with the test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::bed::PATIENCE;

pub(crate) struct Server {
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    directory: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more of redis.conf's settings, each `name value`.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let port = free_port();
        Self::start_at(port, &[&format!("port {port}")], settings).await
    }

    /// On TLS only.
    pub(crate) async fn start_tls(settings: &[&str]) -> Self {
        let port = free_port();
        Self::start_at(port, &["port 0", &format!("tls-port {port}")], settings).await
    }

    /// A server that does not run yet.
    pub(crate) fn stopped() -> Self {
        let port = free_port();
        let arguments = Self::arguments(&[&format!("port {port}")], &[]);
        Self { port, arguments, child: None, directory: tempfile::tempdir().unwrap() }
    }

    async fn start_at(port: u16, ports: &[&str], settings: &[&str]) -> Self {
        let arguments = Self::arguments(ports, settings);
        let mut server = Self { port, arguments, child: None, directory: tempfile::tempdir().unwrap() };
        server.run().await;
        server
    }

    fn arguments(ports: &[&str], settings: &[&str]) -> Vec<String> {
        let fixed = ["bind 127.0.0.1", "appendonly no", "daemonize no", "loglevel warning"];
        let mut arguments = vec!["--save".to_owned(), String::new()];
        for setting in ports.iter().chain(&fixed).chain(settings) {
            let (name, value) = setting.split_once(' ').unwrap();
            arguments.push(format!("--{name}"));
            arguments.extend(value.split(' ').map(str::to_owned));
        }
        arguments
    }

    /// Starts it (again), on the same port, and waits until it listens.
    pub(crate) async fn run(&mut self) {
        let log = self.directory.path().join("log");
        let out = std::fs::File::create(&log).unwrap();
        let mut child = Command::new(binary())
            .args(&self.arguments)
            .current_dir(self.directory.path())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .stdin(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("redis-server ended with {status}: {}", std::fs::read_to_string(&log).unwrap());
            }
            assert!(Instant::now() < deadline, "redis-server does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.child = Some(child);
    }

    /// Kills it; nothing is kept.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its connections stay open, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id();
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        assert!(status.unwrap().success());
    }

    /// A connection of the test's own.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Runs a command written as in redis-cli.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut call = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            call.arg(word);
        });
        call.query_async(&mut self.connection().await).await.unwrap()
    }

    /// Every key and its remaining time in milliseconds; -1 would be "for ever".
    pub(crate) async fn keys(&self) -> Vec<(String, i64)> {
        let mut connection = self.connection().await;
        let (mut cursor, mut keys) = (0_u64, Vec::new());
        loop {
            let (next, some): (u64, Vec<String>) =
                redis::cmd("SCAN").arg(cursor).query_async(&mut connection).await.unwrap();
            for key in some {
                let ttl = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
                // -2: it has aged since it was listed.
                if ttl != -2 {
                    keys.push((key, ttl));
                }
            }
            cursor = next;
            if cursor == 0 {
                return keys;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The pinned server, else the system's.
fn binary() -> PathBuf {
    let pinned = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".peers/bin/redis-server");
    if pinned.exists() {
        return pinned;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("redis-server"))
        .find(|file| file.exists())
        .expect("there is no redis-server: run tests/install.sh")
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
