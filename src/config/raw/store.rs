//! `store` and `keys` as written.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Span;

/// Where sessions live.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "store")]
pub(in crate::config) struct Store {
    /// Which store.
    #[schemars(extend("default" = "embedded"))]
    pub(in crate::config) kind: Option<StoreKind>,
    /// Embedded: the file, made when absent. Its directory must exist.
    #[schemars(extend("default" = "./coatcheck.db"))]
    pub(in crate::config) path: Option<String>,
    /// Redis: where it is, `redis://host:port/database`, or `rediss://` for TLS. Port 6379 and database 0 where
    /// they are left out. A user and password in the URL count as `username` and `password`. Required with redis.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) url: Option<SecretString>,
    /// Redis: the ACL user.
    pub(in crate::config) username: Option<String>,
    /// Redis: the password, best as `${NAME}`; a plain value is accepted with a warning.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) password: Option<SecretString>,
    /// Redis: a file with the password; a line end after it does not count.
    pub(in crate::config) password_file: Option<String>,
    /// Redis: put before every key, so that several installations can share a server. At most 64 printable ASCII
    /// characters without `{`, `}`.
    #[schemars(extend("default" = "coatcheck:"))]
    pub(in crate::config) prefix: Option<String>,
    /// Redis: multiplexed connections for checks, spread over the threads that check (one per core). 1 to 64.
    #[schemars(range(min = 1, max = 64), extend("default" = 4))]
    pub(in crate::config) connections: Option<u32>,
    /// Redis: each command ends within this time; keep it far below Envoy's timeout of the check. `1ms` to `10s`.
    #[schemars(extend("default" = "250ms"))]
    pub(in crate::config) response_timeout: Option<Span>,
    /// Redis: a connection is made within this time. `1ms` to `30s`.
    #[schemars(extend("default" = "250ms"))]
    pub(in crate::config) connect_timeout: Option<Span>,
    /// Redis with `rediss://`: trust roots and our certificate.
    pub(in crate::config) tls: Option<Tls>,
}

/// Which store.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum StoreKind {
    /// One crash-safe file, for one process.
    Embedded,
    /// A shared Redis or Valkey, for several processes.
    Redis,
}

/// TLS towards Redis.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "tls")]
#[expect(clippy::struct_field_names, reason = "the names are the keys of the file")]
pub(in crate::config) struct Tls {
    /// A PEM file with the roots to trust instead of the public ones.
    pub(in crate::config) ca_file: Option<String>,
    /// A PEM file with our certificate chain, for mutual TLS. Needs `key_file`.
    pub(in crate::config) cert_file: Option<String>,
    /// A PEM file with the key of `cert_file`.
    pub(in crate::config) key_file: Option<String>,
}

/// A server key: 32 random bytes, as `coatcheck keygen` prints them. Either `file` or `value`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "key")]
pub(in crate::config) struct Key {
    /// Names the key in cookies and records; each id stands once and keeps its meaning for ever.
    #[schemars(required, range(min = 0, max = 4_294_967_295_u64))]
    pub(in crate::config) id: Option<u32>,
    /// A file with the key; a line end after it does not count.
    pub(in crate::config) file: Option<String>,
    /// The key itself, best as `${NAME}`; a plain value is accepted with a warning.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) value: Option<SecretString>,
}
