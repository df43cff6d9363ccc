//! Why there is no connection, for those who wait for one: the pool itself would let them wait until
//! its timeout, and keep the reason to itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::RedisError;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::fault;
use crate::store::StoreError;

/// The last failure to connect, until one succeeds.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    reason: Option<StoreError>,
    /// The log knows that it lasts.
    told: bool,
    silent: bool,
}

impl Outage {
    /// One that tells only callers, until [`Self::speak`].
    pub(super) fn silent() -> Self {
        Self { state: Mutex::new(State { silent: true, ..State::default() }), news: Notify::new() }
    }

    /// From now on the log is told too; of an outage that lasts, at the next failed attempt.
    pub(super) fn speak(&self) {
        self.lock().silent = false;
    }

    /// Ends when a failed attempt to connect is announced after this call.
    pub(super) fn next(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// What to tell a caller that got no connection.
    pub(super) fn reason(&self) -> StoreError {
        match &self.lock().reason {
            Some(StoreError::Refused(text)) => StoreError::Refused(text.clone()),
            Some(StoreError::Unavailable(text)) => StoreError::Unavailable(text.clone()),
            None => StoreError::Unavailable("no connection in time".to_owned()),
        }
    }

    /// An attempt failed. Logged when the outage begins, not for each attempt.
    pub(super) fn failed(&self, error: &RedisError) {
        let reason = fault::store_error(error);
        let mut state = self.lock();
        if !state.told && !state.silent {
            tracing::warn!(error = %reason, "cannot connect to Redis");
            state.told = true;
        }
        state.reason = Some(reason);
    }

    /// Wakes who waits for a connection.
    pub(super) fn announce(&self) {
        self.news.notify_waiters();
    }

    /// An attempt succeeded.
    pub(super) fn over(&self) {
        let mut state = self.lock();
        state.reason = None;
        if std::mem::take(&mut state.told) {
            tracing::info!("connected to Redis again");
        }
    }

    /// No code that holds the lock can leave the reason half written.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
