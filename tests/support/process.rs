//! A child process with its output captured line by line. It is killed on drop (unless `KEEP=1`), and when
//! the test failed, the tail of its output is printed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::patience::eventually;

/// The captured lines, shared with the reader threads.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The first value that `pick` makes of a line.
    pub fn find<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.0.lock().unwrap().iter().find_map(|line| pick(line))
    }

    /// How many lines contain `needle`.
    pub fn count(&self, needle: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.contains(needle)).count()
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn follow(&self, stream: impl Read + Send + 'static) {
        let lines = self.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut raw = Vec::new();
            while reader.read_until(b'\n', &mut raw).is_ok_and(|read| read > 0) {
                lines.push(String::from_utf8_lossy(&raw).trim_end().to_owned());
                raw.clear();
            }
        });
    }
}

/// A running child.
pub struct Process {
    name: String,
    child: Child,
    lines: Lines,
}

impl Process {
    /// Starts `command`; a missing program fails the test and says how to get it.
    pub fn spawn(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}; run tests/install.sh first"));
        let lines = Lines::default();
        lines.follow(child.stdout.take().unwrap());
        lines.follow(child.stderr.take().unwrap());
        Self { name: name.to_owned(), child, lines }
    }

    /// The captured output.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Waits until a line yields a value; fails at once when the process ends before.
    pub async fn awaits<T>(&mut self, what: &str, pick: impl Fn(&str) -> Option<T> + Copy) -> T {
        let name = self.name.clone();
        let lines = self.lines.clone();
        let child = Mutex::new(&mut self.child);
        let found = eventually(&format!("{name}: {what}"), || {
            let ended = child.lock().unwrap().try_wait().ok().flatten();
            let found = lines.find(pick);
            async move { found.map(Ok).or_else(|| ended.map(Err)) }
        })
        .await;
        found.unwrap_or_else(|status| panic!("{name} ended ({status}) before: {what}\n{}", lines.all().join("\n")))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name (`STOP`, `CONT`, `TERM`, …).
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{signal} {}", self.name);
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            let all = self.lines.all();
            let tail = tail_length();
            eprintln!("--- {} (pid {}, last {tail} of {} lines) ---", self.name, self.pid(), all.len());
            for line in all.iter().skip(all.len().saturating_sub(tail)) {
                eprintln!("{line}");
            }
        }
        if failed && keep() {
            eprintln!("KEEP=1: {} goes on as pid {}", self.name, self.pid());
            return;
        }
        self.kill();
    }
}

/// Whether a failed stack is to be kept alive for inspection.
pub fn keep() -> bool {
    std::env::var("KEEP").is_ok_and(|value| value == "1")
}

fn tail_length() -> usize {
    std::env::var("E2E_TAIL").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}
