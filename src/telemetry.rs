//! What operators see: logs, traces, metrics. Never a token, code, cookie, secret or verifier.
//!
//! [`Telemetry::start`] puts the subscriber together once per process. The environment is handed in; the
//! OpenTelemetry libraries themselves read `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT` and
//! `OTEL_BSP_*` for traces. `docs/observability.md` lists everything that comes out.

pub mod context;
mod correlate;
mod gate;
pub mod logs;
pub mod metrics;
mod otlp;
mod push;
pub mod sampler;
pub mod traces;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

use self::context::Tracing;
use self::correlate::TraceIds;
use self::gate::Gate;
use self::logs::Style;
use self::metrics::Metrics;
use self::push::Push;
use self::traces::{Target, Traces};
use crate::config::TelemetryConfig;

/// The environment as far as telemetry looks at it: a variable's value, `None` when it is not set.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// At most this long does the end of the process wait for the last spans and metrics.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The process's logs, traces and pushed metrics. Call [`Telemetry::shutdown`] last of all.
#[derive(Debug)]
pub struct Telemetry {
    tracing: Tracing,
    traces: Option<Traces>,
    /// Where metrics go, once there are any.
    target: Option<push::Target>,
    push: Option<Push>,
}

impl Telemetry {
    /// Builds logs to stderr and, where an endpoint is known, traces, and installs them for the whole process.
    pub fn start(config: &TelemetryConfig, env: Env<'_>) -> Result<Self, TelemetryError> {
        let terminal = std::io::stderr().is_terminal();
        let style = Style::choose(config.log_format, terminal, env);
        let (telemetry, dispatch) = Self::build(config, env, style, std::io::stderr)?;
        tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::AlreadyStarted)?;
        logs::tell_panics();
        Ok(telemetry)
    }

    /// The same, but writes logs to `writer` and installs nothing: the caller holds the dispatcher.
    pub fn build<W>(
        config: &TelemetryConfig,
        env: Env<'_>,
        style: Style,
        writer: W,
    ) -> Result<(Self, Dispatch), TelemetryError>
    where
        W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
    {
        let ids = TraceIds::default();
        let logs = logs::layer(logs::directives(config, env)?, style, ids.clone(), writer);
        let metrics = push::Target::resolve(config, env)?;
        let Some(target) = Target::resolve(config, env)? else {
            let subscriber = tracing_subscriber::registry().with(Gate::Closed).with(logs);
            return Ok((Self::new(Tracing::off(), None, metrics), Dispatch::new(subscriber)));
        };
        let tracing = Tracing::on(Arc::clone(&target.sampler));
        let traces = Traces::start(target)?;
        let dispatch =
            Dispatch::new(tracing_subscriber::registry().with(Gate::Sampled(ids)).with(logs).with(traces.layer()));
        Ok((Self::new(tracing, Some(traces), metrics), dispatch))
    }

    const fn new(tracing: Tracing, traces: Option<Traces>, target: Option<push::Target>) -> Self {
        Self { tracing, traces, target, push: None }
    }

    /// From now on these metrics are sent to the collector, where one is known. Once per process.
    pub fn push(&mut self, metrics: &Metrics) -> Result<(), TelemetryError> {
        if let Some(target) = self.target.take() {
            self.push = Some(Push::start(target, metrics.clone())?);
        }
        Ok(())
    }

    /// Makes the spans of requests. Cheap to clone.
    #[must_use]
    pub fn tracing(&self) -> Tracing {
        self.tracing.clone()
    }

    /// Sends what is left and stops the exporters, within [`SHUTDOWN_TIMEOUT`] altogether. Blocks the calling thread,
    /// but needs nothing of the caller's runtime: the exporters have their own.
    pub fn shutdown(self) {
        let began = Instant::now();
        if let Some(push) = self.push {
            push.shutdown(SHUTDOWN_TIMEOUT / 2);
        }
        if let Some(traces) = self.traces {
            traces.shutdown(SHUTDOWN_TIMEOUT.saturating_sub(began.elapsed()));
        }
    }
}

/// Why telemetry cannot start: always something to correct in the config or in the environment.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` or `telemetry.log_level` is not a filter.
    #[error("{place} is not a log filter (such as `info` or `info,coatcheck=debug`): {why}")]
    Filter {
        /// Where it was written.
        place: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A variable or key has a value that has no meaning here.
    #[error("{place}: {why}")]
    Setting {
        /// Where it was written.
        place: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The exporter could not be made.
    #[error("an OTLP exporter cannot start: {0}")]
    Exporter(String),
    /// A subscriber is installed already.
    #[error("logging was already started in this process")]
    AlreadyStarted,
}
