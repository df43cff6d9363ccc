//! Whether a thread has more to do than it can.
//!
//! No counter of checks sees a processor that is too slow: what waits then is in sockets and in the queue of the runtime.
//! But a thread that keeps up with its work comes to rest now and then, and one that does not never does. So the time at
//! rest is measured, which costs two looks at the clock for each rest and nothing while there is none. It is the idea of
//! `CoDel` (RFC 8289): a queue is too long only if it does not run empty for a while; a burst is no reason to refuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A thread is judged by its last such span: as long as a burst may take to be worked off.
const SPAN: Duration = Duration::from_millis(100);

/// A thread that rests for less than this part of a span is saturated. Not nothing: a thread that looks for news while
/// another process has the processor seems to rest.
const REST: u64 = 20;

/// The load of one thread, told by its runtime. The atomics are for the compiler: only that thread uses them.
pub struct ThreadLoad {
    epoch: Instant,
    /// All times are microseconds since `epoch`.
    parked: AtomicU64,
    rested: AtomicU64,
    judged: AtomicU64,
    saturated: AtomicBool,
    /// Checks that arrived and had no turn yet.
    waiting: AtomicUsize,
}

impl ThreadLoad {
    /// A thread that begins now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            epoch: now,
            parked: zero(),
            rested: zero(),
            judged: zero(),
            saturated: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The thread has nothing to do.
    pub fn parks(&self, now: Instant) {
        self.parked.store(self.micros(now), Ordering::Relaxed);
    }

    /// It has again.
    pub fn unparks(&self, now: Instant) {
        let rest = self.micros(now).saturating_sub(self.parked.load(Ordering::Relaxed));
        let rested = self.rested.load(Ordering::Relaxed).saturating_add(rest);
        self.rested.store(rested, Ordering::Relaxed);
    }

    /// One more check waits.
    pub(super) fn arrives(self: &Arc<Self>, now: Instant) -> Arrival {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Arrival { load: Arc::clone(self), at: now }
    }

    /// Whether the thread has hardly rested of late.
    pub(super) fn is_saturated(&self, now: Instant) -> bool {
        let now = self.micros(now);
        let span = now.saturating_sub(self.judged.load(Ordering::Relaxed));
        if u128::from(span) < SPAN.as_micros() {
            return self.saturated.load(Ordering::Relaxed);
        }
        let saturated = self.rested.swap(0, Ordering::Relaxed) < span / REST;
        self.judged.store(now, Ordering::Relaxed);
        self.saturated.store(saturated, Ordering::Relaxed);
        saturated
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }
}

/// A check that waits for its turn. Dropped without one when Envoy gives up.
pub(in crate::grpc) struct Arrival {
    load: Arc<ThreadLoad>,
    pub(super) at: Instant,
}

impl Arrival {
    /// Waits no more; how many still do.
    pub(super) fn into_behind(self) -> usize {
        self.load.waiting.load(Ordering::Relaxed).saturating_sub(1)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.load.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
