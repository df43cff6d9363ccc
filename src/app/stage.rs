//! Where the servers find the current generation. Each request takes what it finds, once, and keeps it to its end; a
//! swap concerns the requests after it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::generation::Generation;
use super::process::Process;
use crate::config::{RedisConfig, StoreConfig};
use crate::grpc::{Admission, AuthzService, Capacity, LoginRoutes, ThreadLoad};
use crate::http::{self, Web};
use crate::store::SharedStore;
use crate::store::observed::ObservedStore;
use crate::store::redis::Redis;

/// The current generation, as the servers see it.
pub(super) struct Stage {
    pub(super) process: Process,
    pub(super) web: Arc<ArcSwap<Web>>,
    /// The same routes, as checks reach them.
    login_routes: Arc<LoginRoutes>,
    current: ArcSwap<Generation>,
    capacity: Capacity,
}

impl Stage {
    /// Begins with a first generation.
    pub(super) fn new(process: Process, first: Generation) -> Self {
        let web = Arc::new(ArcSwap::new(Arc::clone(&first.web)));
        let routes = http::router(Arc::clone(&web));
        let login_routes = LoginRoutes::new(routes, process.runtime.clone(), process.tracker.clone());
        let capacity = Capacity::new(first.config.limits.checks, first.config.limits.wait);
        Self { process, web, login_routes: Arc::new(login_routes), current: ArcSwap::from_pointee(first), capacity }
    }

    /// What runs now.
    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The service of one of `threads` threads, to be called on its runtime: it reads sessions over connections of its
    /// own, so that no check waits for another thread.
    pub(super) fn seat(&self, threads: usize, load: Arc<ThreadLoad>) -> anyhow::Result<AuthzService> {
        let generation = self.current();
        let store = match &generation.config.store {
            StoreConfig::Embedded { .. } => Arc::clone(&self.process.store),
            StoreConfig::Redis(config) => self.own_connections(config, threads)?,
        };
        let checker = Arc::new(ArcSwap::new(generation.checker(&self.process, &store)));
        let admission = Admission::new(self.capacity.clone(), load);
        Ok(AuthzService::new(checker, Arc::clone(&self.login_routes), self.process.tracing.clone(), admission))
    }

    fn own_connections(&self, config: &RedisConfig, threads: usize) -> anyhow::Result<SharedStore> {
        let threads = u32::try_from(threads).unwrap_or(u32::MAX).max(1);
        let own = RedisConfig { connections: config.connections.div_ceil(threads), ..config.clone() };
        // Its background tasks end with the runtime of the thread.
        let store = Redis::new(&own, &TaskTracker::new(), &CancellationToken::new())?;
        Ok(Arc::new(ObservedStore::new(Arc::new(store), &self.process.metrics, self.process.tracing.clone())))
    }
}
