//! Telemetry from outside: what a collector receives, what stands in the log, what a kubelet and a scraper see.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail loudly and read the clock"
)]

#[path = "telemetry/admin.rs"]
mod admin;
#[path = "telemetry/collector.rs"]
mod collector;
#[path = "telemetry/docs.rs"]
mod docs;
#[path = "telemetry/fakes.rs"]
mod fakes;
#[path = "telemetry/logs.rs"]
mod logs;
#[path = "telemetry/metrics.rs"]
mod metrics;
#[path = "telemetry/rules.rs"]
mod rules;
#[path = "telemetry/store.rs"]
mod store;
#[path = "telemetry/traces.rs"]
mod traces;

use coatcheck::config::TelemetryConfig;
use coatcheck::telemetry::logs::Style;
use coatcheck::telemetry::{Telemetry, TelemetryError};
use tracing::subscriber::DefaultGuard;

use crate::collector::Lines;

/// Telemetry for the current thread only.
pub(crate) struct Stage {
    pub(crate) telemetry: Telemetry,
    pub(crate) lines: Lines,
    _guard: DefaultGuard,
}

pub(crate) fn config(endpoint: Option<&str>) -> TelemetryConfig {
    TelemetryConfig {
        log_format: None,
        log_level: "info".to_owned(),
        otlp_endpoint: endpoint.map(str::to_owned),
        service_name: "coatcheck".to_owned(),
    }
}

pub(crate) fn stage(config: &TelemetryConfig, env: &[(&str, &str)]) -> Result<Stage, TelemetryError> {
    stage_in(Style::Json, config, env)
}

pub(crate) fn stage_in(style: Style, config: &TelemetryConfig, env: &[(&str, &str)]) -> Result<Stage, TelemetryError> {
    let lines = Lines::default();
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let (telemetry, dispatch) = Telemetry::build(config, &env, style, lines.clone())?;
    Ok(Stage { telemetry, lines, _guard: tracing::dispatcher::set_default(&dispatch) })
}
