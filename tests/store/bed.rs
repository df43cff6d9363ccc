//! What a test of a store needs: a fresh store, ids, and a patient look at what changes with time.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coatcheck::clock::{Clock, SystemClock, random};
use coatcheck::config::RedisConfig;
use coatcheck::core::time::Timestamp;
use coatcheck::store::embedded::Embedded;
use coatcheck::store::redis::Redis;
use coatcheck::store::{IndexKey, IndexKind, LeaseOwner, NewSession, OnceKey, SessionId, SharedStore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::Server;

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
    /// What holds after every test: the writer lives.
    pub(crate) async fn verify(&self) {
        self.store.ping().await.unwrap();
    }
}

pub(crate) fn embedded() -> Ready<EmbeddedBed> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("coatcheck.db");
    let store = Arc::new(Embedded::open(&path, Arc::new(SystemClock)).unwrap());
    ready(EmbeddedBed { store, _directory: directory })
}

/// A store in a Redis server of its own.
pub(crate) struct RedisBed {
    pub(crate) store: SharedStore,
    /// The same store, for what the port does not know.
    pub(crate) redis: Arc<Redis>,
    pub(crate) server: Server,
    pub(crate) prefix: String,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl RedisBed {
    /// A store on `server` with other settings than the usual ones.
    pub(crate) fn on(server: Server, adjust: impl FnOnce(&mut RedisConfig)) -> Self {
        let mut config = redis_config(&server);
        adjust(&mut config);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let redis = Arc::new(Redis::new(&config, &tasks, &stop).unwrap());
        let store = Arc::clone(&redis) as SharedStore;
        Self { store, redis, server, prefix: config.prefix, tasks, stop }
    }

    /// What holds after every test: each key is under the prefix and has an end.
    pub(crate) async fn verify(&self) {
        for (key, ttl) in self.server.keys().await {
            assert!(key.starts_with(&self.prefix), "{key} is outside the prefix");
            assert!(ttl >= 0, "{key} is kept for ever");
        }
    }
}

pub(crate) async fn redis() -> RedisBed {
    RedisBed::on(Server::start().await, |_| {})
}

pub(crate) fn redis_config(server: &Server) -> RedisConfig {
    let random: [u8; 4] = random();
    RedisConfig {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        database: 0,
        tls: None,
        username: None,
        password: None,
        prefix: format!("test-{}:", u32::from_be_bytes(random)),
        connections: 4,
        // Far above the defaults: a busy machine is no outage.
        response_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
    }
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
