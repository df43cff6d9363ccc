//! A multiplexed connection and what is known about its health. The pool hands out clones: a command
//! holds no connection while it waits for its answer.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult};
use tokio_util::sync::CancellationToken;

use super::fault::breaks_connection;

/// This many timeouts in a row, and the connection is given up: one slow answer is no reason.
const TIMEOUTS: u32 = 3;

/// How often a connection is asked whether the other end still lives. A link that died without a word (a
/// power cut, a dropped firewall state) shows in no other way while nobody asks for a session.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A connection as the pool keeps it and as callers borrow it.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) health: Arc<Health>,
}

impl Link {
    /// Connects, authenticates, and watches for the end of the connection.
    pub(super) async fn open(client: &Client, config: AsyncConnectionConfig) -> RedisResult<Self> {
        let health = Arc::new(Health::default());
        // Weak: the connection owns the sender, and its heartbeat owns the connection.
        let watched = Arc::downgrade(&health);
        let config = config.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection
                && let Some(health) = watched.upgrade()
            {
                health.give_up();
            }
            Ok::<(), redis::aio::SendError>(())
        });
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self { connection, health })
    }

    /// Pings until the connection breaks, the pool lets go of it, or the process stops.
    pub(super) fn heartbeat(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let mut connection = self.connection.clone();
        let health: Weak<Health> = Arc::downgrade(&self.health);
        async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(HEARTBEAT) => {}
                }
                let Some(health) = health.upgrade() else { return };
                if health.is_broken() {
                    return;
                }
                let pong: RedisResult<()> = redis::cmd("PING").query_async(&mut connection).await;
                if pong.is_err() {
                    health.give_up();
                }
            }
        }
    }
}

/// What the answers over a connection have told.
#[derive(Default)]
pub(super) struct Health {
    broken: AtomicBool,
    timeouts: AtomicU32,
}

impl Health {
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Learns from an answer.
    pub(super) fn note<T>(&self, answer: &RedisResult<T>) {
        match answer {
            // Read first: an unconditional store would pass the cache line around between the cores.
            Ok(_) if self.timeouts.load(Ordering::Relaxed) == 0 => {}
            Ok(_) => self.timeouts.store(0, Ordering::Relaxed),
            Err(error) if breaks_connection(error) => self.give_up(),
            Err(error) if error.is_timeout() => {
                if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS {
                    self.give_up();
                }
            }
            Err(_) => {}
        }
    }

    fn give_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}
