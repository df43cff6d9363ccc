//! The door of a listener: how many connections may be there at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::listen::{Listener, Stream};
use crate::config::Address;

/// After an error of `accept` (mostly: out of file descriptors) the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Turning connections away is told once in this time.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// A bound listener and its places.
pub(super) struct Door {
    name: &'static str,
    listener: Listener,
    places: Arc<Semaphore>,
    told: Mutex<Option<Instant>>,
}

impl Door {
    /// Binds.
    pub(super) async fn open(name: &'static str, address: &Address, places: usize) -> anyhow::Result<Self> {
        let listener = Listener::bind(name, address).await?;
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Ok(Self { name, listener, places, told: Mutex::new(None) })
    }

    /// Where it is.
    #[cfg(test)]
    pub(super) fn address(&self) -> std::io::Result<String> {
        self.listener.address()
    }

    /// The next connection, with its place to be kept as long as it. One over the limit is closed, so that its peer
    /// knows at once and can go elsewhere; in the backlog it would wait for an answer.
    pub(super) async fn accept(&self) -> (Stream, OwnedSemaphorePermit) {
        loop {
            match self.listener.accept().await {
                Ok(stream) => match Arc::clone(&self.places).try_acquire_owned() {
                    Ok(place) => return (stream, place),
                    Err(_) => self.tell_full(),
                },
                // Errors of `accept` pass by themselves and concern no listener for good.
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "a connection could not be accepted; tried again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn tell_full(&self) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| now.duration_since(last) >= TELL_AGAIN) {
            *told = Some(now);
            tracing::warn!(listener = self.name, "a connection was closed: there are limits.connections already");
        }
    }
}
