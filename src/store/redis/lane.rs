//! A pool of multiplexed connections with a deadline around each call. There are two: commands that
//! take long must not stand in front of the loads.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::{Pool, QueueStrategy};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault;
use super::link::Link;
use super::manager::{Manager, Report, SetupError};
use super::outage::Outage;
use crate::config::RedisConfig;
use crate::store::StoreError;

/// Whether a command may be sent again when the connection broke under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Running it twice is the same as running it once.
    Once,
    /// It may have taken effect: the caller has to know.
    Never,
}

pub(super) struct Lane {
    pool: Pool<Manager>,
    outage: Arc<Outage>,
    deadline: Duration,
    /// One more than there are connections: a server that closed all of them costs no request.
    tries: u32,
}

impl Lane {
    /// Begins to connect beside the caller; a server that is not there is no error.
    pub(super) fn new(
        config: &RedisConfig,
        connections: u32,
        tasks: TaskTracker,
        stop: CancellationToken,
        outage: Outage,
    ) -> Result<Self, SetupError> {
        let outage = Arc::new(outage);
        let manager = Manager::new(config, outage.clone(), tasks, stop)?;
        let connections = connections.max(1);
        let pool = Pool::builder()
            .max_size(connections)
            .min_idle(connections)
            .test_on_check_out(true)
            .queue_strategy(QueueStrategy::Fifo)
            .connection_timeout(config.connect_timeout)
            .retry_connection(false)
            .error_sink(Box::new(Report(outage.clone())))
            .max_lifetime(None)
            .idle_timeout(None)
            .build_unchecked(manager);
        let deadline = config.response_timeout + config.connect_timeout;
        Ok(Self { pool, outage, deadline, tries: connections.saturating_add(1) })
    }

    /// From now on the log is told of outages.
    pub(super) fn speak(&self) {
        self.outage.speak();
    }

    /// Runs `call` on a connection, within the deadline.
    pub(super) async fn run<T, Call, Answer>(&self, again: Again, call: Call) -> Result<T, StoreError>
    where
        Call: Fn(MultiplexedConnection) -> Answer + Send + Sync,
        Answer: Future<Output = RedisResult<T>> + Send,
        T: Send,
    {
        let work = async {
            let mut tries = self.tries;
            loop {
                tries = tries.saturating_sub(1);
                let error = match self.link().await {
                    Ok(link) => match ask(&link, &call).await {
                        // The server closed the connection, and the command came before the news.
                        Err(error) if again == Again::Once && error.is_connection_dropped() => {
                            fault::store_error(&error)
                        }
                        answer => return answer.map_err(|error| fault::store_error(&error)),
                    },
                    // Nothing was sent. Waiting helps, trying at once perhaps.
                    Err(error @ StoreError::Unavailable(_)) => error,
                    Err(error @ StoreError::Refused(_)) => return Err(error),
                };
                if tries == 0 {
                    return Err(error);
                }
            }
        };
        match timeout(self.deadline, work).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Unavailable("no answer in time".to_owned())),
        }
    }

    /// Checks a connection out, copies it, puts it back: a few hundred nanoseconds while all is well.
    async fn link(&self) -> Result<Link, StoreError> {
        // Made before the pool is asked, so that no failure falls between.
        let failed = self.outage.next();
        tokio::select! {
            biased;
            link = self.pool.get() => match link {
                Ok(link) => Ok(link.clone()),
                Err(_) => Err(self.outage.reason()),
            },
            () = failed => Err(self.outage.reason()),
        }
    }
}

async fn ask<T, Call, Answer>(link: &Link, call: &Call) -> Result<T, RedisError>
where
    Call: Fn(MultiplexedConnection) -> Answer,
    Answer: Future<Output = RedisResult<T>>,
{
    let answer = call(link.connection.clone()).await;
    link.health.note(&answer);
    answer
}
