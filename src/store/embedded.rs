//! The embedded store: one crash-safe file for one process.
//!
//! Reads run on the caller (a few microseconds, from the page cache). Writes go through a bounded
//! mailbox to one owner thread, which puts whatever waits into one transaction and one fsync.
//! It never answers a write before it is on disk, except a touch: losing the last second of touches
//! in a crash only makes an idle session end a little early. Leases live in memory, because a file
//! has one process and a lease ends with it.

mod file;
mod leases;
mod rows;
mod writer;

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::file::OpenError;
use self::file::SharedFile;
use self::leases::Leases;
use self::rows::{Failure, Row, Rows};
use self::writer::{Command, Durable, Writer};
use super::{IndexKey, LeaseOwner, NewSession, OnceKey, Replaced, SessionId, SessionStore, StoreError, Stored, Swap};
use crate::clock::SharedClock;
use crate::core::time::Timestamp;

/// Writes that may wait for the writer. Beyond that the caller is told to come back: a queue that a
/// disk cannot drain within the deadline helps nobody.
const MAILBOX: usize = 1024;

/// Every call ends within this time: some hundred fsyncs of a healthy disk.
const DEADLINE: Duration = Duration::from_secs(2);

/// Sessions in one file. Dropping it flushes and stops its thread.
pub struct Embedded {
    file: SharedFile,
    mailbox: SyncSender<Command>,
    writer: Mutex<Option<JoinHandle<()>>>,
    leases: Leases,
    clock: SharedClock,
}

impl Embedded {
    /// Opens the file at `path`, made with mode 0600 when absent, and starts its writer. After a crash
    /// the file is repaired; its checksums are verified each time, so that a damaged file is an error
    /// here and not a surprise later.
    pub fn open(path: &Path, clock: SharedClock) -> Result<Self, OpenError> {
        let file = SharedFile::open(path)?;
        let (mailbox, commands) = sync_channel(MAILBOX);
        let writer = Writer::new(file.clone(), commands, clock.clone());
        let thread = std::thread::Builder::new()
            .name("coatcheck-store".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { file, mailbox, writer: Mutex::new(Some(thread)), leases: Leases::default(), clock })
    }

    /// Finishes the writes that wait, flushes, closes the file and stops the thread. Calls that come
    /// later fail as [`StoreError::Unavailable`]. Blocks for the last fsync.
    pub fn close(&self) {
        let thread = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // Blocks while the mailbox is full; an error means that the thread has ended already.
        let _ = self.mailbox.send(Command::Close);
        if thread.join().is_err() {
            tracing::error!("the writer of the embedded store panicked");
        }
    }

    /// How many rows the file holds, aged ones that no sweep has met yet included.
    pub async fn rows(&self) -> Result<u64, StoreError> {
        self.file.read(DEADLINE, rows::count).await
    }

    /// Runs `job` in the writer's next transaction and answers when that is committed.
    async fn write<T, F>(&self, durable: Durable, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Rows<'_>, Timestamp) -> Result<T, Failure> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let command = Command::write(durable, job, sender);
        self.mailbox.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => unavailable("too many writes wait for the disk"),
            TrySendError::Disconnected(_) => unavailable("the file is closed"),
        })?;
        match timeout(DEADLINE, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            // The writer drops the sender when the transaction fails, and logs why.
            Ok(Err(_)) => Err(unavailable("the file could not be written")),
            Err(_) => Err(unavailable("the disk did not answer in time")),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl SessionStore for Embedded {
    async fn load(&self, id: SessionId) -> Result<Option<Stored>, StoreError> {
        let now = self.clock.now();
        self.file.read(DEADLINE, |snapshot| rows::load(snapshot, id, now)).await
    }

    async fn create(&self, new: NewSession) -> Result<(), StoreError> {
        self.write(Durable::Yes, move |rows, now| rows.create(&new, now)).await
    }

    async fn replace(&self, swap: Swap) -> Result<Replaced, StoreError> {
        self.write(Durable::Yes, move |rows, now| rows.replace(&swap, now)).await
    }

    async fn touch(&self, id: SessionId, now: Timestamp, ttl: Duration) -> Result<bool, StoreError> {
        self.write(Durable::Soon, move |rows, clock| rows.touch(id, now, clock, ttl)).await
    }

    async fn delete(&self, id: SessionId, index: &[IndexKey]) -> Result<bool, StoreError> {
        let index = index.to_vec();
        self.write(Durable::Yes, move |rows, now| rows.delete(id, &index, now)).await
    }

    async fn end_all(&self, key: IndexKey, now: Timestamp, keep: Duration) -> Result<Vec<SessionId>, StoreError> {
        self.write(Durable::Yes, move |rows, clock| rows.end_all(key, Row::lasting(now, clock, keep), clock)).await
    }

    async fn tombstone(&self, key: IndexKey) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        self.file.read(DEADLINE, |snapshot| rows::tombstone(snapshot, key, now)).await
    }

    async fn claim_once(&self, key: OnceKey, ttl: Duration) -> Result<bool, StoreError> {
        self.write(Durable::Yes, move |rows, now| rows.claim_once(key, now, ttl)).await
    }

    async fn hold_once(&self, key: OnceKey, ttl: Duration) -> Result<(), StoreError> {
        self.write(Durable::Soon, move |rows, now| rows.hold_once(key, now, ttl)).await
    }

    async fn acquire_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.leases.acquire(id, owner, self.clock.now(), ttl))
    }

    async fn extend_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.leases.extend(id, owner, self.clock.now(), ttl))
    }

    async fn release_lease(&self, id: SessionId, owner: LeaseOwner) -> Result<(), StoreError> {
        self.leases.release(id, owner);
        Ok(())
    }

    /// Answers through the writer: a file that can be read but not written is not ready.
    async fn ping(&self) -> Result<(), StoreError> {
        self.write(Durable::Soon, |_, _| Ok(())).await
    }

    fn kind(&self) -> &'static str {
        "embedded"
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}
