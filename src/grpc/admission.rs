//! Which checks are taken on. A check that cannot be answered in time is answered at once, before its request is read:
//! what is over the capacity has to cost little, or it takes the capacity with it.

mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

pub(super) use load::Arrival;
pub use load::ThreadLoad;

/// A queue that is shorter is no overload, however long it took: its checks are done in a few milliseconds. It is how
/// a thread is told that has too much to do from one that does not get its processor, for which refusing helps nobody.
const QUEUE: usize = 64;

/// Takes checks on, on one thread.
pub struct Admission {
    capacity: Capacity,
    load: Arc<ThreadLoad>,
}

impl Admission {
    /// `capacity` is that of the whole process, `load` is that of the thread.
    #[must_use]
    pub fn new(capacity: Capacity, load: Arc<ThreadLoad>) -> Self {
        Self { capacity, load }
    }

    /// A check has arrived. Its turn on the thread comes when those before it are done.
    pub(super) fn arrives(&self, now: Instant) -> Arrival {
        self.load.arrives(now)
    }

    /// It is its turn. `None`: too much is going on.
    pub(super) fn admit(&self, arrival: Arrival, now: Instant) -> Option<Place> {
        let waited = now.saturating_duration_since(arrival.at);
        let behind = arrival.into_behind();
        if self.load.is_saturated(now) && waited > self.capacity.wait && behind >= QUEUE {
            return None;
        }
        self.capacity.take()
    }
}

/// How much is taken on, by all threads of the process together. Cheap to clone.
#[derive(Clone)]
pub struct Capacity {
    free: Arc<AtomicUsize>,
    wait: Duration,
}

impl Capacity {
    /// So many checks at once; and on a thread that is saturated, none that had to `wait` longer for it.
    #[must_use]
    pub fn new(checks: usize, wait: Duration) -> Self {
        Self { free: Arc::new(AtomicUsize::new(checks)), wait }
    }

    /// Nothing else is ordered by this count, so that all threads can share it cheaply.
    fn take(&self) -> Option<Place> {
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(|_| Place(Arc::clone(&self.free)))
    }
}

/// The place of one check, free again when it is dropped: when the check is answered, or Envoy gave up.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
