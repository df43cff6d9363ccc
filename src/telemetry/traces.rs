//! Traces over OTLP/gRPC: where they go, and the exporter that takes them there.
//!
//! The exporter lives on threads of its own: the batch thread of the SDK and a small runtime for its connection. It
//! therefore cannot deadlock with the process's runtime at the end, its own events never come back as spans (only
//! coatcheck's spans are recorded), and a collector that is down costs a dropped batch and one log line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SdkTracerProvider, SpanData, SpanExporter};
use tokio::runtime::Runtime;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::gate::own;
use super::sampler::Sampler;
use super::{Env, TelemetryError};
use crate::config::TelemetryConfig;

/// The name of our instrumentation scope.
const SCOPE: &str = "coatcheck";

/// Where traces go, under which name, and which.
#[derive(Debug)]
pub struct Target {
    /// The collector, OTLP over gRPC.
    pub endpoint: String,
    /// What describes this process: `service.name` and the attributes of the environment.
    pub attributes: Vec<(String, String)>,
    /// Which requests are traced.
    pub sampler: Arc<Sampler>,
}

impl Target {
    /// From the config and the standard variables; `None` when no endpoint is known or the SDK is disabled.
    pub fn resolve(config: &TelemetryConfig, env: Env<'_>) -> Result<Option<Self>, TelemetryError> {
        let set = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        if disabled {
            return Ok(None);
        }
        let endpoint = config
            .otlp_endpoint
            .clone()
            .map(|endpoint| ("telemetry.otlp_endpoint", endpoint))
            .or_else(|| Some(TRACES_ENDPOINT).and_then(|name| Some((name, set(name)?))))
            .or_else(|| Some(ENDPOINT).and_then(|name| Some((name, set(name)?))));
        let Some((place, endpoint)) = endpoint else {
            return Ok(None);
        };
        valid_endpoint(place, &endpoint)?;
        if config.otlp_endpoint.is_none() {
            speaks_grpc(&set)?;
        }
        let sampler = Arc::new(Sampler::from_env(env)?);
        Ok(Some(Self { endpoint, attributes: attributes(config, &set)?, sampler }))
    }
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// The exporter speaks gRPC without TLS: the collector is expected beside the process or inside the mesh. The text is
/// not repeated in the error, it may hold a password.
fn valid_endpoint(place: &'static str, endpoint: &str) -> Result<(), TelemetryError> {
    let why = match url::Url::parse(endpoint) {
        Ok(url) if url.scheme() == "https" => "https is not supported: use a collector in the same host, pod or mesh",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "a user or password in the URL is not supported: use OTEL_EXPORTER_OTLP_HEADERS"
        }
        Ok(url) if url.scheme() == "http" && url.has_host() => return Ok(()),
        Ok(_) | Err(_) => "is not an http URL, as http://127.0.0.1:4317",
    };
    Err(TelemetryError::Setting { place, why: why.to_owned() })
}

/// An endpoint from the environment may be meant for OTLP over HTTP; sending gRPC there would fail for ever.
fn speaks_grpc(set: &dyn Fn(&str) -> Option<String>) -> Result<(), TelemetryError> {
    for place in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        match set(place) {
            None => {}
            Some(protocol) if protocol == "grpc" => return Ok(()),
            Some(protocol) => {
                let why = format!("`{protocol}` is not supported: coatcheck sends OTLP over gRPC (`grpc`)");
                return Err(TelemetryError::Setting { place, why });
            }
        }
    }
    Ok(())
}

/// `OTEL_RESOURCE_ATTRIBUTES`, then the service's name: `OTEL_SERVICE_NAME`, the attribute, the config.
fn attributes(
    config: &TelemetryConfig,
    set: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, TelemetryError> {
    let place = "OTEL_RESOURCE_ATTRIBUTES";
    let mut attributes = Vec::new();
    for pair in set(place).unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode(value.trim());
        let (key, Some(value)) = (key.trim(), value) else {
            let why = format!("`{pair}` is not `key=value` with a percent-encoded value");
            return Err(TelemetryError::Setting { place, why });
        };
        attributes.push((key.to_owned(), value));
    }
    if let Some(name) = set("OTEL_SERVICE_NAME") {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".to_owned(), name));
    }
    for (key, value) in [("service.name", config.service_name.as_str()), ("service.version", env!("CARGO_PKG_VERSION"))]
    {
        if !attributes.iter().any(|(present, _)| present == key) {
            attributes.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(attributes)
}

/// Values are percent-encoded as W3C Baggage asks.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?, tail)
            }
            (b'%', _) => return None,
            (byte, tail) => (byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

/// The running exporter.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    runtime: Option<Runtime>,
}

impl Traces {
    /// Starts the exporter. Connects when the first batch goes out, so a collector that is down does not matter.
    pub fn start(target: Target) -> Result<Self, TelemetryError> {
        let failed = |error: &dyn std::fmt::Display| TelemetryError::Exporter(error.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("coatcheck-otlp")
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let exporter = {
            // The connection's tasks belong to the runtime that is entered here.
            let _entered = runtime.enter();
            OtlpExporter::builder()
                .with_tonic()
                .with_endpoint(target.endpoint)
                .build()
                .map_err(|error| failed(&error))?
        };
        let attributes = target.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
        let provider = SdkTracerProvider::builder()
            // Decided before a span is made (see `sampler`): what exists is exported.
            .with_sampler(SdkSampler::AlwaysOn)
            .with_resource(Resource::builder_empty().with_attributes(attributes).build())
            .with_batch_exporter(Reporting { inner: exporter, failing: AtomicBool::new(false) })
            .build();
        Ok(Self { provider, runtime: Some(runtime) })
    }

    /// The layer that records coatcheck's own spans, and nothing of its dependencies.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SCOPE))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(own).with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what is left, for at most `timeout`.
    pub(super) fn shutdown(self, timeout: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(timeout) {
            tracing::warn!(%error, "the last spans could not be delivered");
        }
    }
}

/// A runtime must not be dropped where waiting is forbidden; its tasks need no goodbye.
impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Says once that the collector does not take spans, and once that it does again.
#[derive(Debug)]
struct Reporting<E> {
    inner: E,
    failing: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Reporting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        let failed_before = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !failed_before => {
                tracing::warn!(%error, "traces cannot be delivered; spans are dropped until the collector answers");
            }
            Ok(()) if failed_before => tracing::info!("traces are delivered again"),
            Ok(()) | Err(_) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
