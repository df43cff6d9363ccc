//! What lives as long as the process, whatever configuration it runs with: the store, metrics, and what is under way.

use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Own, Share};
use crate::clock::{SharedClock, SystemClock};
use crate::config::StoreConfig;
use crate::refresh;
use crate::store::SharedStore;
use crate::store::embedded::Embedded;
use crate::store::observed::ObservedStore;
use crate::store::redis::Redis;
use crate::telemetry::context::Tracing;
use crate::telemetry::metrics::Metrics;

/// What lives as long as the process.
pub(super) struct Process {
    pub(super) store: SharedStore,
    pub(super) clock: SharedClock,
    pub(super) metrics: Metrics,
    pub(super) tracing: Tracing,
    /// Owns what must finish although its request has ended: refreshes, revocations, touches.
    pub(super) tracker: TaskTracker,
    /// Where that runs: not on the thread of a check.
    pub(super) runtime: Handle,
    /// Refreshes under way, and back-off.
    pub(super) refreshes: refresh::Memory,
    adapter: Adapter,
}

/// The store underneath, as far as it has to be closed.
enum Adapter {
    Embedded(Arc<Embedded>),
    Redis(Own, CancellationToken),
}

impl Process {
    /// Opens the embedded store's file where there is one; no peer is asked for anything.
    pub(super) fn open(config: &StoreConfig, tracing: &Tracing) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let metrics = Metrics::new();
        let (store, adapter) = open_store(config, &clock)?;
        Ok(Self {
            store: Arc::new(ObservedStore::new(store, &metrics, tracing.clone())),
            clock,
            metrics,
            tracing: tracing.clone(),
            tracker: TaskTracker::new(),
            runtime: Handle::current(),
            refreshes: refresh::Memory::default(),
            adapter,
        })
    }

    /// A store that is measured with the others.
    pub(super) fn observed(&self, store: SharedStore) -> SharedStore {
        Arc::new(ObservedStore::new(store, &self.metrics, self.tracing.clone()))
    }

    /// The Redis underneath, where there is one.
    pub(super) const fn redis(&self) -> Option<&Own> {
        match &self.adapter {
            Adapter::Redis(own, _) => Some(own),
            Adapter::Embedded(_) => None,
        }
    }

    /// Closes the store, after everything that uses it has ended or was given up.
    pub(super) async fn close(&self) {
        match &self.adapter {
            Adapter::Redis(_, stop) => stop.cancel(),
            // Waits for the writer's last commit: not on a thread of the runtime.
            Adapter::Embedded(embedded) => {
                let embedded = Arc::clone(embedded);
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
            let share = Share::Other;
            let store = Redis::new(&share.of(redis), &TaskTracker::new(), &stop);
            let redis = Arc::new(store.context("store: Redis cannot be set up")?);
            let store = Arc::clone(&redis) as SharedStore;
            Ok((store, Adapter::Redis(Own { redis, runtime: Handle::current(), share }, stop)))
        }
    }
}
