//! The metrics of this process and their one list of names. Handles are made once and passed to
//! whoever counts; there is no global recorder.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Buckets of latencies, in seconds: from a store on loopback to a slow provider.
const LATENCY_BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

const DECISIONS: &str = "coatcheck_decisions_total";
const CHECK_SECONDS: &str = "coatcheck_check_duration_seconds";
const REFRESHES: &str = "coatcheck_refreshes_total";
const STORE_SECONDS: &str = "coatcheck_store_duration_seconds";
const STORE_ERRORS: &str = "coatcheck_store_errors_total";
const PROVIDER_SECONDS: &str = "coatcheck_provider_duration_seconds";
const PROVIDER_ERRORS: &str = "coatcheck_provider_errors_total";
const LOGINS: &str = "coatcheck_logins_total";
const LOGOUTS: &str = "coatcheck_logouts_total";
const TICKETS_REFUSED: &str = "coatcheck_tickets_refused_total";
const RECORDS_UNREADABLE: &str = "coatcheck_records_unreadable_total";
const BIND_MISMATCHES: &str = "coatcheck_bind_mismatches_total";
const READY: &str = "coatcheck_ready";
const CONFIG_RELOADS: &str = "coatcheck_config_reloads_total";
const CONFIG_SUCCESSFUL: &str = "coatcheck_config_last_reload_successful";
const CONFIG_SUCCESS_TIME: &str = "coatcheck_config_last_reload_success_timestamp_seconds";

/// Each metric: name, kind, unit, help. Documented in `docs/observability.md`.
const DESCRIPTIONS: [(&str, Kind, &str); 16] = [
    (DECISIONS, Kind::Counter, "Checks by decision (forward, login, deny, retry_later) and reason"),
    (CHECK_SECONDS, Kind::Seconds, "Time from a check's arrival to its answer"),
    (REFRESHES, Kind::Counter, "Token refreshes by provider and outcome"),
    (STORE_SECONDS, Kind::Seconds, "Time of store calls by operation"),
    (STORE_ERRORS, Kind::Counter, "Failed store calls by operation"),
    (PROVIDER_SECONDS, Kind::Seconds, "Time of provider calls by provider and endpoint"),
    (PROVIDER_ERRORS, Kind::Counter, "Failed provider calls by provider, endpoint and kind"),
    (LOGINS, Kind::Counter, "Login attempts by app and outcome"),
    (LOGOUTS, Kind::Counter, "Logouts by app"),
    (TICKETS_REFUSED, Kind::Counter, "Session cookies refused before the store, by reason"),
    (RECORDS_UNREADABLE, Kind::Counter, "Store records that could not be opened"),
    (BIND_MISMATCHES, Kind::Counter, "Sessions served to another browser than they are bound to"),
    (READY, Kind::Gauge, "1 when ready, else 0"),
    (CONFIG_RELOADS, Kind::Counter, "Reloads of the configuration by outcome (applied, refused, unchanged)"),
    (CONFIG_SUCCESSFUL, Kind::Gauge, "1 when what the files say is what runs, 0 when it was refused"),
    (CONFIG_SUCCESS_TIME, Kind::Gauge, "When the running configuration was taken, in seconds since the epoch"),
];

enum Kind {
    Counter,
    Gauge,
    Seconds,
}

/// The names of all metrics.
pub fn names() -> impl Iterator<Item = &'static str> {
    DESCRIPTIONS.iter().map(|(name, _, _)| *name)
}

/// Registers and renders. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
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
        let builder = PrometheusBuilder::new();
        // The only error is an empty list of buckets.
        let builder = builder.set_buckets(&LATENCY_BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        for (name, kind, help) in DESCRIPTIONS {
            match kind {
                Kind::Counter => recorder.describe_counter(name.into(), None, help.into()),
                Kind::Gauge => recorder.describe_gauge(name.into(), None, help.into()),
                Kind::Seconds => recorder.describe_histogram(name.into(), Some(Unit::Seconds), help.into()),
            }
        }
        let handle = recorder.handle();
        Self { recorder: Arc::new(recorder), handle }
    }

    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Bounds the memory of histograms between scrapes; to be called every few seconds.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// `coatcheck_decisions_total{app,decision,reason}`.
    pub fn decision(&self, app: &str, decision: &'static str, reason: &'static str) -> Counter {
        self.counter(DECISIONS, vec![label("app", app), Label::new("decision", decision), Label::new("reason", reason)])
    }

    /// `coatcheck_check_duration_seconds`.
    pub fn check_duration(&self) -> Histogram {
        self.histogram(CHECK_SECONDS, Vec::new())
    }

    /// `coatcheck_refreshes_total{provider,outcome}`.
    pub fn refreshed(&self, provider: &str, outcome: &'static str) {
        self.counter(REFRESHES, vec![label("provider", provider), Label::new("outcome", outcome)]).increment(1);
    }

    /// `coatcheck_store_duration_seconds{operation}`.
    pub fn store_duration(&self, operation: &'static str) -> Histogram {
        self.histogram(STORE_SECONDS, vec![Label::new("operation", operation)])
    }

    /// `coatcheck_store_errors_total{operation}`.
    pub fn store_error(&self, operation: &'static str) -> Counter {
        self.counter(STORE_ERRORS, vec![Label::new("operation", operation)])
    }

    /// `coatcheck_provider_duration_seconds{provider,endpoint}`.
    pub fn provider_call(&self, provider: &str, endpoint: &'static str, took: Duration) {
        self.histogram(PROVIDER_SECONDS, vec![label("provider", provider), Label::new("endpoint", endpoint)])
            .record(took.as_secs_f64());
    }

    /// `coatcheck_provider_errors_total{provider,endpoint,kind}`.
    pub fn provider_error(&self, provider: &str, endpoint: &'static str, kind: &'static str) {
        let labels = vec![label("provider", provider), Label::new("endpoint", endpoint), Label::new("kind", kind)];
        self.counter(PROVIDER_ERRORS, labels).increment(1);
    }

    /// `coatcheck_logins_total{app,outcome}`.
    pub fn login(&self, app: &str, outcome: &'static str) {
        self.counter(LOGINS, vec![label("app", app), Label::new("outcome", outcome)]).increment(1);
    }

    /// `coatcheck_logouts_total{app}`.
    pub fn logout(&self, app: &str) {
        self.counter(LOGOUTS, vec![label("app", app)]).increment(1);
    }

    /// `coatcheck_tickets_refused_total{reason}`: `malformed` (also wrong tag, unknown key) or `ambiguous`.
    pub fn ticket_refused(&self, reason: &'static str) {
        self.counter(TICKETS_REFUSED, vec![Label::new("reason", reason)]).increment(1);
    }

    /// `coatcheck_records_unreadable_total`.
    pub fn record_unreadable(&self) {
        self.counter(RECORDS_UNREADABLE, Vec::new()).increment(1);
    }

    /// `coatcheck_bind_mismatches_total{app}`: served all the same (`on_bind_mismatch: log`).
    pub fn bind_mismatch(&self, app: &str) {
        self.counter(BIND_MISMATCHES, vec![label("app", app)]).increment(1);
    }

    /// `coatcheck_ready`.
    pub fn ready(&self) -> Gauge {
        self.gauge(READY)
    }

    /// `coatcheck_config_reloads_total{outcome}`: `applied`, `refused`, `unchanged`.
    pub fn config_reload(&self, outcome: &'static str) -> Counter {
        self.counter(CONFIG_RELOADS, vec![Label::new("outcome", outcome)])
    }

    /// `coatcheck_config_last_reload_successful`.
    pub fn config_successful(&self) -> Gauge {
        self.gauge(CONFIG_SUCCESSFUL)
    }

    /// `coatcheck_config_last_reload_success_timestamp_seconds`.
    pub fn config_success_time(&self) -> Gauge {
        self.gauge(CONFIG_SUCCESS_TIME)
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &metadata())
    }

    fn gauge(&self, name: &'static str) -> Gauge {
        self.recorder.register_gauge(&Key::from_name(name), &metadata())
    }

    fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &metadata())
    }
}

/// Configured names only: their number is bounded by the config.
fn label(name: &'static str, value: &str) -> Label {
    Label::new(name, value.to_owned())
}

const fn metadata() -> Metadata<'static> {
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()))
}
