//! The steps that must be atomic, as Lua: they run on Redis 6.2 and later and on Valkey. Each touches one
//! slot, and each leaves a TTL on whatever it writes.

use redis::Script;

/// `KEYS`: session. `ARGV`: last seen (8 bytes), TTL. Never creates.
const TOUCH: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SETRANGE', KEYS[1], 8, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1";

/// `KEYS`: session. `ARGV`: expected generation (8 bytes), next generation, payload, TTL or ''.
/// Answers 0 gone, 1 done, 2 conflict, and the generation where the record stands.
const REPLACE: &str = r"
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
if #head < 16 then return {0, ''} end
local generation = string.sub(head, 1, 8)
if generation ~= ARGV[1] then return {2, generation} end
local record = ARGV[2] .. string.sub(head, 9, 16) .. ARGV[3]
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
else
  redis.call('SET', KEYS[1], record, 'PX', ARGV[4])
end
return {1, ARGV[2]}";

/// `KEYS`: index. `ARGV`: id, TTL. The set lives as long as its longest member (`PEXPIRE … GT` by hand: that
/// option came with Redis 7).
const ENLIST: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ttl), ARGV[1])
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1";

/// `KEYS`: index, tombstone. `ARGV`: time (ms), TTL. Tombstone first, then what is listed.
const BURY: &str = r"
local old = redis.call('GET', KEYS[2])
if not old or tonumber(old) <= tonumber(ARGV[1]) then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return redis.call('ZRANGE', KEYS[1], 0, -1)";

/// `KEYS`: lease. `ARGV`: owner, TTL.
const EXTEND: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// `KEYS`: lease. `ARGV`: owner.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// The scripts with their hashes. They are called by hash; a server that does not know one is given it.
pub(super) struct Scripts {
    pub(super) touch: Script,
    pub(super) replace: Script,
    pub(super) enlist: Script,
    pub(super) bury: Script,
    pub(super) extend: Script,
    pub(super) release: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            touch: Script::new(TOUCH),
            replace: Script::new(REPLACE),
            enlist: Script::new(ENLIST),
            bury: Script::new(BURY),
            extend: Script::new(EXTEND),
            release: Script::new(RELEASE),
        }
    }
}
