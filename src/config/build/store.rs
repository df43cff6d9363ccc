//! `store` and `keys`.

use std::collections::HashSet;

use secrecy::ExposeSecret;

use super::secret::Secret;
use super::{Reported, redis};
use crate::config::StoreConfig;
use crate::config::keys::decode;
use crate::config::raw::store::{Key, Store, StoreKind};
use crate::config::report::Scope;
use crate::config::source::Files;
use crate::core::keyring::{KeyId, Keyring, ServerKey};

/// What only Redis has.
const REDIS_KEYS: [&str; 9] = [
    "url",
    "username",
    "password",
    "password_file",
    "prefix",
    "connections",
    "response_timeout",
    "connect_timeout",
    "tls",
];

pub(super) fn store(raw: Store, at: &Scope<'_>, files: &Files) -> Option<StoreConfig> {
    match raw.kind {
        None if at.key("kind").is_written() => None,
        None | Some(StoreKind::Embedded) => {
            for key in REDIS_KEYS.map(|name| at.key(name)).iter().filter(|key| key.is_written()) {
                key.mistake("only with `kind: redis`: set it, or remove this key");
            }
            let path = raw.path.unwrap_or_else(|| "./coatcheck.db".to_owned());
            if path.is_empty() {
                at.key("path").mistake("is empty: name a file");
            }
            let path = files.resolve(&path);
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            if let Some(missing) = directory.filter(|directory| !directory.is_dir()) {
                at.key("path").mistake(format!("{} is not a directory: make it first", missing.display()));
            }
            Some(StoreConfig::Embedded { path })
        }
        Some(StoreKind::Redis) => {
            if at.key("path").is_written() {
                at.key("path").mistake("only with `kind: embedded`: remove this key");
            }
            redis::redis(raw, at, files).map(StoreConfig::Redis)
        }
    }
}

/// The keyring; `None` when there are no keys, which only the embedded store can do without.
pub(super) fn keys(raw: Vec<Key>, at: &Scope<'_>, files: &Files, required: bool) -> Result<Option<Keyring>, Reported> {
    if raw.is_empty() {
        if required && !at.is_written() {
            at.mistake(
                "a shared store needs a server key, the same in every process: \
                 make one with `coatcheck keygen` and name it, as `keys: [ { id: 1, file: /secrets/key-1 } ]`",
            );
        }
        return if required { Err(Reported) } else { Ok(None) };
    }
    let mut seen = HashSet::new();
    let mut ring = Vec::new();
    let count = raw.len();
    for (index, key) in raw.into_iter().enumerate() {
        let at = at.item(index);
        if key.id.is_some_and(|id| !seen.insert(id)) {
            at.key("id").mistake("another key has this id: ids are never used twice");
        }
        ring.extend(server_key(key, &at, files));
    }
    if ring.len() < count { Err(Reported) } else { Keyring::new(ring).map(Some).ok_or(Reported) }
}

fn server_key(raw: Key, at: &Scope<'_>, files: &Files) -> Option<ServerKey> {
    let from = if raw.file.is_some() { "file" } else { "value" };
    let secret = Secret { names: ("value", "file"), value: raw.value, file: raw.file }.require(at, files)?;
    let key = at.key(from).check(decode(secret.expose_secret()).map_err(|why| format!("the secret {why}")))?;
    Some(ServerKey::new(KeyId(raw.id?), *key))
}
