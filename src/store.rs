//! The store port: where sessions live. One contract, several implementations.
//!
//! A store sees opaque payloads (sealed by [`vault`]) and hashed keys, never a token, a cookie or a
//! name. It promises:
//!
//! * **Compare-and-swap.** Every write after creation names the generation it replaces and is one atomic
//!   step; a late refresh can neither bring a deleted session back nor replace a newer one.
//! * **Every key has a TTL.** Nothing is kept for ever.
//! * **An error is never "no session".** `Ok(None)` means that the store answered and has none.
//! * **Deadlines.** Each call ends within the implementation's configured response time.
//! * **Durability.** When `create`, `replace` or `delete` return `Ok`, the write survives a crash of
//!   this process (for Redis: as far as the server's own persistence goes).
//!
//! The coherent near cache will be one more implementation that wraps another.

pub mod embedded;
pub mod observed;
pub mod redis;
pub mod vault;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::core::session::Generation;
use crate::core::time::Timestamp;

/// A store shared by all flows of a process.
pub type SharedStore = Arc<dyn SessionStore>;

/// Keeps sessions, leases and marks. See the module for the contract.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// The record of a session, or `None` when there is none (never was, deleted, or timed out).
    async fn load(&self, id: SessionId) -> Result<Option<Stored>, StoreError>;

    /// Writes a new session at generation 1 with its index entries (index first, so that an end-all
    /// that runs beside it finds the session). `id` is fresh and random; an existing record is replaced.
    async fn create(&self, new: NewSession) -> Result<(), StoreError>;

    /// Replaces the payload if the record still stands at `expected`, which makes it `expected + 1`.
    /// Keeps `last_seen` and the remaining TTL unless `ttl` is given.
    async fn replace(&self, swap: Swap) -> Result<Replaced, StoreError>;

    /// Records a use at `now` and sets the TTL, without changing the generation. `false`: gone.
    /// Never creates a record.
    async fn touch(&self, id: SessionId, now: Timestamp, ttl: Duration) -> Result<bool, StoreError>;

    /// Deletes a session and its index entries. Idempotent; `true` when there was one.
    async fn delete(&self, id: SessionId, index: &[IndexKey]) -> Result<bool, StoreError>;

    /// Ends all sessions under an index key: writes a tombstone at `now` first (kept for `keep`), then reads
    /// the index and deletes. Returns what was deleted.
    async fn end_all(&self, key: IndexKey, now: Timestamp, keep: Duration) -> Result<Vec<SessionId>, StoreError>;

    /// The time of the newest tombstone under an index key.
    async fn tombstone(&self, key: IndexKey) -> Result<Option<Timestamp>, StoreError>;

    /// Marks something as used for `ttl`: `true` for the first caller, `false` for all others
    /// (`SET NX EX`). The key is a hash made by the caller.
    async fn claim_once(&self, key: OnceKey, ttl: Duration) -> Result<bool, StoreError>;

    /// Marks something as used for `ttl` from now on, whether it was marked before or not (`SET EX`).
    async fn hold_once(&self, key: OnceKey, ttl: Duration) -> Result<(), StoreError>;

    /// Takes the refresh lease of a session for `ttl` if nobody holds it (`SET NX PX`).
    async fn acquire_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError>;

    /// Extends a lease that `owner` still holds. `false`: somebody else holds it, or nobody.
    async fn extend_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back if `owner` still holds it.
    async fn release_lease(&self, id: SessionId, owner: LeaseOwner) -> Result<(), StoreError>;

    /// Whether the store answers, within its deadline.
    async fn ping(&self) -> Result<(), StoreError>;

    /// What kind of store this is, for logs and spans: `embedded`, `redis` (the `db.system.name` of OpenTelemetry).
    fn kind(&self) -> &'static str;
}

/// The key of a session: derived from its ticket, useless for making a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// A short hash of the id for logs and spans: never the id itself.
    #[must_use]
    pub fn tag(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.0);
        let short = digest.as_ref().iter().take(4).fold(0_u32, |short, byte| short << 8 | u32::from(*byte));
        // Made for every check.
        (0..8).rev().filter_map(|place| char::from_digit(short >> (4 * place) & 0xf, 16)).collect()
    }
}

/// Prints the tag, never the id.
impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionId({})", self.tag())
    }
}

/// An index entry's key: a keyed hash of (issuer, subject) or (issuer, sid).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexKey {
    /// Which index.
    pub kind: IndexKind,
    /// The keyed hash.
    pub hash: [u8; 16],
}

/// Which index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndexKind {
    /// By (issuer, subject): all sessions of a user.
    Subject,
    /// By (issuer, sid): the sessions of one session at the provider.
    ProviderSession,
}

/// The hash of something that may be used once: a login attempt's state, a `jti`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OnceKey(pub [u8; 16]);

impl OnceKey {
    /// The key of something described by these parts, the first naming what sort of thing it is: a truncated SHA-256 of
    /// them in a row. The parts must be told apart by their own form.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &parts.concat());
        let mut key = [0_u8; 16];
        key.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(key)
    }
}

/// Who holds a lease: random per flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseOwner(pub [u8; 16]);

/// A record as the store holds it.
#[derive(Clone)]
pub struct Stored {
    /// Counts the writes.
    pub generation: Generation,
    /// The last recorded use.
    pub last_seen: Timestamp,
    /// The sealed envelope.
    pub payload: Vec<u8>,
}

/// A session to create.
pub struct NewSession {
    /// Its key.
    pub id: SessionId,
    /// The sealed envelope.
    pub payload: Vec<u8>,
    /// Where it is listed.
    pub index: Vec<IndexKey>,
    /// Now: the first use.
    pub now: Timestamp,
    /// How long the record lives without a touch: the idle lifetime, at most the absolute one.
    pub ttl: Duration,
    /// How long index entries live: the absolute lifetime.
    pub index_ttl: Duration,
}

/// A replacement under compare-and-swap.
pub struct Swap {
    /// Which session.
    pub id: SessionId,
    /// The generation that the writer read.
    pub expected: Generation,
    /// The new sealed envelope.
    pub payload: Vec<u8>,
    /// A new TTL; the remaining one is kept when `None`.
    pub ttl: Option<Duration>,
}

/// What became of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Written; the record now stands at this generation.
    Done(Generation),
    /// Somebody else wrote meanwhile; the record stands at this generation.
    Conflict(Generation),
    /// There is no such session any more; nothing was written.
    Gone,
}

/// What went wrong with the store. Each variant is a different reaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer in time, no connection, not ready: try again later. The text holds no key and no value.
    #[error("the session store does not answer: {0}")]
    Unavailable(String),
    /// The store answered nonsense or refused a command: an operator has to look.
    #[error("the session store refused a command: {0}")]
    Refused(String),
}
