//! Trace context: whose child a request's span is, and whether there is one at all.
//!
//! Envoy puts the context of its own ext_authz span into the gRPC metadata; the `traceparent` inside the
//! `CheckRequest` is the client's original one, and counts only where Envoy does not trace. Baggage is never read
//! and nothing is ever put on calls to providers: they are third parties.

use std::str::FromStr;
use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tonic::metadata::MetadataMap;
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::sampler::Sampler;

/// A longer `tracestate` is not read: 512 characters are to be passed on (W3C Trace Context §3.3.1.5), a client may send
/// what it likes, and every span would carry it.
const MAX_STATE: usize = 8192;

/// The target of spans that may stand at the top of a trace. All others need a recorded span around them.
pub(super) const ROOT_TARGET: &str = "coatcheck::request";

/// Makes the spans of requests; makes none when traces are off or a request is not sampled. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tracing {
    sampler: Option<Arc<Sampler>>,
}

impl Tracing {
    /// Traces nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self { sampler: None }
    }

    /// Traces what the sampler takes.
    pub(super) fn on(sampler: Arc<Sampler>) -> Self {
        Self { sampler: Some(sampler) }
    }

    /// The server span of a check. `header_traceparent` is the `CheckRequest`'s own header. Fields to record later:
    /// `app`, `decision`, `reason`, `session.tag`, and `error.type` of a check that was put off.
    #[must_use]
    pub fn check_span(&self, metadata: &MetadataMap, header_traceparent: Option<&str>) -> Span {
        let Some(sampler) = &self.sampler else {
            return Span::none();
        };
        let own = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        let parent = match own("traceparent") {
            Some(traceparent) => parse(traceparent, own("tracestate")),
            None => header_traceparent.and_then(|traceparent| parse(traceparent, None)),
        };
        if !sampler.samples(parent.as_ref()) {
            return Span::none();
        }
        let span = info_span!(
            target: ROOT_TARGET,
            parent: None,
            "envoy.service.auth.v3.Authorization/Check",
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = "envoy.service.auth.v3.Authorization/Check",
            // A denial is an answer: no check ever ends in another gRPC status.
            rpc.response.status_code = "OK",
            error.r#type = Empty,
            app = Empty,
            decision = Empty,
            reason = Empty,
            session.tag = Empty,
        );
        adopt(&span, parent);
        span
    }

    /// The server span of one of our own HTTP routes. `route` is the route's pattern, never the URL: the query of a
    /// callback holds the code; our routes have no parameters, so it is the path too. Fields to record later: `app`,
    /// `http.response.status_code`, `session.tag`, and `error.type` of a failure.
    #[must_use]
    pub fn route_span(&self, headers: &http::HeaderMap, method: &http::Method, route: &str) -> Span {
        let Some(sampler) = &self.sampler else {
            return Span::none();
        };
        let own = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let parent = own("traceparent").and_then(|traceparent| parse(traceparent, own("tracestate")));
        if !sampler.samples(parent.as_ref()) {
            return Span::none();
        }
        let span = info_span!(
            target: ROOT_TARGET,
            parent: None,
            "route",
            otel.name = format!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = %method,
            http.route = route,
            http.response.status_code = Empty,
            url.path = route,
            url.scheme = scheme(headers),
            error.r#type = Empty,
            app = Empty,
            session.tag = Empty,
        );
        adopt(&span, parent);
        span
    }

    /// The span of a refresh, which may outlive the check that began it: in the trace it is the check's child, but it
    /// does not keep the check's span open. None when the check is not traced. Field to record later: `outcome`.
    #[must_use]
    pub fn refresh_span(&self, provider: &str) -> Span {
        let current = self.current();
        if current.is_none() {
            return current;
        }
        let span = info_span!(target: ROOT_TARGET, parent: None, "refresh", otel.status_code = Empty, provider, outcome = Empty, session.tag = Empty);
        // Fails only for a span that has begun; this one has not.
        let _ = span.set_parent(current.context());
        span
    }

    /// The recorded span around the caller, if there is one.
    #[must_use]
    pub fn current(&self) -> Span {
        if self.sampler.is_some() { Span::current() } else { Span::none() }
    }
}

/// Whether the browser's side of the proxy speaks TLS.
fn scheme(headers: &http::HeaderMap) -> &'static str {
    if headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https") { "https" } else { "http" }
}

/// Makes the span a child of a remote parent.
fn adopt(span: &Span, parent: Option<SpanContext>) {
    if let Some(parent) = parent {
        // Fails only for a span that has begun; this one has not.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Reads `traceparent` (W3C Trace Context §3.2) and `tracestate`. A bad `traceparent` is none; a bad, empty or
/// overlong `tracestate` does not spoil a good `traceparent`.
fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let mut parts = traceparent.trim().splitn(5, '-');
    let version = hex::<2>(parts.next()?)?;
    let trace_id = hex::<32>(parts.next()?)?;
    let span_id = hex::<16>(parts.next()?)?;
    let flags = hex::<2>(parts.next()?)?;
    // Version ff is forbidden; version 00 ends here, later ones may go on.
    if version == 0xff || (version == 0 && parts.next().is_some()) || trace_id == 0 || span_id == 0 {
        return None;
    }
    let flags = if flags & 1 == 1 { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let state = tracestate.filter(|state| state.len() <= MAX_STATE);
    let state = state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    let span_id = SpanId::from(u64::try_from(span_id).ok()?);
    Some(SpanContext::new(TraceId::from(trace_id), span_id, flags, true, state))
}

/// Exactly `N` lower-case hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<u128> {
    let digits = text.len() == N && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_good_traceparent_is_read() {
        let parent = parse(GOOD, Some("a=1,b=2")).unwrap();
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span_id().to_string(), "b7ad6b7169203331");
        assert!(parent.is_sampled() && parent.is_remote());
        assert_eq!(parent.trace_state().get("b"), Some("2"));
    }

    #[test]
    fn an_empty_or_bad_tracestate_does_not_matter() {
        for state in ["", " ", "nonsense", "=,="] {
            assert!(parse(GOOD, Some(state)).unwrap().is_sampled(), "{state:?}");
        }
    }

    #[test]
    fn a_tracestate_is_read_up_to_its_limit() {
        let members: Vec<String> = (0..32).map(|number| format!("k{number:02}={}", "x".repeat(251))).collect();
        let longest = members.join(",") + "x";
        assert_eq!(longest.len(), MAX_STATE);
        assert_eq!(parse(GOOD, Some(&longest)).unwrap().trace_state().get("k00").map(str::len), Some(251));
        let parent = parse(GOOD, Some(&(longest + "x"))).unwrap();
        assert!(parent.is_sampled() && parent.trace_state().get("k00").is_none());
    }

    #[test]
    fn a_later_version_may_be_longer_but_version_0_may_not() {
        assert!(parse(&format!("01{}-more", GOOD.trim_start_matches("00")), None).is_some());
        assert!(parse(&format!("{GOOD}-more"), None).is_none());
        assert!(parse(&GOOD.replacen("00-", "ff-", 1), None).is_none());
        assert!(parse(&GOOD.to_uppercase(), None).is_none());
        assert!(parse(&GOOD.replace("b7ad6b7169203331", "0000000000000000"), None).is_none());
    }

    #[test]
    fn without_traces_there_is_no_span() {
        let span = Tracing::off().check_span(&MetadataMap::new(), Some(GOOD));
        assert!(span.is_none() && Tracing::off().current().is_none());
    }

    proptest! {
        #[test]
        fn whatever_the_sdk_reads_we_read_alike(trace in 1_u128.., span in 1_u64.., flags in 0_u8..4) {
            let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
            let carrier = HashMap::from([("traceparent".to_owned(), text.clone())]);
            let theirs = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
            let theirs = theirs.span().span_context().clone();
            let ours = parse(&text, None).unwrap();
            prop_assert_eq!(ours.trace_id(), theirs.trace_id());
            prop_assert_eq!(ours.span_id(), theirs.span_id());
            prop_assert_eq!(ours.is_sampled(), theirs.is_sampled());
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,80}") {
            let _ = parse(&text, Some(&text));
        }
    }
}
