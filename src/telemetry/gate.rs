//! Which spans exist: those that a collector gets, and no others.
//!
//! A filter of one layer would not do: `tracing-subscriber` still makes a span that all layers refuse when the
//! answer depends on the context, and a span that exists but is not recorded would look like a parent.
//!
//! It has to be the innermost layer, right above the registry: outside of layers with filters of their own, it would
//! turn every `never` of theirs into a `sometimes`, and each event of a dependency would be asked for again and again.

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::context::ROOT_TARGET;
use super::correlate::TraceIds;
use super::logs::OWN_TARGET;

/// Lets all events pass, and of the spans only our own: a request's, or those inside one.
#[derive(Debug, Clone)]
pub(super) enum Gate {
    /// No traces: no spans.
    Closed,
    /// Spans of requests that are sampled, and what happens inside them. Log lines learn here whose they are.
    Sampled(TraceIds),
}

impl Gate {
    /// Whether this span could pass at all.
    fn may_pass(&self, metadata: &Metadata<'_>) -> bool {
        match self {
            Self::Closed => false,
            Self::Sampled(_) => own(metadata),
        }
    }
}

impl<S> Layer<S> for Gate
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        if let Self::Sampled(ids) = self {
            ids.register(dispatch);
        }
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if !metadata.is_span() {
            Interest::always()
        } else if self.may_pass(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    /// It asks for nothing itself: what is worth making is for the layers to say. (`None` would mean everything, and
    /// every trace event of every dependency would be looked at.)
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    /// A store or provider call of a request that is not sampled is refused here, so that it cannot become a trace of
    /// its own.
    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        !metadata.is_span()
            || self.may_pass(metadata) && (metadata.target() == ROOT_TARGET || context.lookup_current().is_some())
    }
}

/// Whether a span or event is coatcheck's own and fit for a trace.
pub(super) fn own(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(OWN_TARGET) && *metadata.level() <= Level::INFO
}
