//! How the process is told to stop, and how it tells its servers.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// SIGTERM (Kubernetes, systemd) or SIGINT (a person).
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on these signals end nothing by themselves; one that comes before [`Self::next`] is not lost.
    pub(super) fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?,
        })
    }

    /// The next one, by name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The two orders that servers get. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Stop {
    drain: CancellationToken,
    end: CancellationToken,
}

impl Stop {
    /// Take nothing new, finish what is there.
    pub(super) fn drain(&self) {
        self.drain.cancel();
    }

    /// Give up what is there.
    pub(super) fn end(&self) {
        self.drain.cancel();
        self.end.cancel();
    }

    /// The first order alone.
    pub(super) fn drain_token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Waits for the first order.
    pub(super) fn draining(&self) -> WaitForCancellationFuture<'_> {
        self.drain.cancelled()
    }

    /// Waits for the second.
    pub(super) fn ended(&self) -> WaitForCancellationFuture<'_> {
        self.end.cancelled()
    }
}
