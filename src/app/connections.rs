//! Redis connections of the parts of a process. Each part keeps its store for life; other settings bring it other
//! connections, made and tried before anything uses them.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::config::RedisConfig;
use crate::store::redis::{ConnectError, Lanes, Redis};

/// Connections for what is no check: logins, refreshes, uses.
const OTHER_CONNECTIONS: u32 = 2;

/// The store of a part: of one thread of checks, or of all that is no check.
#[derive(Clone)]
pub(super) struct Own {
    pub(super) redis: Arc<Redis>,
    /// Where its connections live.
    pub(super) runtime: Handle,
    pub(super) share: Share,
}

/// How many of the configured connections.
#[derive(Debug, Clone, Copy)]
pub(super) enum Share {
    /// Those of one of so many threads.
    Checks(u32),
    /// Beside those for checks.
    Other,
}

/// Connections that wait to be used.
#[derive(Default)]
pub(super) struct Connections(Vec<(Arc<Redis>, Lanes)>);

impl Share {
    /// The settings for this share.
    pub(super) fn of(self, config: &RedisConfig) -> RedisConfig {
        let connections = match self {
            Self::Checks(threads) => config.connections.div_ceil(threads.max(1)),
            Self::Other => OTHER_CONNECTIONS,
        };
        RedisConfig { connections, ..config.clone() }
    }
}

impl Connections {
    /// Connects for each part on its own runtime, one after the other: a server that refuses is asked once.
    pub(super) async fn make(parts: Vec<Own>, config: &RedisConfig) -> Result<Self, ConnectError> {
        let mut made = Vec::new();
        for part in parts {
            let (redis, config) = (Arc::clone(&part.redis), part.share.of(config));
            let connecting = part.runtime.spawn(async move { redis.connect(&config).await });
            // A runtime that is gone needs no connections.
            if let Ok(lanes) = connecting.await {
                made.push((part.redis, lanes?));
            }
        }
        Ok(Self(made))
    }

    /// From now on they are used.
    pub(super) fn adopt(self) {
        for (redis, lanes) in self.0 {
            redis.adopt(lanes);
        }
    }
}
