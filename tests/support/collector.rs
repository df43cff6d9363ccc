//! A real collector of the test's own: rotel, OTLP over gRPC in, OTLP over HTTP out to the test's receiver.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use tempfile::TempDir;

use super::patience::eventually;
use super::peers;
use super::process::Process;

/// The running collector.
pub struct Collector {
    port: u16,
    target: SocketAddr,
    directory: TempDir,
    process: Option<Process>,
}

impl Collector {
    /// Starts one that passes on to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        // It cannot say which port it took, so that a free one is looked for; another process may be faster.
        for _ in 0..5 {
            let mut collector = Self { port: free_port(), target, directory: TempDir::new().unwrap(), process: None };
            if collector.launch().await {
                return collector;
            }
        }
        panic!("rotel found no free port");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again, at the same address.
    pub async fn restart(&mut self) {
        self.kill();
        assert!(self.launch().await, "rotel takes its port again");
    }

    /// `false`: it ended before it listened.
    async fn launch(&mut self) -> bool {
        let file = |name: &str| self.directory.path().join(name);
        let mut command = Command::new(peers::program("rotel"));
        command.arg("start").arg("--pid-file").arg(file("pid")).arg("--log-file").arg(file("log"));
        command.args(["--otlp-grpc-endpoint", &self.address().to_string()]);
        command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{}", free_port())]);
        command.args(["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--batch-timeout", "50ms"]);
        command.args(["--otlp-exporter-endpoint", &format!("http://{}", self.target)]);
        let mut process = Process::spawn("rotel", command);
        let address = self.address();
        let listens = eventually("rotel listens", || {
            let ended = process.ended().is_some();
            async move {
                let connected = tokio::net::TcpStream::connect(address).await.is_ok();
                (connected || ended).then_some(connected && !ended)
            }
        })
        .await;
        self.process = Some(process);
        listens
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
