//! The file itself: opened, shared between readers and the writer, compacted, opened again after a
//! disk error. It knows transactions, not what is in them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, StorageError};
use tokio::sync::RwLock;
use tokio::time::timeout;

use super::rows::{self, Failure, Rows};
use super::unavailable;
use crate::store::StoreError;

/// Pages kept in memory; the operating system caches the rest.
const CACHE_BYTES: usize = 16 << 20;

/// Why the file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It has an owner already: an embedded store serves one process.
    #[error("{} is in use by another process; for several replicas use `store: {{ kind: redis }}`", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged, or something else than a store of coatcheck.
    #[error("{} is damaged or not a store of coatcheck ({detail}); move it away to start empty", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the file library says.
        detail: String,
    },
    /// A newer version of coatcheck wrote it.
    #[error("{} was written by a newer version of coatcheck (format {found})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The operating system says no.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The open file. `None` inside while it is closed, or while it cannot be opened again.
#[derive(Clone)]
pub(super) struct SharedFile {
    path: Arc<Path>,
    /// Readers and the writer share it; compaction and reopening have it alone. The writer thread
    /// is the only one that asks for it alone.
    database: Arc<RwLock<Option<Database>>>,
}

impl SharedFile {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let database = open_database(path)?;
        Ok(Self { path: Arc::from(path), database: Arc::new(RwLock::new(Some(database))) })
    }

    /// Reads from a snapshot on the caller's thread. Waits only while the file is compacted.
    pub(super) async fn read<T>(
        &self,
        deadline: Duration,
        read: impl FnOnce(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let guard = match self.database.try_read() {
            Ok(guard) => guard,
            Err(_) => {
                timeout(deadline, self.database.read()).await.map_err(|_| unavailable("the file is being compacted"))?
            }
        };
        let Some(database) = guard.as_ref() else { return Err(unavailable("the file is closed")) };
        snapshot(database, read).map_err(|failure| unavailable(&failure.to_string()))
    }

    /// One write transaction. For the writer thread only: it blocks.
    pub(super) fn write<T>(
        &self,
        durability: Durability,
        write: impl FnOnce(&mut Rows<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let guard = self.database.blocking_read();
        let database = guard.as_ref().ok_or(StorageError::DatabaseClosed)?;
        transact(database, durability, write)
    }

    /// Gives free space back if less than a quarter of a large file is in use. For the writer thread.
    pub(super) fn compact(&self, above: u64) -> Result<bool, Failure> {
        let length = std::fs::metadata(&self.path).map_err(StorageError::from)?.len();
        if length <= above {
            return Ok(false);
        }
        let used = {
            let guard = self.database.blocking_read();
            snapshot(guard.as_ref().ok_or(StorageError::DatabaseClosed)?, rows::live_bytes)?
        };
        if used.saturating_mul(4) >= length {
            return Ok(false);
        }
        let mut guard = self.database.blocking_write();
        Ok(guard.as_mut().ok_or(StorageError::DatabaseClosed)?.compact()?)
    }

    /// After a disk error the library refuses every call until the file is opened anew. For the
    /// writer thread.
    pub(super) fn reopen(&self) -> Result<(), OpenError> {
        let mut guard = self.database.blocking_write();
        // First: the old handle holds the lock on the file.
        drop(guard.take());
        *guard = Some(open_database(&self.path)?);
        Ok(())
    }

    /// For the writer thread.
    pub(super) fn close(&self) -> Result<(), Failure> {
        match self.database.blocking_write().take() {
            Some(database) => Ok(database.close()?),
            None => Ok(()),
        }
    }
}

fn snapshot<T>(database: &Database, read: impl FnOnce(&ReadTransaction) -> Result<T, Failure>) -> Result<T, Failure> {
    read(&database.begin_read()?)
}

fn transact<T>(
    database: &Database,
    durability: Durability,
    write: impl FnOnce(&mut Rows<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(durability)?;
    // Where `write` fails, dropping the transaction undoes all of it.
    let answer = {
        let mut rows = Rows::open(&transaction)?;
        write(&mut rows)?
    };
    transaction.commit()?;
    Ok(answer)
}

fn open_database(path: &Path) -> Result<Database, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let unreadable = |detail: String| OpenError::Unreadable { path: path.to_owned(), detail };
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let backend = FileBackend::new(file).map_err(|error| classify(path, error))?;
    let database = Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|error| classify(path, error))?;
    match snapshot(&database, rows::format).map_err(|failure| unreadable(failure.to_string()))? {
        Some(rows::FORMAT) => {}
        Some(0) => return Err(unreadable("it has no format".to_owned())),
        Some(found) => return Err(OpenError::Newer { path: path.to_owned(), found }),
        None => initialize(&database).map_err(|failure| failed(io::Error::other(failure.to_string())))?,
    }
    Ok(database)
}

/// Makes the tables of a new file.
fn initialize(database: &Database) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    Rows::open(&transaction)?.stamp()?;
    Ok(transaction.commit()?)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enums are open")]
fn classify(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    if matches!(error, DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) {
        return OpenError::InUse { path };
    }
    match error {
        // The library's answer to a file that does not start with its magic number is `InvalidData`.
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != io::ErrorKind::InvalidData => {
            OpenError::Io { path, source }
        }
        error => OpenError::Unreadable { path, detail: error.to_string() },
    }
}
