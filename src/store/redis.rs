//! Sessions in a shared Redis or Valkey (6.2 or later).
//!
//! A load is one `GET`. Writes that compare first are Lua scripts, atomic on the server. Commands share a
//! few multiplexed connections: a caller borrows one only to copy its handle, so nobody queues for a
//! connection. A frozen, restarted or failed-over server shows as [`StoreError::Unavailable`] within the
//! configured timeouts, and the store works again by itself.
//!
//! It never sends a key or a value to a log, and never answers "none" for an error.

mod fault;
mod keys;
mod lane;
mod link;
mod manager;
mod outage;
mod scripts;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation, cmd};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::keys::Keys;
use self::lane::{Again, Lane};
pub use self::manager::SetupError;
use self::outage::Outage;
use self::scripts::Scripts;
use super::{IndexKey, LeaseOwner, NewSession, OnceKey, Replaced, SessionId, SessionStore, StoreError, Stored, Swap};
use crate::config::RedisConfig;
use crate::core::session::Generation;
use crate::core::time::Timestamp;

/// Connections for scripts and long commands.
const SIDE_CONNECTIONS: u32 = 2;

/// Keys in one pipeline of an end-all.
const PIPELINE: usize = 256;

/// Bytes in front of a record's payload: generation and last seen.
const HEADER: usize = 16;

/// The longest TTL we ask for, a hundred years: beyond some such value the server answers an error.
const MAX_TTL_MS: u64 = 100 * 365 * 24 * 3600 * 1000;

/// Sessions in a shared Redis or Valkey.
pub struct Redis {
    /// Replaced as a whole when the settings change. What is under way ends where it began.
    lanes: ArcSwap<Lanes>,
    keys: Keys,
    scripts: Scripts,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The connections of one set of settings.
pub struct Lanes {
    /// Loads, claims, leases.
    main: Lane,
    /// Scripts and long commands.
    side: Lane,
}

impl Redis {
    /// Begins to connect in the background; fails only for settings that can never work. The heartbeats of
    /// its connections run on `tasks` until `stop`. To be called within the runtime.
    pub fn new(config: &RedisConfig, tasks: &TaskTracker, stop: &CancellationToken) -> Result<Self, SetupError> {
        let lanes = Lanes::new(config, tasks, stop, Outage::default)?;
        Ok(Self {
            lanes: ArcSwap::from_pointee(lanes),
            keys: Keys::new(config.prefix.clone()),
            scripts: Scripts::new(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        })
    }

    /// Connects with other settings, and returns when the server answers there. Nothing uses these connections before
    /// [`Self::adopt`], and until then the caller alone is told why there are none; the prefix of keys stays. To be called within the runtime that the store was made in.
    pub async fn connect(&self, config: &RedisConfig) -> Result<Lanes, ConnectError> {
        let lanes = Lanes::new(config, &self.tasks, &self.stop, Outage::silent)?;
        let ping = &cmd("PING");
        for lane in [&lanes.main, &lanes.side] {
            let () = lane.run(Again::Once, |mut link| async move { ping.query_async(&mut link).await }).await?;
        }
        Ok(lanes)
    }

    /// From now on commands take these connections. The old ones close once the last command on them has its answer and
    /// their heartbeat has noticed: a second later at most, or when the PING under way ends.
    pub fn adopt(&self, lanes: Lanes) {
        for lane in [&lanes.main, &lanes.side] {
            lane.speak();
        }
        self.lanes.store(Arc::new(lanes));
    }

    /// Runs `call` on one of the lanes. A connection that breaks just when the settings change says nothing about the
    /// new ones: what may run twice is sent again there.
    async fn run<T, Call, Answer>(&self, lane: Pick, again: Again, call: Call) -> Result<T, StoreError>
    where
        Call: Fn(MultiplexedConnection) -> Answer + Send + Sync,
        Answer: Future<Output = RedisResult<T>> + Send,
        T: Send,
    {
        let lanes = self.lanes.load_full();
        let answer = lane(&lanes).run(again, &call).await;
        if answer.is_err() && again == Again::Once {
            let newer = self.lanes.load_full();
            if !Arc::ptr_eq(&lanes, &newer) {
                return lane(&newer).run(again, &call).await;
            }
        }
        answer
    }

    async fn query<T: FromRedisValue + Send>(&self, lane: Pick, again: Again, command: &Cmd) -> Result<T, StoreError> {
        self.run(lane, again, |mut connection| async move { command.query_async(&mut connection).await }).await
    }

    async fn script<T>(&self, again: Again, call: &ScriptInvocation<'_>) -> Result<T, StoreError>
    where
        T: FromRedisValue + Send,
    {
        self.run(Lanes::side, again, |mut connection| async move { call.invoke_async(&mut connection).await }).await
    }

    async fn pipeline<T>(&self, again: Again, pipeline: &Pipeline) -> Result<T, StoreError>
    where
        T: FromRedisValue + Send,
    {
        self.run(Lanes::side, again, |mut connection| async move { pipeline.query_async(&mut connection).await }).await
    }

    /// `SET key value NX PX ttl`: whether this call set it.
    async fn set_once(&self, key: String, value: &[u8], ttl: Duration) -> Result<bool, StoreError> {
        let mut command = cmd("SET");
        command.arg(key).arg(value).arg("NX").arg("PX").arg(millis(ttl));
        let set: Option<String> = self.query(Lanes::main, Again::Never, &command).await?;
        Ok(set.is_some())
    }
}

#[async_trait]
impl SessionStore for Redis {
    async fn load(&self, id: SessionId) -> Result<Option<Stored>, StoreError> {
        let mut command = cmd("GET");
        command.arg(self.keys.session(id));
        let record: Option<Vec<u8>> = self.query(Lanes::main, Again::Once, &command).await?;
        Ok(record.map(opened))
    }

    async fn create(&self, new: NewSession) -> Result<(), StoreError> {
        for key in &new.index {
            let mut call = self.scripts.enlist.key(self.keys.index(*key));
            call.arg(&new.id.0).arg(millis(new.index_ttl));
            let _: i64 = self.script(Again::Once, &call).await?;
        }
        let mut record = Vec::with_capacity(HEADER + new.payload.len());
        record.extend_from_slice(&1_u64.to_be_bytes());
        record.extend_from_slice(&new.now.millis().to_be_bytes());
        record.extend_from_slice(&new.payload);
        let mut command = cmd("SET");
        command.arg(self.keys.session(new.id)).arg(record).arg("PX").arg(millis(new.ttl));
        // Nobody else knows the id yet: writing it twice is writing it once.
        self.query(Lanes::side, Again::Once, &command).await
    }

    async fn replace(&self, swap: Swap) -> Result<Replaced, StoreError> {
        let next = swap.expected.wrapping_add(1);
        let ttl = swap.ttl.map(|ttl| millis(ttl).to_string()).unwrap_or_default();
        let mut call = self.scripts.replace.key(self.keys.session(swap.id));
        call.arg(&swap.expected.to_be_bytes()).arg(&next.to_be_bytes()).arg(swap.payload).arg(ttl);
        let (outcome, standing): (i64, Vec<u8>) = self.script(Again::Never, &call).await?;
        match (outcome, generation(&standing)) {
            (0, _) => Ok(Replaced::Gone),
            (1, _) => Ok(Replaced::Done(next)),
            (2, Some(standing)) => Ok(Replaced::Conflict(standing)),
            (_, _) => Err(nonsense()),
        }
    }

    async fn touch(&self, id: SessionId, now: Timestamp, ttl: Duration) -> Result<bool, StoreError> {
        let mut call = self.scripts.touch.key(self.keys.session(id));
        call.arg(&now.millis().to_be_bytes()).arg(millis(ttl));
        self.script(Again::Once, &call).await
    }

    async fn delete(&self, id: SessionId, index: &[IndexKey]) -> Result<bool, StoreError> {
        let mut pipeline = Pipeline::with_capacity(1 + index.len());
        pipeline.del(self.keys.session(id));
        for key in index {
            pipeline.zrem(self.keys.index(*key), &id.0).ignore();
        }
        let (deleted,): (bool,) = self.pipeline(Again::Never, &pipeline).await?;
        Ok(deleted)
    }

    async fn end_all(&self, key: IndexKey, now: Timestamp, keep: Duration) -> Result<Vec<SessionId>, StoreError> {
        let mut call = self.scripts.bury.key(self.keys.index(key));
        call.key(self.keys.tombstone(key)).arg(now.millis()).arg(millis(keep));
        let listed: Vec<Vec<u8>> = self.script(Again::Once, &call).await?;
        let listed: Vec<_> = listed.iter().filter_map(|id| id.as_slice().try_into().ok()).map(SessionId).collect();
        let mut ended = Vec::new();
        for some in listed.chunks(PIPELINE) {
            let mut pipeline = Pipeline::with_capacity(some.len() + 1);
            for id in some {
                pipeline.del(self.keys.session(*id));
            }
            // Last: where this breaks off, the index still lists what was not deleted.
            let members: Vec<&[u8]> = some.iter().map(|id| id.0.as_slice()).collect();
            pipeline.zrem(self.keys.index(key), members).ignore();
            let deleted: Vec<bool> = self.pipeline(Again::Never, &pipeline).await?;
            ended.extend(some.iter().zip(deleted).filter_map(|(id, deleted)| deleted.then_some(*id)));
        }
        Ok(ended)
    }

    async fn tombstone(&self, key: IndexKey) -> Result<Option<Timestamp>, StoreError> {
        let mut command = cmd("GET");
        command.arg(self.keys.tombstone(key));
        let at: Option<u64> = self.query(Lanes::main, Again::Once, &command).await?;
        Ok(at.map(Timestamp::from_millis))
    }

    async fn claim_once(&self, key: OnceKey, ttl: Duration) -> Result<bool, StoreError> {
        self.set_once(self.keys.once(key), b"1", ttl).await
    }

    async fn hold_once(&self, key: OnceKey, ttl: Duration) -> Result<(), StoreError> {
        let mut command = cmd("SET");
        command.arg(self.keys.once(key)).arg(b"1").arg("PX").arg(millis(ttl));
        self.query(Lanes::main, Again::Once, &command).await
    }

    async fn acquire_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError> {
        self.set_once(self.keys.lease(id), &owner.0, ttl).await
    }

    async fn extend_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError> {
        let mut call = self.scripts.extend.key(self.keys.lease(id));
        call.arg(&owner.0).arg(millis(ttl));
        self.script(Again::Once, &call).await
    }

    async fn release_lease(&self, id: SessionId, owner: LeaseOwner) -> Result<(), StoreError> {
        let mut call = self.scripts.release.key(self.keys.lease(id));
        call.arg(&owner.0);
        let _: i64 = self.script(Again::Once, &call).await?;
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.query(Lanes::main, Again::Once, &cmd("PING")).await
    }

    fn kind(&self) -> &'static str {
        "redis"
    }
}

impl Lanes {
    fn new(
        config: &RedisConfig,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        outage: fn() -> Outage,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            main: Lane::new(config, config.connections, tasks.clone(), stop.clone(), outage())?,
            side: Lane::new(config, SIDE_CONNECTIONS, tasks.clone(), stop.clone(), outage())?,
        })
    }

    const fn main(&self) -> &Lane {
        &self.main
    }

    const fn side(&self) -> &Lane {
        &self.side
    }
}

/// Chooses a lane.
type Pick = fn(&Lanes) -> &Lane;

/// Why other settings cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// They can never work.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The server was asked, and did not answer or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record that is too short for its head cannot have been written by us: it is handed on empty, so that the vault
/// counts it as one that cannot be opened.
fn opened(mut record: Vec<u8>) -> Stored {
    let Some((head, _)) = record.split_first_chunk::<HEADER>() else {
        return Stored { generation: 0, last_seen: Timestamp::from_millis(0), payload: Vec::new() };
    };
    let both = u128::from_be_bytes(*head);
    #[expect(clippy::cast_possible_truncation, reason = "takes the number apart")]
    let (generation, last_seen) = ((both >> 64) as Generation, Timestamp::from_millis(both as u64));
    record.drain(..HEADER);
    Stored { generation, last_seen, payload: record }
}

fn generation(bytes: &[u8]) -> Option<Generation> {
    bytes.try_into().ok().map(Generation::from_be_bytes)
}

fn millis(ttl: Duration) -> u64 {
    // A TTL of zero is an error to Redis.
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, MAX_TTL_MS)
}

fn nonsense() -> StoreError {
    StoreError::Refused("a record or an answer that is not ours".to_owned())
}
