//! Refresh: exactly once, nothing lost.
//!
//! One flight per session and process, one lease per session across replicas. A flight belongs to the process, not to
//! the request that began it: Envoy may drop the check, the rotated token is stored all the same. What the provider
//! answered is stored (compare-and-swap) before anyone uses it; where the store fails at that moment, the flight keeps
//! the new tokens, serves from them and goes on trying while the process lives.

mod flight;
mod patience;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::clock::SharedClock;
use crate::core::decide::Outcome;
use crate::core::session::Held;
use crate::core::ticket::Ticket;
use crate::core::time::Timestamp;
use crate::oidc::Providers;
use crate::store::SessionId;
use crate::store::vault::{Vault, id_of};
use crate::telemetry::context::Tracing;
use crate::telemetry::metrics::Metrics;
use flight::Flight;
use patience::Patience;

/// More sessions than this are never refreshed at the same time; the rest is told to come back.
const MAX_FLIGHTS: usize = 10_000;

/// A store that failed this long ago counts as recovering.
const RECOVERY: Duration = Duration::from_secs(3);

/// Refreshes sessions. Shared by all checks of a process.
pub struct Refresher {
    vault: Arc<Vault>,
    providers: Providers,
    clock: SharedClock,
    metrics: Metrics,
    tracker: TaskTracker,
    runtime: Handle,
    tracing: Tracing,
    memory: Memory,
}

/// What a process knows of its refreshes: flights under way with the tokens they could not store yet, back-off. A
/// reload hands it on, so that no session is refreshed twice because of one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Memory(Arc<Remembered>);

#[derive(Default)]
struct Remembered {
    flights: Mutex<HashMap<SessionId, Waiting>>,
    patience: Patience,
    /// When this process last saw the store fail, in milliseconds since the epoch; 0: never.
    store_failed: AtomicU64,
}

impl Memory {
    /// Holds nothing against a provider any more: its settings have changed, and may be right now.
    pub fn forgive(&self, provider: &str) {
        self.0.patience.forgive(provider);
    }
}

/// The outcome of a flight, once there is one.
type Waiting = watch::Receiver<Option<Outcome>>;

/// What a refresher works with.
pub struct Parts {
    /// Where sessions are read and written.
    pub vault: Arc<Vault>,
    /// Who refreshes.
    pub providers: Providers,
    /// The time.
    pub clock: SharedClock,
    /// What is counted.
    pub metrics: Metrics,
    /// Owns the flights; the process waits for it before it ends.
    pub tracker: TaskTracker,
    /// Where flights run: not on the thread of the check that began them.
    pub runtime: Handle,
    /// Makes a flight's span.
    pub tracing: Tracing,
    /// What is known of earlier refreshes.
    pub memory: Memory,
}

impl Refresher {
    /// A refresher that knows what its memory knows.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { vault, providers, clock, metrics, tracker, runtime, tracing, memory } = parts;
        Arc::new(Self { vault, providers, clock, metrics, tracker, runtime, tracing, memory })
    }

    /// Refreshes a session, or joins the flight that does. Dropping the future does not stop the flight.
    pub async fn once(self: &Arc<Self>, ticket: &Ticket, held: Held) -> Outcome {
        let Some(mut waiting) = self.join(ticket, held) else { return Outcome::Later };
        // A flight that ends without an outcome panicked: its session is kept.
        waiting.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone()).unwrap_or(Outcome::Later)
    }

    /// Refreshes a session beside the request that noticed.
    pub fn beside(self: &Arc<Self>, ticket: &Ticket, held: Held) {
        drop(self.join(ticket, held));
    }

    /// Tokens that the provider rotated and the store has not taken yet.
    #[must_use]
    pub fn unsaved(&self, ticket: &Ticket) -> Option<Arc<Held>> {
        match self.flights().get(&id_of(ticket))?.borrow().as_ref()? {
            Outcome::Refreshed(held) => Some(Arc::clone(held)),
            Outcome::Ended | Outcome::Later => None,
        }
    }

    /// Somebody saw the store fail. Another replica may hold tokens that it could not store yet; a refresh right after
    /// the recovery gives it the time to do so.
    pub fn note_store_failure(&self) {
        self.memory.0.store_failed.store(self.clock.now().millis(), Ordering::Relaxed);
    }

    /// Whether the store failed a moment ago.
    fn is_store_recovering(&self) -> bool {
        let failed = Timestamp::from_millis(self.memory.0.store_failed.load(Ordering::Relaxed));
        self.clock.now().since(failed) < RECOVERY
    }

    /// `None`: not now (back-off, open circuit, too many flights).
    fn join(self: &Arc<Self>, ticket: &Ticket, held: Held) -> Option<Waiting> {
        let id = id_of(ticket);
        let mut flights = self.flights();
        if let Some(waiting) = flights.get(&id) {
            return Some(waiting.clone());
        }
        let provider = Arc::clone(self.providers.by_name(&held.session.provider)?);
        let admitted = flights.len() < MAX_FLIGHTS && self.patience().admits(id, provider.name(), self.clock.now());
        if !admitted {
            return None;
        }
        let (sender, waiting) = watch::channel(None);
        flights.insert(id, waiting.clone());
        drop(flights);
        let flight = Flight { refresher: Arc::clone(self), provider, ticket: ticket.clone(), id, held, sender };
        let span = self.tracing.refresh_span(flight.provider.name());
        if !span.is_none() {
            span.record("session.tag", id.tag());
        }
        self.tracker.spawn_on(flight.fly().instrument(span), &self.runtime);
        Some(waiting)
    }

    fn patience(&self) -> &Patience {
        &self.memory.0.patience
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Waiting>> {
        // A panic under this lock cannot leave the map half-written.
        self.memory.0.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
