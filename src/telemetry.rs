//! What operators see: logs, traces, metrics. Never a token, code, cookie, secret or verifier.
//!
//! [`Telemetry::start`] puts the subscriber together once per process. The environment is handed in; the
//! OpenTelemetry libraries themselves read `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT` and
//! `OTEL_BSP_*`. `docs/observability.md` lists everything that comes out.

pub mod context;
mod gate;
pub mod logs;
pub mod metrics;
pub mod sampler;
pub mod traces;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

use self::context::Tracing;
use self::gate::Gate;
use self::logs::Style;
use self::traces::{Target, Traces};
use crate::config::TelemetryConfig;

/// The environment as far as telemetry looks at it: a variable's value, `None` when it is not set.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// At most this long does the end of the process wait for the last spans.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The process's logs and traces. Call [`Telemetry::shutdown`] last of all.
#[derive(Debug)]
pub struct Telemetry {
    tracing: Tracing,
    traces: Option<Traces>,
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
        let logs = logs::layer(logs::directives(config, env)?, style, writer);
        let Some(target) = Target::resolve(config, env)? else {
            let subscriber = tracing_subscriber::registry().with(Gate::Closed).with(logs);
            return Ok((Self { tracing: Tracing::off(), traces: None }, Dispatch::new(subscriber)));
        };
        let tracing = Tracing::on(Arc::clone(&target.sampler));
        let traces = Traces::start(target)?;
        let dispatch =
            Dispatch::new(tracing_subscriber::registry().with(Gate::Sampled).with(logs).with(traces.layer()));
        Ok((Self { tracing, traces: Some(traces) }, dispatch))
    }

    /// Makes the spans of requests. Cheap to clone.
    #[must_use]
    pub fn tracing(&self) -> Tracing {
        self.tracing.clone()
    }

    /// Sends what is left and stops the exporter, within [`SHUTDOWN_TIMEOUT`]. Blocks the calling thread, but needs
    /// nothing of the caller's runtime: the exporter has its own.
    pub fn shutdown(self) {
        if let Some(traces) = self.traces {
            traces.shutdown(SHUTDOWN_TIMEOUT);
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
    #[error("the trace exporter cannot start: {0}")]
    Exporter(String),
    /// A subscriber is installed already.
    #[error("logging was already started in this process")]
    AlreadyStarted,
}
