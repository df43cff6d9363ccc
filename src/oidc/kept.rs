//! A document of the provider (its metadata, its keys) that is fetched on first use and kept.
//!
//! One fetch at a time, whoever asks. A kept value is never given up for a failed fetch, a failure is
//! remembered for a moment so that an outage is not hammered, and a value is renewed on demand at most
//! once per [`FORCED_INTERVAL`]. It starts no task: whoever asks carries the fetch.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ProviderError;
use crate::clock::SharedClock;
use crate::core::time::Timestamp;

/// A kept value is renewed after this time.
const FRESH: Duration = Duration::from_secs(3600);

/// After a failed renewal of a kept value the next try waits this long.
const STALE_RETRY: Duration = Duration::from_secs(60);

/// A renewal delays the call that carries it by no more than this.
const RENEWAL_BOUND: Duration = Duration::from_secs(2);

/// A failed first fetch is the answer for this long.
const FAILURE_MEMORY: Duration = Duration::from_secs(1);

/// Renewals on demand (an unknown key id) keep this distance. The first one comes at once.
const FORCED_INTERVAL: Duration = Duration::from_secs(10);

/// Keeps a `T`.
pub(super) struct Kept<T> {
    what: &'static str,
    clock: SharedClock,
    state: Mutex<State<T>>,
    /// Held while a fetch is under way.
    flight: tokio::sync::Mutex<()>,
}

struct State<T> {
    value: Option<Arc<T>>,
    /// When the next renewal is due.
    due: Timestamp,
    failure: Option<(Timestamp, ProviderError)>,
    /// When a renewal on demand was last made.
    forced: Option<(Timestamp, Duration)>,
}

enum Look<T> {
    Fresh(Arc<T>),
    Stale(Arc<T>),
    Failed(ProviderError),
    Absent,
}

/// What a renewal on demand came to.
pub(super) enum Renewal<T> {
    /// A newer value than the one seen.
    Newer(Arc<T>),
    /// The last renewal is too young.
    TooSoon,
}

impl<T: Send + Sync> Kept<T> {
    pub(super) fn new(what: &'static str, clock: SharedClock) -> Self {
        let state = State { value: None, due: Timestamp::default(), failure: None, forced: None };
        Self { what, clock, state: Mutex::new(state), flight: tokio::sync::Mutex::new(()) }
    }

    /// The kept value, or what `fetch` brings. `fetch` is polled only where a fetch is needed.
    pub(super) async fn get<F>(&self, fetch: F) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        match self.look() {
            Look::Fresh(value) => Ok(value),
            Look::Failed(error) => Err(error),
            Look::Stale(value) => Ok(self.renewed(value, fetch).await),
            Look::Absent => self.first(fetch).await,
        }
    }

    /// A newer value than `seen`: somebody else's, or what `fetch` brings.
    pub(super) async fn renew<F>(&self, seen: &Arc<T>, fetch: F) -> Result<Renewal<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        let _flight = self.flight.lock().await;
        {
            let state = self.state();
            if let Some(value) = state.value.as_ref().filter(|value| !Arc::ptr_eq(value, seen)) {
                return Ok(Renewal::Newer(Arc::clone(value)));
            }
            if state.forced.is_some_and(|(at, distance)| within(self.clock.now(), at, distance)) {
                return Ok(Renewal::TooSoon);
            }
        }
        let outcome = fetch.await;
        // Set after the fetch: one that was cancelled does not count. A failed one may be tried again soon.
        let distance = if outcome.is_ok() { FORCED_INTERVAL } else { FAILURE_MEMORY };
        self.state().forced = Some((self.clock.now(), distance));
        Ok(Renewal::Newer(self.keep(outcome?)))
    }

    async fn first<F>(&self, fetch: F) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        let _flight = self.flight.lock().await;
        // Somebody may have fetched, or failed, while this call waited.
        match self.look() {
            Look::Fresh(value) | Look::Stale(value) => return Ok(value),
            Look::Failed(error) => return Err(error),
            Look::Absent => {}
        }
        match fetch.await {
            Ok(value) => Ok(self.keep(value)),
            Err(error) => {
                self.state().failure = Some((self.clock.now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Renews a stale value unless another call is at it already; the old one stays when that fails.
    async fn renewed<F>(&self, old: Arc<T>, fetch: F) -> Arc<T>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        let Ok(_flight) = self.flight.try_lock() else { return old };
        self.state().due = self.clock.now() + STALE_RETRY;
        match tokio::time::timeout(RENEWAL_BOUND, fetch).await {
            Ok(Ok(value)) => self.keep(value),
            Ok(Err(error)) => {
                tracing::warn!(what = self.what, %error, "could not renew; the old one is kept");
                old
            }
            Err(_) => {
                tracing::warn!(what = self.what, "could not renew in time; the old one is kept");
                old
            }
        }
    }

    fn keep(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut state = self.state();
        state.value = Some(Arc::clone(&value));
        state.due = self.clock.now() + FRESH;
        value
    }

    fn look(&self) -> Look<T> {
        let now = self.clock.now();
        let state = self.state();
        match (&state.value, &state.failure) {
            (Some(value), _) if now < state.due => Look::Fresh(Arc::clone(value)),
            (Some(value), _) => Look::Stale(Arc::clone(value)),
            (None, Some((at, error))) if within(now, *at, FAILURE_MEMORY) => Look::Failed(error.clone()),
            (None, _) => Look::Absent,
        }
    }

    /// A panic while it was held cannot leave it half-written: each change is one assignment.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `now` is less than `span` after `then`. A clock that was set back does not prolong anything.
fn within(now: Timestamp, then: Timestamp, span: Duration) -> bool {
    now >= then && now.since(then) < span
}
