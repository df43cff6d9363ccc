//! Metrics over OTLP/gRPC: the numbers of `/metrics`, sent to a collector at intervals.
//!
//! Everything happens on a thread of its own that reads the numbers when it is time to. A collector that is down or
//! slow costs that thread its patience, and the log one line.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::metrics::{Metrics, attribute};
use super::otlp::{Collector, Signal, pairs, set};
use super::traces::SCOPE;
use super::{Env, TelemetryError};
use crate::config::TelemetryConfig;

/// The specification's defaults.
const INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where metrics go, and how often.
#[derive(Debug)]
pub(super) struct Target {
    collector: Collector,
    headers: MetadataMap,
    interval: Duration,
    timeout: Duration,
}

impl Target {
    /// From the config and the standard variables; `None` when no endpoint is known or metrics are not to be sent.
    pub(super) fn resolve(config: &TelemetryConfig, env: Env<'_>) -> Result<Option<Self>, TelemetryError> {
        if !wants_otlp(env)? {
            return Ok(None);
        }
        let Some(collector) = Collector::resolve(Signal::Metrics, config, env)? else {
            return Ok(None);
        };
        let interval = milliseconds(&["OTEL_METRIC_EXPORT_INTERVAL"], env)?.unwrap_or(INTERVAL);
        let timeouts = ["OTEL_METRIC_EXPORT_TIMEOUT", METRICS_TIMEOUT, "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let timeout = milliseconds(&timeouts, env)?.unwrap_or(TIMEOUT);
        Ok(Some(Self { collector, headers: headers(env)?, interval, timeout }))
    }
}

const METRICS_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT";
const METRICS_HEADERS: &str = "OTEL_EXPORTER_OTLP_METRICS_HEADERS";

/// `OTEL_METRICS_EXPORTER`: a list. `prometheus` is what `/metrics` is there for anyway.
fn wants_otlp(env: Env<'_>) -> Result<bool, TelemetryError> {
    let place = "OTEL_METRICS_EXPORTER";
    let Some(text) = set(env, place) else { return Ok(true) };
    let exporters: Vec<&str> = text.split(',').map(str::trim).collect();
    match exporters.iter().find(|exporter| !["otlp", "none", "prometheus"].contains(exporter)) {
        Some(other) => {
            let why = format!("`{other}` is not supported: use otlp, prometheus or none");
            Err(TelemetryError::Setting { place, why })
        }
        None => Ok(exporters.contains(&"otlp")),
    }
}

/// The first of these variables that is set.
fn milliseconds(places: &[&'static str], env: Env<'_>) -> Result<Option<Duration>, TelemetryError> {
    let Some((place, text)) = places.iter().find_map(|place| Some((*place, set(env, place)?))) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(0) | Err(_) => {
            let why = format!("`{text}` is not a number of milliseconds");
            Err(TelemetryError::Setting { place, why })
        }
        Ok(milliseconds) => Ok(Some(Duration::from_millis(milliseconds))),
    }
}

/// Headers for the collector, such as an API key: never repeated in an error.
fn headers(env: Env<'_>) -> Result<MetadataMap, TelemetryError> {
    let place = if set(env, METRICS_HEADERS).is_some() { METRICS_HEADERS } else { "OTEL_EXPORTER_OTLP_HEADERS" };
    let mut headers = MetadataMap::new();
    for (name, value) in pairs(place, env)? {
        let parsed = (name.parse::<MetadataKey<Ascii>>(), value.parse::<MetadataValue<Ascii>>());
        let (Ok(key), Ok(value)) = parsed else {
            return Err(TelemetryError::Setting { place, why: format!("`{name}` is not a header with a value") });
        };
        headers.insert(key, value);
    }
    Ok(headers)
}

/// The running exporter.
#[derive(Debug)]
pub(super) struct Push {
    stop: oneshot::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl Push {
    /// Starts the thread. Connects when it first sends, so a collector that is down does not matter.
    pub(super) fn start(target: Target, metrics: Metrics) -> Result<Self, TelemetryError> {
        let failed = |error: &dyn std::fmt::Display| TelemetryError::Exporter(error.to_string());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let endpoint = Endpoint::from_shared(target.collector.endpoint.clone()).map_err(|error| failed(&error))?;
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = mpsc::channel();
        let work = move || {
            runtime.block_on(async move {
                let channel = endpoint.connect_timeout(target.timeout).connect_lazy();
                Sender { target, metrics, client: MetricsServiceClient::new(channel), failing: false }
                    .run(stopped)
                    .await;
            });
            // Nobody waits any more: the end of the process took too long already.
            let _ = end.send(());
        };
        thread::Builder::new().name("coatcheck-metrics".into()).spawn(work).map_err(|error| failed(&error))?;
        Ok(Self { stop, ended })
    }

    /// Sends the last numbers, for at most `limit`.
    pub(super) fn shutdown(self, limit: Duration) {
        // Gone already is as good.
        let _ = self.stop.send(());
        if self.ended.recv_timeout(limit).is_err() {
            tracing::warn!("the last metrics could not be delivered in time");
        }
    }
}

/// What runs on the thread.
struct Sender {
    target: Target,
    metrics: Metrics,
    client: MetricsServiceClient<Channel>,
    failing: bool,
}

impl Sender {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let every = self.target.interval;
        let mut beat = interval_at(Instant::now() + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => self.send().await,
                // Told to, or forgotten: the last numbers are the most complete ones.
                _ = &mut stopped => return self.send().await,
            }
        }
    }

    /// Says once that the collector does not take metrics, and once that it does again.
    async fn send(&mut self) {
        let mut request = Request::new(self.message());
        *request.metadata_mut() = self.target.headers.clone();
        let why = match timeout(self.target.timeout, self.client.export(request)).await {
            Ok(Ok(_)) => None,
            Ok(Err(status)) => Some(format!("{:?}: {}", status.code(), status.message())),
            Err(_) => Some("it does not answer in time".to_owned()),
        };
        match (&why, self.failing) {
            (Some(error), false) => {
                tracing::warn!(error, "metrics cannot be delivered; tried again at every interval");
            }
            (None, true) => tracing::info!("metrics are delivered again"),
            (Some(_), true) | (None, false) => {}
        }
        self.failing = why.is_some();
    }

    fn message(&self) -> ExportMetricsServiceRequest {
        let attributes: Vec<KeyValue> = self
            .target
            .collector
            .attributes
            .iter()
            .map(|(key, value)| attribute(key, any_value::Value::StringValue(value.clone())))
            .collect();
        let scope = InstrumentationScope { name: SCOPE.to_owned(), ..InstrumentationScope::default() };
        let scope = ScopeMetrics { scope: Some(scope), metrics: self.metrics.collect(), ..ScopeMetrics::default() };
        let resource = ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        };
        ExportMetricsServiceRequest { resource_metrics: vec![resource] }
    }
}
