//! Logs: one JSON object a line, or lines for people. Never a dependency's debug output.
//!
//! HTTP, Redis and TLS libraries write headers, frames and commands into their debug and trace events, and with
//! them cookies and tokens. Their events are therefore capped at `info`, whatever the filter asks for: only
//! coatcheck's own targets can be more verbose. Records of the `log` crate are not collected at all.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{JsonFields, format};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::correlate::{Stamp, Stamped, TraceIds};
use super::{Env, TelemetryError};
use crate::config::{LogFormat, TelemetryConfig};

/// The prefix of our own targets.
pub(super) const OWN_TARGET: &str = "coatcheck";

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One JSON object.
    Json,
    /// For people.
    Plain,
    /// For people at a terminal that shows colours.
    Coloured,
}

impl Style {
    /// The configured format; without one, a terminal gets lines for people and everything else JSON. `NO_COLOR` is
    /// honoured.
    #[must_use]
    pub fn choose(format: Option<LogFormat>, terminal: bool, env: Env<'_>) -> Self {
        let human = match format {
            Some(LogFormat::Json) => false,
            Some(LogFormat::Human) => true,
            None => terminal,
        };
        let coloured = terminal && env("NO_COLOR").is_none_or(|value| value.is_empty());
        match (human, coloured) {
            (false, _) => Self::Json,
            (true, false) => Self::Plain,
            (true, true) => Self::Coloured,
        }
    }
}

/// The filter: `RUST_LOG`, else `telemetry.log_level`. One that cannot be read fails the start.
pub(super) fn directives(config: &TelemetryConfig, env: Env<'_>) -> Result<EnvFilter, TelemetryError> {
    let (place, text) = match env("RUST_LOG").filter(|text| !text.trim().is_empty()) {
        Some(text) => ("RUST_LOG", text),
        None => ("telemetry.log_level", config.log_level.clone()),
    };
    // A bare word that is no level would be taken for the name of a crate and silence all others.
    let misspelt = |part: &&str| {
        !part.contains(['=', '[']) && LevelFilter::from_str(part).is_err() && !part.starts_with(OWN_TARGET)
    };
    if let Some(part) = text.split(',').map(str::trim).find(misspelt) {
        return Err(TelemetryError::Filter { place, why: format!("`{part}` is not a level") });
    }
    EnvFilter::from_str(&text).map_err(|error| TelemetryError::Filter { place, why: error.to_string() })
}

/// The layer that writes events. It takes no part in spans, so that without traces there are none; which trace a line
/// belongs to, `ids` says.
pub(super) fn layer<S, W>(filter: EnvFilter, style: Style, ids: TraceIds, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let cap = Targets::new().with_default(LevelFilter::INFO).with_target(OWN_TARGET, LevelFilter::TRACE);
    let events = filter_fn(|metadata: &Metadata<'_>| !metadata.is_span()).with_max_level_hint(LevelFilter::TRACE);
    let filter = filter.and(cap).and(events);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match style {
        Style::Json => {
            let format = format().json().with_current_span(false).with_span_list(false);
            let lines = lines.fmt_fields(JsonFields::new());
            lines.event_format(Stamped { format, ids, stamp: Stamp::Json }).with_filter(filter).boxed()
        }
        Style::Plain | Style::Coloured => {
            let coloured = style == Style::Coloured;
            let format = format().with_ansi(coloured);
            let lines = lines.with_ansi(coloured);
            lines.event_format(Stamped { format, ids, stamp: Stamp::Text }).with_filter(filter).boxed()
        }
    }
}

/// From now on a panic is a line in the log, with its place but without its text: the standard library puts the
/// value at hand into some of them (a string that was cut in the wrong place, an error that was unwrapped).
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        tracing::error!(thread, "panicked at {place}");
    }));
}
