//! The one thread that writes: takes what waits in the mailbox, puts it into one transaction, commits,
//! answers. Beside that it sweeps aged rows, gives space back and opens the file again after a disk
//! error. It ends when told so or when the store is dropped, after a last flush.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use redb::Durability;
use tokio::sync::oneshot;

use super::file::SharedFile;
use super::rows::{Failure, Rows, Step, Swept};
use crate::clock::SharedClock;
use crate::core::time::Timestamp;

/// Writes in one transaction. What arrives during an fsync makes the next batch; nobody waits for more.
const BATCH: usize = 256;

/// A touch is on disk at latest this long after it was answered; also the pause between attempts to
/// open a file again.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The pause between two passes over the rows. Nobody sees an aged row meanwhile: every read checks.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A pass goes in steps of a few milliseconds, and whoever wants to write comes between two of them.
const STEP: Step = Step { look_at: 8192, remove: 128 };
const BETWEEN_STEPS: Duration = Duration::from_millis(2);

/// Smaller files are not worth a compaction.
const COMPACT_ABOVE: u64 = 8 << 20;

/// How soon a write has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// Before it is answered.
    Yes,
    /// Within [`FLUSH_EVERY`].
    Soon,
}

/// What the writer is asked to do.
pub(super) enum Command {
    Write(Durable, Job),
    Close,
}

type Job = Box<dyn FnOnce(&mut Rows<'_>, Timestamp) -> Result<Answer, Failure> + Send>;

/// Tells the caller what came out, once that is committed. Dropped unsaid when the commit fails.
type Answer = Box<dyn FnOnce() + Send>;

impl Command {
    pub(super) fn write<T, F>(durable: Durable, job: F, answer: oneshot::Sender<T>) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&mut Rows<'_>, Timestamp) -> Result<T, Failure> + Send + 'static,
    {
        let job = move |rows: &mut Rows<'_>, now| {
            let value = job(rows, now)?;
            // A caller that has gone does not need its answer.
            Ok(Box::new(move || drop(answer.send(value))) as Answer)
        };
        Self::Write(durable, Box::new(job))
    }
}

pub(super) struct Writer {
    file: SharedFile,
    commands: Receiver<Command>,
    clock: SharedClock,
    /// Commits that no fsync has followed yet.
    unflushed: bool,
    /// A disk error has closed the file.
    broken: bool,
    next_flush: Timestamp,
    next_sweep: Timestamp,
    /// Where the pass that is under way goes on.
    cursor: Option<Vec<u8>>,
    /// Whether this pass has removed anything.
    removed: bool,
}

impl Writer {
    pub(super) fn new(file: SharedFile, commands: Receiver<Command>, clock: SharedClock) -> Self {
        let now = clock.now();
        Self {
            file,
            commands,
            clock,
            unflushed: false,
            broken: false,
            next_flush: now,
            next_sweep: now + SWEEP_EVERY,
            cursor: None,
            removed: false,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let open = match self.commands.recv_timeout(self.patience()) {
                Ok(Command::Write(durable, job)) => self.batch(durable, job),
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => false,
                Err(RecvTimeoutError::Timeout) => true,
            };
            if !open {
                break;
            }
            self.upkeep();
        }
        self.flush();
        if let Err(failure) = self.file.close() {
            tracing::error!(error = %failure, "the embedded store was not closed cleanly");
        }
    }

    /// How long to wait for a command before looking at the clock.
    const fn patience(&self) -> Duration {
        if self.broken || (self.unflushed && self.cursor.is_none()) {
            FLUSH_EVERY
        } else if self.cursor.is_some() {
            BETWEEN_STEPS
        } else {
            SWEEP_EVERY
        }
    }

    /// Commits `first` and what else waits. `false`: the store was closed meanwhile.
    fn batch(&mut self, first: Durable, job: Job) -> bool {
        let mut durable = first;
        let mut jobs = vec![job];
        let mut open = true;
        while jobs.len() < BATCH {
            match self.commands.try_recv() {
                Ok(Command::Write(Durable::Yes, job)) => {
                    durable = Durable::Yes;
                    jobs.push(job);
                }
                Ok(Command::Write(Durable::Soon, job)) => jobs.push(job),
                Ok(Command::Close) => {
                    open = false;
                    break;
                }
                Err(_) => break,
            }
        }
        self.commit(durable, jobs);
        open
    }

    fn commit(&mut self, durable: Durable, jobs: Vec<Job>) {
        if self.broken && !self.reopen() {
            return;
        }
        let now = self.clock.now();
        let committed = self.file.write(durability(durable), |rows| {
            jobs.into_iter().map(|job| job(rows, now)).collect::<Result<Vec<_>, _>>()
        });
        match committed {
            Ok(answers) => {
                self.committed(durable, now);
                for answer in answers {
                    answer();
                }
            }
            Err(failure) => self.failed(&failure, "a write to the embedded store failed"),
        }
    }

    fn committed(&mut self, durable: Durable, now: Timestamp) {
        match durable {
            Durable::Yes => self.unflushed = false,
            Durable::Soon if self.unflushed => {}
            Durable::Soon => {
                self.unflushed = true;
                self.next_flush = now + FLUSH_EVERY;
            }
        }
    }

    fn upkeep(&mut self) {
        if self.broken && !self.reopen() {
            return;
        }
        let now = self.clock.now();
        if self.unflushed && now >= self.next_flush {
            self.flush();
        }
        if self.cursor.is_some() || now >= self.next_sweep {
            self.next_sweep = now + SWEEP_EVERY;
            self.sweep(now);
        }
    }

    /// An empty durable transaction takes all earlier ones to disk.
    fn flush(&mut self) {
        if !self.unflushed || self.broken {
            return;
        }
        match self.file.write(Durability::Immediate, |_| Ok(())) {
            Ok(()) => self.unflushed = false,
            Err(failure) => self.failed(&failure, "flushing the embedded store failed"),
        }
    }

    /// One step; behind the last one of a pass that found something there may be space to give back.
    fn sweep(&mut self, now: Timestamp) {
        let cursor = self.cursor.take();
        match self.file.write(Durability::None, |rows| rows.sweep(cursor.as_deref(), STEP, now)) {
            Ok(Swept { removed, next }) => {
                if removed > 0 {
                    self.removed = true;
                    self.committed(Durable::Soon, now);
                }
                self.cursor = next;
            }
            Err(failure) => return self.failed(&failure, "sweeping the embedded store failed"),
        }
        if self.cursor.is_none() && self.removed {
            self.removed = false;
            self.compact();
        }
    }

    fn compact(&mut self) {
        match self.file.compact(COMPACT_ABOVE) {
            Ok(true) => tracing::info!("compacted the embedded store"),
            Ok(false) => {}
            Err(failure) => self.failed(&failure, "compacting the embedded store failed"),
        }
    }

    fn reopen(&mut self) -> bool {
        match self.file.reopen() {
            Ok(()) => {
                self.broken = false;
                self.unflushed = false;
                tracing::info!("the embedded store is open again");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the embedded store cannot be opened again");
                false
            }
        }
    }

    fn failed(&mut self, failure: &Failure, what: &'static str) {
        self.broken = true;
        tracing::error!(error = %failure, "{what}");
    }
}

const fn durability(durable: Durable) -> Durability {
    match durable {
        Durable::Yes => Durability::Immediate,
        Durable::Soon => Durability::None,
    }
}
