//! The configuration as a person writes it: every key with its meaning, unit, default and limits.
//!
//! The JSON Schema made from these types is what `coatcheck schema` prints *and* what [`super::shape`] holds
//! the file against, so the two cannot differ. What a schema cannot say (a duration's range, a name that must
//! exist elsewhere) is said by [`super::build`]. Never validated here, and never printed: it may hold secrets.

pub(super) mod app;
pub(super) mod provider;
pub(super) mod store;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of coatcheck. Unknown keys are mistakes. Any text may hold `${NAME}`, which is replaced by
/// that environment variable (`$${` writes `${`). Relative paths start at the directory of this file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "coatcheck.yaml")]
pub(super) struct Root {
    /// Where to listen.
    #[serde(default)]
    pub(super) listen: Listen,
    /// Where sessions live.
    #[serde(default)]
    pub(super) store: store::Store,
    /// The server keys; the first seals, the others still open. Required with `store.kind: redis`; the embedded
    /// store makes one key of its own (`<store.path>.key`, mode 0600) when there is none.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) keys: Vec<store::Key>,
    /// The OpenID providers, at least one.
    #[schemars(required, length(min = 1))]
    pub(super) providers: Option<Vec<provider::Provider>>,
    /// The protected sites, at least one.
    #[schemars(required, length(min = 1))]
    pub(super) apps: Option<Vec<app::App>>,
    /// Logs, traces and metrics.
    #[serde(default)]
    pub(super) telemetry: Telemetry,
    /// How much is taken on at once.
    #[serde(default)]
    pub(super) limits: Limits,
    /// How the process stops.
    #[serde(default)]
    pub(super) shutdown: Shutdown,
}

/// A span of time: whole numbers with a unit `ms`, `s`, `m`, `h` or `d`, as `500ms`, `30s`, `1h30m`.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "duration")]
pub(super) struct Span(#[schemars(regex(pattern = r"^([0-9]+(ms|s|m|h|d))+$"))] pub(super) String);

impl From<&str> for Span {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// One value, or a list of them.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(#[schemars(length(min = 1))] Vec<T>),
}

/// Where to listen. Each address is `host:port` with a literal IP address; port 0 lets the system choose.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "listen")]
pub(super) struct Listen {
    /// The `envoy.service.auth.v3.Authorization` service. Also `unix:/path.sock`.
    pub(super) grpc: String,
    /// The login routes. Also `unix:/path.sock`.
    pub(super) http: String,
    /// `/livez`, `/readyz` and `/metrics`. TCP only.
    pub(super) admin: String,
}

impl Default for Listen {
    fn default() -> Self {
        Self { grpc: "127.0.0.1:9001".into(), http: "127.0.0.1:9002".into(), admin: "127.0.0.1:9003".into() }
    }
}

/// Logs, traces and metrics. `RUST_LOG` and the standard `OTEL_*` variables are honoured beside these keys.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "telemetry")]
pub(super) struct Telemetry {
    /// How log lines look on standard error. Without it: `human` on a terminal, else `json`.
    pub(super) log_format: Option<LogFormat>,
    /// What is logged where `RUST_LOG` is not set: a level (`error`, `warn`, `info`, `debug`, `trace`) or a
    /// filter such as `info,coatcheck::store=debug`.
    pub(super) log_level: String,
    /// Where traces and metrics go: OTLP over gRPC, an `http://` URL (no TLS: a collector in the same host, pod or
    /// mesh). Without it the `OTEL_EXPORTER_OTLP_*ENDPOINT` variables count, and without any nothing is sent.
    pub(super) otlp_endpoint: Option<String>,
    /// `service.name` of traces and metrics.
    pub(super) service_name: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log_format: None, log_level: "info".into(), otlp_endpoint: None, service_name: "coatcheck".into() }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// How much is taken on at once. What is over is turned away at once, so that the rest stays fast.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "limits")]
pub(super) struct Limits {
    /// Checks under way at once; any further one is answered 503. Each holds its request in memory. 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) checks: u32,
    /// While a processor is saturated, checks that had to wait longer than this for it are answered 503. `1ms` to `5s`.
    pub(super) wait: Span,
    /// Connections at once, on each listener; any further one is closed. 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { checks: 10_000, wait: "20ms".into(), connections: 4096 }
    }
}

/// How the process stops, at SIGTERM or SIGINT.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "shutdown")]
pub(super) struct Shutdown {
    /// Not ready for this long before the listeners close, so that load balancers notice. `0s` to `5m`.
    pub(super) drain_delay: Span,
    /// After this long (counted from the closing of the listeners) everything ends. `100ms` to `1h`.
    pub(super) timeout: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain_delay: "2s".into(), timeout: "20s".into() }
    }
}
