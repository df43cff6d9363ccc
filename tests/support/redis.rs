//! A real redis-server of the test's own: a free port, a directory of its own, no persistence. It can be
//! stopped, killed, restarted on the same port, frozen and thawed; with ACL users and with mutual TLS.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use tempfile::TempDir;

use super::peers;
use super::process::Process;

/// How the server is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `ACL SETUSER` lines, for instance `coatcheck on >secret ~cc:* +@all`.
    pub users: Vec<String>,
    /// Certificate paths when the port is to speak TLS: (authority, certificate, key).
    pub tls: Option<(String, String, String)>,
}

/// The running server.
pub struct Redis {
    pub port: u16,
    options: Options,
    directory: TempDir,
    process: Option<Process>,
}

impl Redis {
    /// Starts a plain server.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a server with options.
    pub async fn with(options: Options) -> Self {
        let directory = TempDir::new().unwrap();
        for _ in 0..5 {
            let port = free_port();
            let mut process = launch(port, &options, &directory);
            if up(&mut process).await {
                return Self { port, options, directory, process: Some(process) };
            }
        }
        panic!("redis-server found no free port");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The URL for coatcheck.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Ends the server at once, data and all.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends the server after it saved its data, as an orderly restart does.
    pub fn stop(&mut self) {
        let _ = self.command(&["SAVE"]);
        self.kill();
    }

    /// Starts it again on the same port, with what was saved.
    pub async fn restart(&mut self) {
        self.kill();
        let mut process = launch(self.port, &self.options, &self.directory);
        assert!(up(&mut process).await, "redis-server does not come back on its port");
        self.process = Some(process);
    }

    /// Freezes the process: connections stay open, nothing is answered.
    pub fn freeze(&self) {
        self.running().signal("STOP");
    }

    /// Thaws it.
    pub fn thaw(&self) {
        self.running().signal("CONT");
    }

    /// Runs one command on a connection of its own.
    pub fn command(&self, words: &[&str]) -> redis::Value {
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.raw(&bytes).unwrap_or_else(|error| panic!("redis {words:?}: {error}"))
    }

    /// Runs one command and answers text.
    pub fn text(&self, words: &[&str]) -> String {
        redis::from_redis_value(self.command(words)).expect("a text answer")
    }

    /// Runs one command with a binary argument between the others.
    pub fn set_bytes(&self, before: &[&str], bytes: &[u8], after: &[&str]) {
        let mut words: Vec<&[u8]> = before.iter().map(|word| word.as_bytes()).collect();
        words.push(bytes);
        words.extend(after.iter().map(|word| word.as_bytes()));
        self.raw(&words).unwrap_or_else(|error| panic!("redis {before:?}: {error}"));
    }

    /// All keys.
    pub fn keys(&self) -> Vec<String> {
        let raw: Vec<Vec<u8>> = redis::from_redis_value(self.command(&["KEYS", "*"])).expect("keys");
        raw.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// Every value of every key, as one lump of bytes: what an attacker with a dump has.
    pub fn dump(&mut self) -> Vec<u8> {
        self.command(&["CONFIG", "SET", "rdbcompression", "no"]);
        self.command(&["SAVE"]);
        std::fs::read(self.directory.path().join("dump.rdb")).expect("the saved data")
    }

    /// How often each command ran so far, from `INFO commandstats`.
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.text(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
        line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
    }

    /// Whether the server is there to be asked.
    pub fn is_up(&self) -> bool {
        self.process.is_some() && self.options.tls.is_none()
    }

    fn raw(&self, words: &[&[u8]]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(super::patience::patience())?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut connection)
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("redis-server is running")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.signal("CONT");
        }
    }
}

fn launch(port: u16, options: &Options, directory: &TempDir) -> Process {
    let mut command = Command::new(peers::program("redis-server"));
    command.arg("--bind").arg("127.0.0.1").arg("--save").arg("").arg("--dir").arg(directory.path());
    match &options.tls {
        None => command.arg("--port").arg(port.to_string()),
        Some((authority, certificate, key)) => command
            .args(["--port", "0", "--tls-port", &port.to_string()])
            .args(["--tls-ca-cert-file", authority, "--tls-cert-file", certificate])
            .args(["--tls-key-file", key, "--tls-auth-clients", "yes"]),
    };
    for user in &options.users {
        command.arg("--user").args(user.split(' '));
    }
    Process::spawn("redis-server", command)
}

async fn up(process: &mut Process) -> bool {
    let lines = process.lines().clone();
    super::patience::eventually("redis-server is up or says why not", || {
        let ready = lines.count("Ready to accept connections") > 0;
        let refused = lines.count("Address already in use") > 0 || lines.count("Failed listening") > 0;
        async move { (ready || refused).then_some(ready) }
    })
    .await
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
