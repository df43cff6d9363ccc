//! What a test needs: the router over a real store, a clock that can be set, and a store that can be made to fail.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use coatcheck::clock::{Clock, SharedClock};
use coatcheck::core::app::{
    App, Apps, Authorization, BindMismatch, CookieSettings, CsrfSettings, LoginMode, LoginSettings, Origin, SameSite,
    SessionSettings, Upstream,
};
use coatcheck::core::keyring::{KeyId, Keyring, ServerKey};
use coatcheck::core::policy::Policy;
use coatcheck::core::session::Held;
use coatcheck::core::ticket::Ticket;
use coatcheck::core::time::Timestamp;
use coatcheck::http::{Web, router};
use coatcheck::login::Login;
use coatcheck::logout::Logout;
use coatcheck::oidc::{Providers, SharedProvider, TokenKind};
use coatcheck::store::embedded::Embedded;
use coatcheck::store::vault::Vault;
use coatcheck::store::{
    IndexKey, LeaseOwner, NewSession, OnceKey, Replaced, SessionId, SessionStore, SharedStore, StoreError, Stored, Swap,
};
use coatcheck::telemetry::context::Tracing;
use coatcheck::telemetry::metrics::Metrics;
use secrecy::ExposeSecret;
use tokio::sync::{RwLock, RwLockWriteGuard};
use tokio_util::task::TaskTracker;

use crate::browser::Browser;
use crate::log;
use crate::provider::{SECRETS, Scripted};

pub(crate) const COOKIE: &str = "__Host-Http-coatcheck";

/// Everything behind the router.
pub(crate) struct Bed {
    pub(crate) router: Router,
    pub(crate) provider: Arc<Scripted>,
    pub(crate) store: Arc<Fallible>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: TaskTracker,
    _directory: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With another app than the usual one.
    pub(crate) fn with(change: impl FnOnce(&mut App)) -> Self {
        log::listen();
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(SetClock(AtomicU64::new(1_700_000_000_000)));
        let shared_clock: SharedClock = clock.clone();
        let embedded = Embedded::open(&directory.path().join("store"), shared_clock.clone()).unwrap();
        let store = Arc::new(Fallible {
            inner: embedded,
            down: AtomicBool::default(),
            full: AtomicBool::default(),
            calls: AtomicUsize::default(),
            gate: RwLock::default(),
            created: Mutex::default(),
        });
        let shared_store: SharedStore = store.clone();
        let provider = Arc::new(Scripted::default());
        let shared_provider: SharedProvider = provider.clone();
        let providers = Providers::new(vec![shared_provider]);
        let keyring = Keyring::new(vec![ServerKey::new(KeyId(1), [1; 32])]).unwrap();
        let (metrics, tasks) = (Metrics::new(), TaskTracker::new());
        let vault = Arc::new(Vault::new(shared_store, keyring, shared_clock.clone(), metrics.clone()));
        let (mut shop, mut other) =
            (app("shop", "https://shop.example.com"), app("other", "https://other.example.com"));
        change(&mut shop);
        other.login.prefix = "/sso".into();
        let router = router(Arc::new(ArcSwap::from_pointee(Web {
            apps: Apps::new(vec![shop, other]),
            login: Login::new(vault.clone(), providers.clone(), shared_clock.clone(), metrics.clone(), tasks.clone()),
            logout: Logout::new(vault.clone(), providers, metrics.clone(), tasks.clone()),
            vault: vault.clone(),
            clock: shared_clock,
            metrics: metrics.clone(),
            tracing: Tracing::off(),
        })));
        Self { router, provider, store, clock, vault, metrics, tasks, _directory: directory }
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser::new(self)
    }

    /// Returns once every task has ended.
    pub(crate) async fn settled(&self) {
        self.tasks.close();
        tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await.expect("tasks that end");
    }

    /// What the provider was asked to revoke, once every task has ended.
    pub(crate) async fn revoked(&self) -> Vec<(TokenKind, String)> {
        self.settled().await;
        self.provider.seen.lock().unwrap().revoked.clone()
    }

    /// The session behind a cookie value.
    pub(crate) async fn held(&self, cookie: &str) -> Option<Held> {
        let ticket = Ticket::parse(cookie.as_bytes(), "shop", self.vault.keyring()).expect("a ticket of ours");
        self.vault.open(&ticket, "shop").await.unwrap()
    }
}

/// No test leaves a secret in its log.
impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let log = log::text();
        let seen = self.provider.seen.lock().unwrap();
        let asked =
            seen.authorized.iter().flat_map(|asked| [&*asked.state, &*asked.nonce, asked.verifier.expose_secret()]);
        for secret in SECRETS.into_iter().chain(asked) {
            assert!(!log.contains(secret), "a secret is in the log");
        }
    }
}

fn app(name: &str, origin: &str) -> App {
    App {
        name: name.into(),
        origins: vec![Origin::new(origin.into())],
        provider: "main".into(),
        upstream: Upstream { authorization: Authorization::AccessToken, headers: Vec::new() },
        default_policy: Policy::default(),
        policies: std::collections::HashMap::new(),
        cookie: CookieSettings { name: COOKIE.into(), same_site: SameSite::Strict },
        session: SessionSettings {
            absolute: Duration::from_secs(12 * 3600),
            idle: Duration::from_secs(1800),
            bind_user_agent: false,
            bind_ip_prefix: false,
            on_bind_mismatch: BindMismatch::Reauthenticate,
        },
        refresh_margin: Duration::from_secs(60),
        login: LoginSettings {
            prefix: "/auth".into(),
            mode: LoginMode::Routed,
            attempt_lifetime: Duration::from_secs(600),
            allow_params: vec!["prompt".into(), "login_hint".into(), "scope".into()],
            scopes: vec!["openid".into(), "profile".into()],
            userinfo: false,
            session_claims: vec!["sub".into(), "name".into(), "email".into()],
        },
        csrf: CsrfSettings { enabled: true, trusted_origins: Vec::new(), header: None },
        revoke_at_logout: true,
    }
}

/// A clock that stands still until it is set.
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// The embedded store, which can be made to fail, with a count of the calls it got.
pub(crate) struct Fallible {
    inner: Embedded,
    down: AtomicBool,
    full: AtomicBool,
    calls: AtomicUsize,
    gate: RwLock<()>,
    created: Mutex<Vec<SessionId>>,
}

impl Fallible {
    pub(crate) fn fail(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// New sessions are refused, everything else works.
    pub(crate) fn fill(&self) {
        self.full.store(true, Ordering::SeqCst);
    }

    /// Nothing is loaded until the guard is dropped.
    pub(crate) async fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many sessions were stored, and how many of them are still there.
    pub(crate) async fn sessions(&self) -> (usize, usize) {
        let created = self.created.lock().unwrap().clone();
        let mut left = 0;
        for id in &created {
            left += usize::from(self.inner.load(*id).await.unwrap().is_some());
        }
        (created.len(), left)
    }

    fn inner(&self) -> Result<&Embedded, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let down = self.down.load(Ordering::SeqCst);
        if down { Err(StoreError::Unavailable("out for lunch".into())) } else { Ok(&self.inner) }
    }
}

#[async_trait]
impl SessionStore for Fallible {
    async fn load(&self, id: SessionId) -> Result<Option<Stored>, StoreError> {
        let inner = self.inner()?;
        let _open = self.gate.read().await;
        inner.load(id).await
    }

    async fn create(&self, new: NewSession) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Refused("full".into()));
        }
        self.created.lock().unwrap().push(new.id);
        self.inner()?.create(new).await
    }

    async fn replace(&self, swap: Swap) -> Result<Replaced, StoreError> {
        self.inner()?.replace(swap).await
    }

    async fn touch(&self, id: SessionId, now: Timestamp, ttl: Duration) -> Result<bool, StoreError> {
        self.inner()?.touch(id, now, ttl).await
    }

    async fn delete(&self, id: SessionId, index: &[IndexKey]) -> Result<bool, StoreError> {
        self.inner()?.delete(id, index).await
    }

    async fn end_all(&self, key: IndexKey, now: Timestamp, keep: Duration) -> Result<Vec<SessionId>, StoreError> {
        self.inner()?.end_all(key, now, keep).await
    }

    async fn tombstone(&self, key: IndexKey) -> Result<Option<Timestamp>, StoreError> {
        self.inner()?.tombstone(key).await
    }

    async fn claim_once(&self, key: OnceKey, ttl: Duration) -> Result<bool, StoreError> {
        self.inner()?.claim_once(key, ttl).await
    }

    async fn hold_once(&self, key: OnceKey, ttl: Duration) -> Result<(), StoreError> {
        self.inner()?.hold_once(key, ttl).await
    }

    async fn acquire_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError> {
        self.inner()?.acquire_lease(id, owner, ttl).await
    }

    async fn extend_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError> {
        self.inner()?.extend_lease(id, owner, ttl).await
    }

    async fn release_lease(&self, id: SessionId, owner: LeaseOwner) -> Result<(), StoreError> {
        self.inner()?.release_lease(id, owner).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner()?.ping().await
    }

    fn kind(&self) -> &'static str {
        "embedded"
    }
}
