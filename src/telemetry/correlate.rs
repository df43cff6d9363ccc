//! Log lines of a traced request name its trace, so that one leads to the other.

use std::fmt;
use std::sync::{Arc, OnceLock};

use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::dispatcher::WeakDispatch;
use tracing::{Dispatch, Event, Subscriber, span};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Finds the trace of a span. Knows none until a subscriber that records traces has been registered.
#[derive(Debug, Clone, Default)]
pub(super) struct TraceIds(Arc<OnceLock<WeakDispatch>>);

impl TraceIds {
    /// Where spans are recorded. The first one counts: there is one subscriber per process.
    pub(super) fn register(&self, dispatch: &Dispatch) {
        // Set already is as good.
        let _ = self.0.set(dispatch.downgrade());
    }

    fn of(&self, current: Option<&span::Id>) -> Option<SpanContext> {
        let dispatch = self.0.get()?;
        let context = tracing_opentelemetry::get_otel_context(current?, &dispatch.upgrade()?)?;
        Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
    }
}

/// A format of log lines, with the ids of the current span at the end of the line.
pub(super) struct Stamped<F> {
    pub(super) format: F,
    pub(super) ids: TraceIds,
    /// How they are put there.
    pub(super) stamp: Stamp,
}

/// Where a line ends, and how fields are written there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stamp {
    /// Members of the line's object.
    Json,
    /// Fields as the others.
    Text,
}

impl<S, N, F> FormatEvent<S, N> for Stamped<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(span) = self.ids.of(context.current_span().id()) else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let (trace_id, span_id) = (span.trace_id(), span.span_id());
        match (self.stamp, line.trim_end().strip_suffix('}')) {
            (Stamp::Json, Some(open)) => {
                writeln!(writer, "{open},\"trace_id\":\"{trace_id}\",\"span_id\":\"{span_id}\"}}")
            }
            (Stamp::Json, None) => writer.write_str(&line),
            (Stamp::Text, _) => writeln!(writer, "{} trace_id={trace_id} span_id={span_id}", line.trim_end()),
        }
    }
}
