//! Server processes: started with ports of the system's choice, measured through `/proc`, killed with the bench.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};

/// Linux counts process times in hundredths of a second for user space (`USER_HZ`), on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// Nothing takes longer than this to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server process.
pub(crate) struct Server {
    child: Child,
    /// Where checks are answered.
    pub(crate) grpc: SocketAddr,
    /// The admin listener, where there is one.
    pub(crate) admin: Option<SocketAddr>,
    log: Arc<Mutex<VecDeque<String>>>,
}

/// Tells the parent where this process listens, in the words of coatcheck's own log.
pub(crate) fn announce(address: SocketAddr) {
    eprintln!("{}", json!({"fields": {"message": "listening", "listener": "grpc", "address": address}}));
}

impl Server {
    /// Starts a server and waits until it says where it listens: one line for each listener that it has.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, &["grpc"])
    }

    /// The same for a server with several listeners.
    pub(crate) fn start_with(mut command: Command, listeners: &[&str]) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, listening) = mpsc::channel();
        let kept = Arc::clone(&log);
        // The pipe has to be read to the end, or the server blocks on its log.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(found) = listener(&line) {
                    let _ = sender.send(found);
                }
                let mut kept = kept.lock().unwrap();
                kept.push_back(line);
                if kept.len() > 50 {
                    kept.pop_front();
                }
            }
        });
        let mut found: Vec<(String, SocketAddr)> = Vec::new();
        while !listeners.iter().all(|name| found.iter().any(|(other, _)| other == name)) {
            match listening.recv_timeout(PATIENCE) {
                Ok(each) => found.push(each),
                Err(error) => panic!("{command:?} does not listen ({error}): {:#?}", log.lock().unwrap()),
            }
        }
        let of = |name: &str| found.iter().find(|(other, _)| other == name).map(|(_, address)| *address);
        Self { child, grpc: of("grpc").unwrap(), admin: of("admin"), log }
    }

    /// CPU time so far: all threads, user and system, ended threads included.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        // The command's name may hold anything, even parentheses; the numbers stand after the last one.
        let numbers: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split_whitespace().collect();
        let ticks = |place: usize| numbers[place].parse::<u32>().unwrap();
        // Fields 14 and 15 of proc_pid_stat(5); the numbers here begin with field 3.
        TICK * (ticks(11) + ticks(12))
    }

    /// Resident memory.
    pub(crate) fn resident(&self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// For a failure: the last lines of the log, and the decisions it counted.
    pub(crate) fn last_words(&self) -> Vec<String> {
        let log = self.log.lock().unwrap().iter().cloned().collect::<Vec<_>>();
        log.into_iter().chain(self.decisions().unwrap_or_default()).collect()
    }

    fn decisions(&self) -> std::io::Result<Vec<String>> {
        let mut stream = TcpStream::connect(self.admin.ok_or(std::io::ErrorKind::NotFound)?)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let counted =
            text.lines().filter(|line| line.starts_with("coatcheck_decisions_total") && !line.ends_with(" 0"));
        Ok(counted.map(str::to_owned).collect())
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listener(line: &str) -> Option<(String, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields")?;
    if fields.get("message")? != "listening" {
        return None;
    }
    Some((fields.get("listener")?.as_str()?.to_owned(), fields.get("address")?.as_str()?.parse().ok()?))
}
