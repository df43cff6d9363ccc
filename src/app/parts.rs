//! Builds the parts of a process out of its config and connects them. The only code that names adapters.

use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::probe;
use crate::admin::readiness::Readiness;
use crate::check::{self, Checker};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{self, Config, ProviderConfig, RedisConfig, StoreConfig};
use crate::core::app::Apps;
use crate::grpc::AuthzService;
use crate::http::Web;
use crate::login::Login;
use crate::logout::Logout;
use crate::oidc::client::OidcClient;
use crate::oidc::{Providers, SharedProvider};
use crate::refresh::{self, Refresher};
use crate::store::SharedStore;
use crate::store::embedded::Embedded;
use crate::store::observed::ObservedStore;
use crate::store::redis::Redis;
use crate::store::vault::Vault;
use crate::telemetry::context::Tracing;
use crate::telemetry::metrics::Metrics;

/// The connected parts.
pub(super) struct Parts {
    pub(super) checkers: Arc<Checkers>,
    pub(super) web: Arc<Web>,
    pub(super) store: SharedStore,
    pub(super) providers: Vec<SharedProvider>,
    pub(super) readiness: Readiness,
    pub(super) metrics: Metrics,
    /// Owns what must finish although its request has ended: refreshes, revocations, touches.
    pub(super) tracker: TaskTracker,
    adapter: Adapter,
}

/// The store underneath, as far as it has to be closed.
enum Adapter {
    Embedded(Arc<Embedded>),
    Redis(CancellationToken),
}

/// Makes the checks of each thread.
pub(super) struct Checkers {
    redis: Option<RedisConfig>,
    apps: Arc<Apps>,
    vault: Arc<Vault>,
    refresher: Arc<Refresher>,
    clock: SharedClock,
    metrics: Metrics,
    tracker: TaskTracker,
    runtime: Handle,
    tracing: Tracing,
}

impl Checkers {
    /// The service of one of `threads` threads, to be called on its runtime: it reads sessions over connections of its
    /// own, so that no check waits for another thread. All writing stays with the process's one store.
    pub(super) fn service(&self, threads: usize) -> anyhow::Result<AuthzService> {
        let vault = match &self.redis {
            None => Arc::clone(&self.vault),
            Some(config) => {
                let threads = u32::try_from(threads).unwrap_or(u32::MAX).max(1);
                let own = RedisConfig { connections: config.connections.div_ceil(threads), ..config.clone() };
                // Its background tasks end with the runtime of the thread.
                let store = Redis::new(&own, &TaskTracker::new(), &CancellationToken::new())?;
                let store = ObservedStore::new(Arc::new(store), &self.metrics, self.tracing.clone());
                Arc::new(self.vault.over(Arc::new(store)))
            }
        };
        let checker = Checker::new(check::Parts {
            apps: Arc::clone(&self.apps),
            vault,
            refresher: Arc::clone(&self.refresher),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            touched: Arc::clone(self.vault.store()),
            tracker: self.tracker.clone(),
            runtime: self.runtime.clone(),
        });
        Ok(AuthzService::new(Arc::new(checker), self.tracing.clone()))
    }
}

/// Connections for what is no check: logins, refreshes, uses.
const OTHER_CONNECTIONS: u32 = 2;

fn redis_of(config: &StoreConfig) -> Option<RedisConfig> {
    match config {
        StoreConfig::Embedded { .. } => None,
        StoreConfig::Redis(redis) => Some(redis.clone()),
    }
}

impl Parts {
    /// Opens the embedded store's file where there is one; no peer is asked for anything.
    pub(super) fn build(config: Config, tracing: &Tracing) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let metrics = Metrics::new();
        let tracker = TaskTracker::new();
        let keyring = match (config.keys, &config.store) {
            (Some(keyring), _) => keyring,
            (None, StoreConfig::Embedded { path }) => config::embedded_key(path)?,
            (None, StoreConfig::Redis(_)) => anyhow::bail!("keys: a shared store needs at least one server key"),
        };
        let (store, adapter) = open_store(&config.store, &clock)?;
        let store: SharedStore = Arc::new(ObservedStore::new(store, &metrics, tracing.clone()));
        let providers = connect_providers(&config.providers, &clock, &metrics)?;
        let by_name = Providers::new(providers.clone());
        let vault = Arc::new(Vault::new(Arc::clone(&store), keyring, Arc::clone(&clock), metrics.clone()));
        let refresher = Refresher::new(refresh::Parts {
            vault: Arc::clone(&vault),
            providers: by_name.clone(),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            tracker: tracker.clone(),
            runtime: Handle::current(),
            tracing: tracing.clone(),
        });
        let checkers = Arc::new(Checkers {
            redis: redis_of(&config.store),
            apps: Arc::new(config.apps.clone()),
            vault: Arc::clone(&vault),
            refresher,
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            tracker: tracker.clone(),
            runtime: Handle::current(),
            tracing: tracing.clone(),
        });
        let web = Arc::new(Web {
            apps: config.apps,
            login: Login::new(
                Arc::clone(&vault),
                by_name.clone(),
                Arc::clone(&clock),
                metrics.clone(),
                tracker.clone(),
            ),
            logout: Logout::new(Arc::clone(&vault), by_name, metrics.clone(), tracker.clone()),
            vault,
            clock,
            metrics: metrics.clone(),
            tracing: tracing.clone(),
        });
        let readiness = Readiness::new(probe::parts(&providers), metrics.ready());
        Ok(Self { checkers, web, store, providers, readiness, metrics, tracker, adapter })
    }

    /// Closes the store, after everything that uses it has ended or was given up.
    pub(super) async fn close(self) {
        match self.adapter {
            Adapter::Redis(stop) => stop.cancel(),
            // Waits for the writer's last commit: not on a thread of the runtime.
            Adapter::Embedded(embedded) => {
                if tokio::task::spawn_blocking(move || embedded.close()).await.is_err() {
                    tracing::error!("the embedded store was not closed cleanly; it recovers at the next start");
                }
            }
        }
    }
}

fn open_store(config: &StoreConfig, clock: &SharedClock) -> anyhow::Result<(SharedStore, Adapter)> {
    match config {
        StoreConfig::Embedded { path } => {
            let store = Embedded::open(path, Arc::clone(clock))
                .with_context(|| format!("store.path: {} cannot be opened", path.display()))?;
            let store = Arc::new(store);
            Ok((Arc::clone(&store) as SharedStore, Adapter::Embedded(store)))
        }
        StoreConfig::Redis(redis) => {
            let stop = CancellationToken::new();
            // Its background tasks end with `stop`, after the flights that still need the store.
            let redis = RedisConfig { connections: OTHER_CONNECTIONS, ..redis.clone() };
            let store = Redis::new(&redis, &TaskTracker::new(), &stop).context("store: Redis cannot be set up")?;
            Ok((Arc::new(store), Adapter::Redis(stop)))
        }
    }
}

fn connect_providers(
    configs: &[ProviderConfig],
    clock: &SharedClock,
    metrics: &Metrics,
) -> anyhow::Result<Vec<SharedProvider>> {
    configs
        .iter()
        .map(|config| {
            let client = OidcClient::new(config, Arc::clone(clock), metrics.clone())?;
            Ok(Arc::new(client) as SharedProvider)
        })
        .collect()
}
