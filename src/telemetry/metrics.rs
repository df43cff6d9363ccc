//! The metrics of this process and their one list of names. Handles are made once and passed to
//! whoever counts; there is no global recorder.
//!
//! A handle is a number that is added to. Nothing is sent when it changes: `/metrics` and the OTLP exporter both read
//! the same numbers when they want them, so that an exporter which is off, on or stuck costs a check nothing.

mod names;
mod otlp;
mod registry;
mod text;

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use opentelemetry_proto::tonic::metrics::v1::Metric;

use self::names::DEFINITIONS;
use self::registry::Registry;
use crate::clock::{Clock, SystemClock};

pub use self::names::{Definition, Kind, Label};
pub(super) use self::otlp::attribute;

/// Registers and renders. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

/// One call to a provider, as far as metrics tell of it.
#[derive(Debug, Clone, Copy)]
pub struct ProviderCall<'a> {
    /// The provider's configured name.
    pub provider: &'a str,
    /// Which of its endpoints.
    pub endpoint: &'static str,
    /// The HTTP method.
    pub method: &'a str,
    /// The host that was called.
    pub address: &'a str,
    /// And its port.
    pub port: &'a str,
    /// The HTTP status; empty when no answer came.
    pub status: &'a str,
    /// What went wrong; empty when nothing did.
    pub error: &'a str,
}

/// All metrics, as documented in `docs/observability.md`.
#[must_use]
pub const fn definitions() -> &'static [Definition] {
    &DEFINITIONS
}

/// The names of all metrics, as Prometheus knows them.
pub fn names() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.iter().map(|definition| definition.name)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A fresh set, all zero.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Registry::new(SystemClock.now())))
    }

    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        text::render(&self.0)
    }

    /// The same numbers for a collector: sums and histograms since the start of the process (cumulative).
    pub(super) fn collect(&self) -> Vec<Metric> {
        otlp::collect(&self.0, SystemClock.now())
    }

    /// `coatcheck_decisions_total{app,decision,reason}`.
    pub fn decision(&self, app: &str, decision: &'static str, reason: &'static str) -> Counter {
        self.0.counter(names::DECISIONS, &[app, decision, reason])
    }

    /// `coatcheck_check_duration_seconds`.
    pub fn check_duration(&self) -> Histogram {
        self.0.histogram(names::CHECK_SECONDS, &[])
    }

    /// `coatcheck_refreshes_total{provider,outcome}`.
    pub fn refreshed(&self, provider: &str, outcome: &'static str) {
        self.0.counter(names::REFRESHES, &[provider, outcome]).increment(1);
    }

    /// `coatcheck_store_duration_seconds{operation}` of calls to this kind of store that ended in this error, or in none
    /// (empty).
    pub fn store_duration(&self, operation: &'static str, kind: &'static str, error: &'static str) -> Histogram {
        self.0.histogram(names::STORE_SECONDS, &[operation, kind, error])
    }

    /// `coatcheck_store_errors_total{operation}`.
    pub fn store_error(&self, operation: &'static str) -> Counter {
        self.0.counter(names::STORE_ERRORS, &[operation])
    }

    /// `coatcheck_provider_duration_seconds{provider,endpoint}`.
    pub fn provider_call(&self, call: ProviderCall<'_>, took: Duration) {
        let ProviderCall { provider, endpoint, method, address, port, status, error } = call;
        self.0
            .histogram(names::PROVIDER_SECONDS, &[provider, endpoint, method, address, port, status, error])
            .record(took.as_secs_f64());
    }

    /// `coatcheck_provider_errors_total{provider,endpoint,kind}`.
    pub fn provider_error(&self, provider: &str, endpoint: &'static str, kind: &'static str) {
        self.0.counter(names::PROVIDER_ERRORS, &[provider, endpoint, kind]).increment(1);
    }

    /// `coatcheck_logins_total{app,outcome}`.
    pub fn login(&self, app: &str, outcome: &'static str) {
        self.0.counter(names::LOGINS, &[app, outcome]).increment(1);
    }

    /// `coatcheck_logouts_total{app}`.
    pub fn logout(&self, app: &str) {
        self.0.counter(names::LOGOUTS, &[app]).increment(1);
    }

    /// `coatcheck_tickets_refused_total{reason}`: `malformed` (also wrong tag, unknown key) or `ambiguous`.
    pub fn ticket_refused(&self, reason: &'static str) {
        self.0.counter(names::TICKETS_REFUSED, &[reason]).increment(1);
    }

    /// `coatcheck_records_unreadable_total`.
    pub fn record_unreadable(&self) {
        self.0.counter(names::RECORDS_UNREADABLE, &[]).increment(1);
    }

    /// `coatcheck_bind_mismatches_total{app}`: served all the same (`on_bind_mismatch: log`).
    pub fn bind_mismatch(&self, app: &str) {
        self.0.counter(names::BIND_MISMATCHES, &[app]).increment(1);
    }

    /// `coatcheck_ready`.
    pub fn ready(&self) -> Gauge {
        self.0.gauge(names::READY, &[])
    }

    /// `coatcheck_config_reloads_total{outcome}`: `applied`, `refused`, `unchanged`.
    pub fn config_reload(&self, outcome: &'static str) -> Counter {
        self.0.counter(names::CONFIG_RELOADS, &[outcome])
    }

    /// `coatcheck_config_last_reload_successful`.
    pub fn config_successful(&self) -> Gauge {
        self.0.gauge(names::CONFIG_SUCCESSFUL, &[])
    }

    /// `coatcheck_config_last_reload_success_timestamp_seconds`.
    pub fn config_success_time(&self) -> Gauge {
        self.0.gauge(names::CONFIG_SUCCESS_TIME, &[])
    }
}

#[cfg(test)]
mod tests;
