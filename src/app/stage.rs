//! Where the servers find the current generation. A check takes its checker once, a request to the login routes their `Web`,
//! and keeps it to its end; a swap concerns the requests after it. A check that hands its request to the login routes takes
//! both, one after the other: during a swap it may be recognized by the old generation and answered by the new one, or the
//! other way round. [`Stage::swap`] says why either is well.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Connections, Own, Share};
use super::generation::Generation;
use super::process::Process;
use crate::check::Checker;
use crate::config::StoreConfig;
use crate::grpc::{Admission, AuthzService, Capacity, LoginRoutes, ThreadLoad};
use crate::http::{self, Web};
use crate::store::SharedStore;
use crate::store::redis::{ConnectError, Redis};

/// The current generation, as the servers see it.
pub(super) struct Stage {
    pub(super) process: Process,
    pub(super) web: Arc<ArcSwap<Web>>,
    /// The same routes, as checks reach them.
    login_routes: Arc<LoginRoutes>,
    capacity: Capacity,
    current: ArcSwap<Generation>,
    threads: u32,
    seats: Mutex<Vec<Seat>>,
    taken: Semaphore,
}

/// One thread of checks: its own way to the store, kept for its life, and its checker.
struct Seat {
    store: SharedStore,
    own: Option<Own>,
    checker: Arc<ArcSwap<Checker>>,
}

impl Stage {
    /// Begins with a first generation, and a seat for each of `threads` threads.
    pub(super) fn new(process: Process, first: Generation, threads: u32) -> Self {
        let web = Arc::new(ArcSwap::new(Arc::clone(&first.web)));
        let routes = http::router(Arc::clone(&web));
        let limits = &first.config.limits;
        let login_routes = LoginRoutes::new(routes, process.runtime.clone(), process.tracker.clone(), limits.checks);
        let capacity = Capacity::new(limits.checks, limits.wait);
        Self {
            process,
            web,
            login_routes: Arc::new(login_routes),
            capacity,
            current: ArcSwap::from_pointee(first),
            threads,
            seats: Mutex::default(),
            taken: Semaphore::new(0),
        }
    }

    /// What runs now.
    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// How many threads check.
    pub(super) const fn threads(&self) -> u32 {
        self.threads
    }

    /// The service of one thread, to be called on its runtime: it reads sessions over connections of its own, so that
    /// no check waits for another thread.
    pub(super) fn seat(&self, load: Arc<ThreadLoad>) -> anyhow::Result<AuthzService> {
        let generation = self.current();
        let (store, own) = match &generation.config.store {
            StoreConfig::Embedded { .. } => (Arc::clone(&self.process.store), None),
            StoreConfig::Redis(config) => {
                let share = Share::Checks(self.threads);
                // Its background tasks end with the runtime of the thread.
                let redis = Redis::new(&share.of(config), &TaskTracker::new(), &CancellationToken::new())?;
                let own = Own { redis: Arc::new(redis), runtime: Handle::current(), share };
                (self.process.observed(Arc::clone(&own.redis) as SharedStore), Some(own))
            }
        };
        let checker = Arc::new(ArcSwap::new(generation.checker(&self.process, &store)));
        self.seats().push(Seat { store, own, checker: Arc::clone(&checker) });
        self.taken.add_permits(1);
        let admission = Admission::new(self.capacity.clone(), load);
        Ok(AuthzService::new(checker, Arc::clone(&self.login_routes), self.process.tracing.clone(), admission))
    }

    /// Returns when every thread has its seat: a swap before would pass some of them by.
    pub(super) async fn seated(&self) {
        // Never closed.
        drop(self.taken.acquire_many(self.threads).await);
    }

    /// Connects with the settings of `next`, where they are others than the current ones.
    pub(super) async fn connect(&self, next: &Generation) -> Result<Connections, ConnectError> {
        match (&self.current().config.store, &next.config.store) {
            (StoreConfig::Redis(now), StoreConfig::Redis(then)) if now != then => {
                let of_threads = self.seats().iter().filter_map(|seat| seat.own.clone()).collect::<Vec<_>>();
                Connections::make(self.process.redis().cloned().into_iter().chain(of_threads).collect(), then).await
            }
            (StoreConfig::Redis(_) | StoreConfig::Embedded { .. }, _) => Ok(Connections::default()),
        }
    }

    /// From now on requests find `next`, and the store is asked over `connections`.
    ///
    /// Checkers first: only the routes issue tickets, and whoever has one that the new routes sealed asks checkers that know
    /// its key. Until the routes follow, they issue under the old key, which a ring keeps beside a new one. A request that
    /// one generation recognized and the other answers is judged by the latter as if the listener had brought it.
    pub(super) fn swap(&self, next: Generation, connections: Connections) {
        connections.adopt();
        for seat in self.seats().iter() {
            seat.checker.store(next.checker(&self.process, &seat.store));
        }
        self.web.store(Arc::clone(&next.web));
        self.current.store(Arc::new(next));
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Seat>> {
        // A panic under this lock cannot leave the list half-written.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
