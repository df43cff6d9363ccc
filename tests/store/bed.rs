//! What a test of a store needs: a fresh store, ids, and a patient look at what changes with time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coatcheck::clock::{Clock, SystemClock, random};
use coatcheck::core::time::Timestamp;
use coatcheck::store::embedded::Embedded;
use coatcheck::store::{IndexKey, IndexKind, LeaseOwner, NewSession, OnceKey, SessionId, SharedStore};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Short enough to wait for, long enough to do something meanwhile on a busy machine.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// An embedded store in a directory of its own.
pub(crate) struct EmbeddedBed {
    pub(crate) store: SharedStore,

    _directory: tempfile::TempDir,
}

impl EmbeddedBed {
    pub(crate) async fn verify(&self) {}
}

pub(crate) async fn embedded() -> EmbeddedBed {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("coatcheck.db");
    let store = Arc::new(Embedded::open(&path, Arc::new(SystemClock)).unwrap());
    EmbeddedBed { store, _directory: directory }
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

pub(crate) fn an_id() -> SessionId {
    SessionId(random())
}

pub(crate) fn an_owner() -> LeaseOwner {
    LeaseOwner(random())
}

pub(crate) fn a_once_key() -> OnceKey {
    OnceKey(random())
}

pub(crate) fn a_user() -> IndexKey {
    IndexKey { kind: IndexKind::Subject, hash: random() }
}

/// A session that lives for [`LONG`], listed under `index`.
pub(crate) fn a_session(id: SessionId, payload: &[u8], index: &[IndexKey]) -> NewSession {
    NewSession { id, payload: payload.to_vec(), index: index.to_vec(), now: now(), ttl: LONG, index_ttl: LONG }
}

/// Polls until `check` holds; the test fails with `what` when it does not within [`PATIENCE`].
pub(crate) async fn eventually<F, Fut>(what: &str, mut check: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
