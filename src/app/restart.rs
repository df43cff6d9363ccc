//! Which keys a running process cannot take over: what is bound, opened or installed once. Every key is decided here:
//! the patterns name all of them, so that a new one does not build before somebody has thought about it.

use crate::config::{Config, LimitsConfig, Listen, RedisConfig, StoreConfig, TelemetryConfig};

/// The changed keys that need a restart, as the file writes them.
pub(super) fn keys(old: &Config, new: &Config) -> Vec<&'static str> {
    let Config {
        listen,
        store,
        telemetry,
        limits,
        // Taken over.
        keys: _,
        providers: _,
        apps: _,
        shutdown: _,
        sources: _,
    } = old;
    let changed = listeners(listen, &new.listen)
        .into_iter()
        .chain(logs_and_traces(telemetry, &new.telemetry))
        .chain(bounds(limits, &new.limits));
    named(changed).into_iter().chain(sessions(store, &new.store)).collect()
}

/// A key, and whether both sides say the same.
type Compared = (&'static str, bool);

/// The keys that differ.
fn named(compared: impl IntoIterator<Item = Compared>) -> Vec<&'static str> {
    compared.into_iter().filter_map(|(key, same)| (!same).then_some(key)).collect()
}

/// Bound before anything ran; Envoy's configuration names them.
fn listeners(old: &Listen, new: &Listen) -> [Compared; 3] {
    let Listen { grpc, http, admin } = old;
    [("listen.grpc", *grpc == new.grpc), ("listen.http", *http == new.http), ("listen.admin", *admin == new.admin)]
}

/// Installed for the whole process.
fn logs_and_traces(old: &TelemetryConfig, new: &TelemetryConfig) -> [Compared; 4] {
    let TelemetryConfig { log_format, log_level, otlp_endpoint, service_name } = old;
    [
        ("telemetry.log_format", *log_format == new.log_format),
        ("telemetry.log_level", *log_level == new.log_level),
        ("telemetry.otlp_endpoint", *otlp_endpoint == new.otlp_endpoint),
        ("telemetry.service_name", *service_name == new.service_name),
    ]
}

/// Places that are given out already.
fn bounds(old: &LimitsConfig, new: &LimitsConfig) -> [Compared; 3] {
    let LimitsConfig { checks, wait, connections } = old;
    [
        ("limits.checks", *checks == new.checks),
        ("limits.wait", *wait == new.wait),
        ("limits.connections", *connections == new.connections),
    ]
}

/// Another store, or another part of it, has other sessions: flights under way would not find theirs, and would revoke
/// the tokens that they were about to store.
fn sessions(old: &StoreConfig, new: &StoreConfig) -> Vec<&'static str> {
    match (old, new) {
        (StoreConfig::Embedded { path: old }, StoreConfig::Embedded { path: new }) => {
            named([("store.path", old == new)])
        }
        (StoreConfig::Redis(old), StoreConfig::Redis(new)) => {
            let RedisConfig {
                prefix,
                database,
                // Connected anew: the same sessions at another address, as after a failover.
                host: _,
                port: _,
                tls: _,
                username: _,
                password: _,
                connections: _,
                response_timeout: _,
                connect_timeout: _,
            } = old;
            named([("store.url (its database)", *database == new.database), ("store.prefix", *prefix == new.prefix)])
        }
        (StoreConfig::Embedded { .. }, StoreConfig::Redis(_))
        | (StoreConfig::Redis(_), StoreConfig::Embedded { .. }) => vec!["store.kind"],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use super::*;
    use crate::config;

    const BASE: &str = "
providers: [ { name: main, issuer: https://id.example.com, client_id: shop, client_secret: a-secret } ]
apps: [ { name: shop, origin: https://shop.example.com, provider: main } ]
";
    const REDIS: &str = "
keys: [ { id: 1, value: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA } ]
";

    fn read(directory: &Path, more: &str) -> Config {
        let path = directory.join("coatcheck.yaml");
        std::fs::write(&path, format!("{BASE}{more}")).unwrap();
        config::load(&path, &HashMap::<String, String>::new()).unwrap().0
    }

    fn between(old: &str, new: &str) -> Vec<&'static str> {
        let directory = tempfile::tempdir().unwrap();
        keys(&read(directory.path(), old), &read(directory.path(), new))
    }

    #[test]
    fn what_is_bound_opened_or_installed_once_needs_a_restart() {
        let redis = |store: &str| format!("{REDIS}store: {{ kind: redis, {store} }}\n");
        let url = "url: redis://127.0.0.1:6379/0";
        let cases = [
            (String::new(), "listen: { grpc: 127.0.0.1:19001 }".to_owned(), vec!["listen.grpc"]),
            (
                String::new(),
                "listen: { http: 127.0.0.1:19002, admin: 127.0.0.1:19003 }".to_owned(),
                vec!["listen.http", "listen.admin"],
            ),
            (String::new(), "telemetry: { log_level: debug }".to_owned(), vec!["telemetry.log_level"]),
            (String::new(), "telemetry: { log_format: json }".to_owned(), vec!["telemetry.log_format"]),
            (
                String::new(),
                "telemetry: { service_name: x, otlp_endpoint: \"http://127.0.0.1:4317\" }".to_owned(),
                vec!["telemetry.otlp_endpoint", "telemetry.service_name"],
            ),
            (
                String::new(),
                "limits: { checks: 9, wait: 99ms, connections: 99 }".to_owned(),
                vec!["limits.checks", "limits.wait", "limits.connections"],
            ),
            (String::new(), "store: { path: ./other.db }".to_owned(), vec!["store.path"]),
            (String::new(), redis(url), vec!["store.kind"]),
            (redis(url), redis(&format!("{url}, prefix: \"other:\"")), vec!["store.prefix"]),
            (redis(url), redis("url: redis://127.0.0.1:6379/1"), vec!["store.url (its database)"]),
        ];
        for (old, new, expected) in cases {
            assert_eq!(between(&old, &new), expected, "{old} -> {new}");
        }
    }

    #[test]
    fn everything_else_is_taken_over() {
        let redis = |store: &str| format!("{REDIS}store: {{ kind: redis, {store} }}\n");
        let url = "url: redis://127.0.0.1:6379/0";
        let cases = [
            (String::new(), REDIS.to_owned()),
            (String::new(), "shutdown: { drain_delay: 9s, timeout: 9s }".to_owned()),
            (redis(url), redis("url: redis://localhost:6380/0, username: u, password: a-password")),
            (redis(url), redis(&format!("{url}, connections: 9, response_timeout: 9ms, connect_timeout: 9ms"))),
        ];
        for (old, new) in cases {
            assert_eq!(between(&old, &new), Vec::<&str>::new(), "{old} -> {new}");
        }
    }
}
