//! The configuration: from YAML to final types, every mistake reported at once with line and key path.
//!
//! `raw` is what a person writes (serde, unknown keys fatal); this file holds what the rest of the
//! program gets: values that cannot be wrong any more.

mod build;
mod keys;
mod raw;
mod report;
mod same;
mod schema;
mod shape;
mod source;
mod tree;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::core::app::Apps;
use crate::core::keyring::Keyring;

pub use build::load;
pub use keys::{KeyFileError, embedded_key, generate as generate_key, key_path};
pub use report::{ConfigErrors, Finding, Warnings};
pub use schema::schema;
pub use source::{Digest, Environment, Origin, ProcessEnvironment, Sources};

/// Everything `serve` needs.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where sessions live.
    pub store: StoreConfig,
    /// The server keys. `None` only with the embedded store, which then keeps one next to its data.
    pub keys: Option<Keyring>,
    /// The OpenID providers.
    pub providers: Vec<ProviderConfig>,
    /// The protected sites.
    pub apps: Apps,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// How much is taken on at once.
    pub limits: LimitsConfig,
    /// How to stop.
    pub shutdown: ShutdownConfig,
    /// What this was read from.
    pub sources: Sources,
}

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The ext_authz service.
    pub grpc: Address,
    /// The login routes.
    pub http: Address,
    /// `/livez`, `/readyz`, `/metrics`.
    pub admin: Address,
}

/// A listen address. Port 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket, mode 0660.
    Unix(PathBuf),
}

/// Where sessions live.
#[derive(Debug)]
pub enum StoreConfig {
    /// One crash-safe file, for one process.
    Embedded {
        /// The file; made when absent.
        path: PathBuf,
    },
    /// A shared Redis or Valkey.
    Redis(RedisConfig),
}

/// A shared Redis or Valkey.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Host of the URL.
    pub host: String,
    /// Port of the URL.
    pub port: u16,
    /// Database number of the URL's path.
    pub database: i64,
    /// TLS (`rediss://`).
    pub tls: Option<TlsConfig>,
    /// ACL user.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
    /// Put before every key.
    pub prefix: String,
    /// Multiplexed connections for checks.
    pub connections: u32,
    /// Each command ends within this time; far below Envoy's timeout of the check.
    pub response_timeout: Duration,
    /// A connection is made within this time.
    pub connect_timeout: Duration,
}

/// TLS towards a peer. File contents (PEM), read when the config was.
#[derive(Debug, Clone, Default)]
pub struct TlsConfig {
    /// Roots to trust instead of the public ones.
    pub ca: Option<Vec<u8>>,
    /// Our certificate chain, for mutual TLS.
    pub cert: Option<Vec<u8>>,
    /// Its key.
    pub key: Option<SecretString>,
}

/// An OpenID provider and our registration there.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name.
    pub name: String,
    /// Its issuer, exactly as the provider writes it.
    pub issuer: String,
    /// Our client id.
    pub client_id: String,
    /// Our client secret.
    pub client_secret: SecretString,
    /// How we authenticate at the token endpoint.
    pub client_auth: ClientAuth,
    /// Each call ends within this time.
    pub timeout: Duration,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// Algorithms an ID token may be signed with (JWA names).
    pub signing_algorithms: Vec<String>,
    /// Audiences beside our client id that an ID token may name.
    pub trusted_audiences: Vec<String>,
    /// An extra trust root (PEM).
    pub ca: Option<Vec<u8>>,
    /// Lifetime of an access token whose answer does not tell it.
    pub default_token_lifetime: Duration,
}

/// How we authenticate at the token endpoint (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `Authorization: Basic`, both parts form-urlencoded first.
    Basic,
    /// `client_id` and `client_secret` in the body.
    Post,
}

/// Logs and traces.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// JSON lines or for people; `None` lets the terminal decide.
    pub log_format: Option<LogFormat>,
    /// The filter where `RUST_LOG` is not set.
    pub log_level: String,
    /// Where traces go (OTLP over gRPC). `None`: `OTEL_EXPORTER_OTLP_ENDPOINT`, else no traces.
    pub otlp_endpoint: Option<String>,
    /// `service.name`.
    pub service_name: String,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// How much is taken on at once.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// Checks under way at once, in the whole process.
    pub checks: usize,
    /// What a check may wait for a processor that is saturated.
    pub wait: Duration,
    /// Connections at once, on each listener.
    pub connections: usize,
}

/// How to stop.
#[derive(Debug, Clone)]
pub struct ShutdownConfig {
    /// Not ready for this long before the listeners close.
    pub drain_delay: Duration,
    /// After this long everything ends.
    pub timeout: Duration,
}
