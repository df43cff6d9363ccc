//! The two tables of the file and what each call does to them, inside a transaction that somebody
//! else begins and commits. No clock, no thread.
//!
//! `payloads` holds `id → generation (u64, big endian) ‖ sealed envelope`. `rows` holds everything that
//! ages, small, so that a touch does not rewrite a session and a sweep does not read one:
//!
//! ```text
//! s ‖ id                  → (last seen, ends)      a session
//! i ‖ kind ‖ hash ‖ id    → (created, ends)        an index entry
//! x ‖ kind ‖ hash         → (ended at, ends)       a tombstone
//! o ‖ hash                → (claimed at, ends)     something used once
//! f                       → (format, never)        the format of this file
//! ```

use std::ops::Bound;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use crate::core::session::Generation;
use crate::core::time::Timestamp;
use crate::store::{IndexKey, IndexKind, NewSession, OnceKey, Replaced, SessionId, Stored, Swap};

const PAYLOADS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("payloads");
const ROWS: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("rows");

/// The format that this version writes and reads.
pub(super) const FORMAT: u64 = 1;

const SESSION: u8 = b's';
const INDEX: u8 = b'i';
const TOMBSTONE: u8 = b'x';
const ONCE: u8 = b'o';
const FORMAT_KEY: &[u8] = b"f";

/// Bytes of the generation in front of a payload.
const GENERATION: usize = 8;

/// Whatever the file library says. Its texts name pages and files, never keys or values.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Failure(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

/// A row's value: a moment, and when the row ends.
#[derive(Clone, Copy)]
pub(super) struct Row {
    at: Timestamp,
    ends: Timestamp,
}

impl Row {
    /// A row about the moment `at` that lives for `ttl` from `now` on.
    pub(super) fn lasting(at: Timestamp, now: Timestamp, ttl: Duration) -> Self {
        Self { at, ends: now + ttl }
    }

    const fn from_value((at, ends): (u64, u64)) -> Self {
        Self { at: Timestamp::from_millis(at), ends: Timestamp::from_millis(ends) }
    }

    const fn value(self) -> (u64, u64) {
        (self.at.millis(), self.ends.millis())
    }

    fn lives(self, now: Timestamp) -> bool {
        self.ends > now
    }
}

/// How much one step of a sweep does, so that writes can pass between two steps.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) look_at: usize,
    pub(super) remove: usize,
}

/// What one step of a sweep did.
pub(super) struct Swept {
    pub(super) removed: usize,
    /// Where the next step goes on; `None` when the pass has met every row.
    pub(super) next: Option<Vec<u8>>,
}

/// A session's record, or `None` when there is none or its time is over.
pub(super) fn load(snapshot: &ReadTransaction, id: SessionId, now: Timestamp) -> Result<Option<Stored>, Failure> {
    let rows = snapshot.open_table(ROWS)?;
    let Some(row) = live(&rows, &session_key(id), now)? else { return Ok(None) };
    let payloads = snapshot.open_table(PAYLOADS)?;
    let Some(value) = payloads.get(&id.0)? else { return Ok(None) };
    let Some((generation, payload)) = split(value.value()) else { return Ok(None) };
    Ok(Some(Stored { generation, last_seen: row.at, payload: payload.to_vec() }))
}

/// The time of a tombstone.
pub(super) fn tombstone(
    snapshot: &ReadTransaction,
    key: IndexKey,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let rows = snapshot.open_table(ROWS)?;
    Ok(live(&rows, &tombstone_key(key), now)?.map(|row| row.at))
}

/// How many rows there are, the format's own left out.
pub(super) fn count(snapshot: &ReadTransaction) -> Result<u64, Failure> {
    Ok(snapshot.open_table(ROWS)?.len()?.saturating_sub(1))
}

/// Bytes of keys and values. Reads every page.
pub(super) fn live_bytes(snapshot: &ReadTransaction) -> Result<u64, Failure> {
    let rows = snapshot.open_table(ROWS)?.stats()?;
    let payloads = snapshot.open_table(PAYLOADS)?.stats()?;
    Ok(rows.stored_bytes().saturating_add(payloads.stored_bytes()))
}

/// The format of an existing file, `None` for a new one.
pub(super) fn format(snapshot: &ReadTransaction) -> Result<Option<u64>, Failure> {
    if snapshot.list_tables()?.next().is_none() {
        return Ok(None);
    }
    let rows = snapshot.open_table(ROWS)?;
    let format = rows.get(FORMAT_KEY)?.map(|row| row.value().0);
    Ok(Some(format.unwrap_or(0)))
}

/// The tables inside a write transaction.
pub(super) struct Rows<'txn> {
    payloads: Table<'txn, &'static [u8; 16], &'static [u8]>,
    rows: Table<'txn, &'static [u8], (u64, u64)>,
}

impl<'txn> Rows<'txn> {
    /// Opens the tables, made when absent.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, Failure> {
        Ok(Self { payloads: transaction.open_table(PAYLOADS)?, rows: transaction.open_table(ROWS)? })
    }

    /// Writes the format of a new file.
    pub(super) fn stamp(&mut self) -> Result<(), Failure> {
        self.rows.insert(FORMAT_KEY, (FORMAT, u64::MAX))?;
        Ok(())
    }

    pub(super) fn create(&mut self, new: &NewSession, now: Timestamp) -> Result<(), Failure> {
        for key in &new.index {
            let entry = Row::lasting(new.now, now, new.index_ttl);
            self.rows.insert(index_key(*key, new.id).as_slice(), entry.value())?;
        }
        let row = Row::lasting(new.now, now, new.ttl);
        self.rows.insert(session_key(new.id).as_slice(), row.value())?;
        self.put(new.id, 1, &new.payload)
    }

    pub(super) fn replace(&mut self, swap: &Swap, now: Timestamp) -> Result<Replaced, Failure> {
        let Some((row, current)) = self.standing(swap.id, now)? else { return Ok(Replaced::Gone) };
        if current != swap.expected {
            return Ok(Replaced::Conflict(current));
        }
        let next = current.saturating_add(1);
        self.put(swap.id, next, &swap.payload)?;
        if let Some(ttl) = swap.ttl {
            let row = Row::lasting(row.at, now, ttl);
            self.rows.insert(session_key(swap.id).as_slice(), row.value())?;
        }
        Ok(Replaced::Done(next))
    }

    pub(super) fn touch(
        &mut self,
        id: SessionId,
        at: Timestamp,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<bool, Failure> {
        let key = session_key(id);
        if live(&self.rows, &key, now)?.is_none() {
            return Ok(false);
        }
        self.rows.insert(key.as_slice(), Row::lasting(at, now, ttl).value())?;
        Ok(true)
    }

    pub(super) fn delete(&mut self, id: SessionId, index: &[IndexKey], now: Timestamp) -> Result<bool, Failure> {
        for key in index {
            self.rows.remove(index_key(*key, id).as_slice())?;
        }
        self.payloads.remove(&id.0)?;
        let row = self.rows.remove(session_key(id).as_slice())?;
        Ok(row.is_some_and(|row| Row::from_value(row.value()).lives(now)))
    }

    /// Tombstone and deletions stand in one transaction: nobody sees one without the other.
    pub(super) fn end_all(&mut self, key: IndexKey, tombstone: Row, now: Timestamp) -> Result<Vec<SessionId>, Failure> {
        let stone = tombstone_key(key);
        let newer = live(&self.rows, &stone, now)?.is_none_or(|old| old.at <= tombstone.at);
        if newer {
            self.rows.insert(stone.as_slice(), tombstone.value())?;
        }
        let mut ended = Vec::new();
        for id in self.listed(key)? {
            if self.delete(id, &[key], now)? {
                ended.push(id);
            }
        }
        Ok(ended)
    }

    pub(super) fn claim_once(&mut self, key: OnceKey, now: Timestamp, ttl: Duration) -> Result<bool, Failure> {
        let key = prefixed(ONCE, &key.0);
        if live(&self.rows, &key, now)?.is_some() {
            return Ok(false);
        }
        self.rows.insert(key.as_slice(), Row::lasting(now, now, ttl).value())?;
        Ok(true)
    }

    pub(super) fn hold_once(&mut self, key: OnceKey, now: Timestamp, ttl: Duration) -> Result<(), Failure> {
        self.rows.insert(prefixed(ONCE, &key.0).as_slice(), Row::lasting(now, now, ttl).value())?;
        Ok(())
    }

    /// Removes what has aged behind `cursor`, after at most so many rows looked at or removed.
    pub(super) fn sweep(&mut self, cursor: Option<&[u8]>, step: Step, now: Timestamp) -> Result<Swept, Failure> {
        let mut aged = Vec::new();
        let mut seen = 0_usize;
        let mut next = None;
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        for entry in self.rows.range::<&[u8]>((from, Bound::Unbounded))? {
            let (key, value) = entry?;
            seen += 1;
            if !Row::from_value(value.value()).lives(now) {
                aged.push(key.value().to_vec());
            }
            if seen == step.look_at || aged.len() == step.remove {
                next = Some(key.value().to_vec());
                break;
            }
        }
        for key in &aged {
            self.rows.remove(key.as_slice())?;
            if let Some(id) = session_of(key) {
                self.payloads.remove(&id)?;
            }
        }
        Ok(Swept { removed: aged.len(), next })
    }

    fn listed(&self, key: IndexKey) -> Result<Vec<SessionId>, Failure> {
        let first = index_key(key, SessionId([0; 16]));
        let last = index_key(key, SessionId([0xff; 16]));
        let mut ids = Vec::new();
        for entry in self.rows.range(first.as_slice()..=last.as_slice())? {
            let (key, _) = entry?;
            if let Some(id) = key.value().last_chunk::<16>() {
                ids.push(SessionId(*id));
            }
        }
        Ok(ids)
    }

    /// A session's row and generation, when it stands.
    fn standing(&self, id: SessionId, now: Timestamp) -> Result<Option<(Row, Generation)>, Failure> {
        let Some(row) = live(&self.rows, &session_key(id), now)? else { return Ok(None) };
        let value = self.payloads.get(&id.0)?;
        let generation = value.as_ref().and_then(|value| split(value.value())).map(|(generation, _)| generation);
        Ok(generation.map(|generation| (row, generation)))
    }

    fn put(&mut self, id: SessionId, generation: Generation, payload: &[u8]) -> Result<(), Failure> {
        let mut value = Vec::with_capacity(GENERATION + payload.len());
        value.extend_from_slice(&generation.to_be_bytes());
        value.extend_from_slice(payload);
        self.payloads.insert(&id.0, value.as_slice())?;
        Ok(())
    }
}

fn live(
    rows: &impl ReadableTable<&'static [u8], (u64, u64)>,
    key: &[u8],
    now: Timestamp,
) -> Result<Option<Row>, Failure> {
    let row = rows.get(key)?.map(|row| Row::from_value(row.value()));
    Ok(row.filter(|row| row.lives(now)))
}

fn split(value: &[u8]) -> Option<(Generation, &[u8])> {
    let (generation, payload) = value.split_first_chunk::<GENERATION>()?;
    Some((Generation::from_be_bytes(*generation), payload))
}

fn session_key(id: SessionId) -> [u8; 17] {
    let mut key = [SESSION; 17];
    let (_, tail) = key.split_at_mut(1);
    tail.copy_from_slice(&id.0);
    key
}

fn index_key(key: IndexKey, id: SessionId) -> Vec<u8> {
    let mut bytes = prefixed(INDEX, &[kind_byte(key.kind)]);
    bytes.extend_from_slice(&key.hash);
    bytes.extend_from_slice(&id.0);
    bytes
}

fn tombstone_key(key: IndexKey) -> Vec<u8> {
    let mut bytes = prefixed(TOMBSTONE, &[kind_byte(key.kind)]);
    bytes.extend_from_slice(&key.hash);
    bytes
}

fn prefixed(prefix: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(34);
    key.push(prefix);
    key.extend_from_slice(rest);
    key
}

/// The session whose row this is.
fn session_of(key: &[u8]) -> Option<[u8; 16]> {
    match key.split_first() {
        Some((&SESSION, id)) => id.try_into().ok(),
        Some(_) | None => None,
    }
}

const fn kind_byte(kind: IndexKind) -> u8 {
    match kind {
        IndexKind::Subject => b'u',
        IndexKind::ProviderSession => b's',
    }
}
