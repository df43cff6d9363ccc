//! How long Envoy has to wait, so that it is never the first to give up. Whole seconds: every target can write them.

use std::time::Duration;

use crate::config::{Config, StoreConfig};
use crate::core::app::App;

/// An embedded store's call ends within this time (docs/architecture.md, limits).
const EMBEDDED_STORE: Duration = Duration::from_secs(2);

/// A login that takes one slow answer and then another is still a login.
const SHORTEST_LOGIN: Duration = Duration::from_secs(30);

/// coatcheck takes no longer for a check, whatever Envoy would allow.
const LONGEST_CHECK: Duration = Duration::from_secs(60);

/// For a check: one call to the slowest provider (a refresh while the request waits), the store before and after it.
pub(super) fn check(config: &Config) -> u64 {
    let provider = config.providers.iter().map(|provider| provider.timeout).max().unwrap_or_default();
    whole_seconds((provider + 2 * store(&config.store)).min(LONGEST_CHECK))
}

/// For a login route: metadata or keys, tokens and perhaps userinfo of its provider, one after the other.
pub(super) fn login(config: &Config, app: &App) -> u64 {
    let named = config.providers.iter().find(|provider| *provider.name == *app.provider);
    let timeout = named.map(|provider| provider.timeout).unwrap_or_default();
    let calls = if app.login.userinfo { 4 } else { 3 };
    whole_seconds((calls * timeout).max(SHORTEST_LOGIN))
}

/// For a login that is answered inside of a check.
pub(super) fn login_in_band(config: &Config, app: &App) -> u64 {
    login(config, app).min(LONGEST_CHECK.as_secs())
}

fn store(store: &StoreConfig) -> Duration {
    match store {
        StoreConfig::Embedded { .. } => EMBEDDED_STORE,
        StoreConfig::Redis(redis) => redis.response_timeout + redis.connect_timeout,
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
