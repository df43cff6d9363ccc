//! Idle touches beside the checks: at most one under way per session.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::core::time::Timestamp;
use crate::store::{SessionId, SharedStore};

/// More touches than this are not run at once; a session left out is touched by its next request.
const MAX_UNDER_WAY: usize = 1_000;

pub(super) struct Touches {
    store: SharedStore,
    tracker: TaskTracker,
    runtime: Handle,
    under_way: Mutex<HashSet<SessionId>>,
}

impl Touches {
    pub(super) fn new(store: SharedStore, tracker: TaskTracker, runtime: Handle) -> Arc<Self> {
        Arc::new(Self { store, tracker, runtime, under_way: Mutex::default() })
    }

    /// Records a use at `now` and prolongs the record's life to `ttl`, without anyone waiting for it.
    pub(super) fn touch(self: &Arc<Self>, id: SessionId, now: Timestamp, ttl: Duration) {
        let mut under_way = self.under_way();
        if under_way.len() >= MAX_UNDER_WAY || !under_way.insert(id) {
            return;
        }
        drop(under_way);
        let touches = Arc::clone(self);
        let touch = async move {
            if let Err(error) = touches.store.touch(id, now, ttl).await {
                tracing::debug!(%error, "a use was not recorded; the next request tries again");
            }
            touches.under_way().remove(&id);
        };
        self.tracker.spawn_on(touch, &self.runtime);
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        // A panic under this lock cannot leave the set half-written.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
