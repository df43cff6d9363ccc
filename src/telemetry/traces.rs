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
use super::otlp::{Collector, Signal};
use super::sampler::Sampler;
use super::{Env, TelemetryError};
use crate::config::TelemetryConfig;

/// The name of our instrumentation scope.
pub(super) const SCOPE: &str = "coatcheck";

/// Where traces go, and which.
#[derive(Debug)]
pub struct Target {
    /// Who takes them.
    pub collector: Collector,
    /// Which requests are traced.
    pub sampler: Arc<Sampler>,
}

impl Target {
    /// From the config and the standard variables; `None` when no endpoint is known or the SDK is disabled.
    pub fn resolve(config: &TelemetryConfig, env: Env<'_>) -> Result<Option<Self>, TelemetryError> {
        let Some(collector) = Collector::resolve(Signal::Traces, config, env)? else {
            return Ok(None);
        };
        Ok(Some(Self { collector, sampler: Arc::new(Sampler::from_env(env)?) }))
    }
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
                .with_endpoint(target.collector.endpoint)
                .build()
                .map_err(|error| failed(&error))?
        };
        let attributes = target.collector.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
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
