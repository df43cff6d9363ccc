//! What a collector receives, and what it costs when there is none.

use std::time::{Duration, Instant};

use coatcheck::telemetry::TelemetryError;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tonic::metadata::MetadataMap;

use crate::collector::{Collector, attribute};
use crate::{config, stage};

const CHECK: &str = "envoy.service.auth.v3.Authorization/Check";
const ENVOY: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ENVOY_UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const BROWSER: &str = "00-11111111111111111111111111111111-2222222222222222-01";

fn metadata(traceparent: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("traceparent", traceparent.parse().unwrap());
    metadata.insert("tracestate", "".parse().unwrap());
    metadata
}

#[test]
fn a_check_is_a_child_of_envoys_own_span_not_of_the_browsers() {
    let collector = Collector::start();
    let stage = stage(&config(Some(&collector.endpoint)), &[]).unwrap();
    let span = stage.telemetry.tracing().check_span(&metadata(ENVOY), Some(BROWSER));
    span.in_scope(|| {
        drop(tracing::info_span!("redis load", otel.kind = "client", db.system.name = "redis"));
    });
    span.record("app", "shop");
    span.record("decision", "forward");
    drop(span);
    stage.telemetry.shutdown();

    let check = collector.span(CHECK);
    assert_eq!(hex(&check.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&check.parent_span_id), "b7ad6b7169203331");
    assert_eq!(check.kind, SpanKind::Server as i32);
    assert_eq!(attribute(&check, "app").as_deref(), Some("shop"));
    assert_eq!(attribute(&check, "decision").as_deref(), Some("forward"));
    assert_eq!(attribute(&check, "session.tag"), None);
    assert_eq!(attribute(&check, "rpc.system.name").as_deref(), Some("grpc"));
    assert_eq!(attribute(&check, "rpc.method").as_deref(), Some(CHECK));
    assert_eq!(attribute(&check, "rpc.response.status_code").as_deref(), Some("OK"));
    // This test's own target is not one of coatcheck's: only those are exported.
    assert_eq!(collector.spans().len(), 1);
    assert_eq!(collector.resource("service.name").as_deref(), Some("coatcheck"));
}

#[test]
fn the_clients_traceparent_counts_only_where_envoy_does_not_trace() {
    let collector = Collector::start();
    let stage = stage(&config(Some(&collector.endpoint)), &[]).unwrap();
    drop(stage.telemetry.tracing().check_span(&MetadataMap::new(), Some(BROWSER)));
    stage.telemetry.shutdown();
    assert_eq!(hex(&collector.span(CHECK).parent_span_id), "2222222222222222");
}

#[test]
fn a_request_that_envoy_does_not_sample_makes_no_span_at_all() {
    let collector = Collector::start();
    let stage = stage(&config(Some(&collector.endpoint)), &[]).unwrap();
    let tracing = stage.telemetry.tracing();
    let span = tracing.check_span(&metadata(ENVOY_UNSAMPLED), Some(BROWSER));
    assert!(span.is_none());
    span.in_scope(|| {
        assert!(tracing.current().is_none());
        let call = tracing::info_span!(target: "coatcheck::store", "redis load", otel.kind = "client");
        assert!(call.is_disabled(), "a call inside must not become a trace of its own");
        assert!(tracing.refresh_span("main").is_none());
    });
    stage.telemetry.shutdown();
    assert!(collector.spans().is_empty());
}

#[test]
fn without_an_endpoint_not_even_a_sampled_request_makes_a_span() {
    let stage = stage(&config(None), &[("RUST_LOG", "trace")]).unwrap();
    assert!(stage.telemetry.tracing().check_span(&metadata(ENVOY), None).is_none());
    assert!(tracing::error_span!(target: "coatcheck::store", "redis load").is_disabled());
}

#[test]
fn calls_inside_a_check_are_its_children_and_a_refresh_does_not_keep_it_open() {
    let collector = Collector::start();
    let stage = stage(&config(Some(&collector.endpoint)), &[]).unwrap();
    let tracing = stage.telemetry.tracing();
    let check = tracing.check_span(&metadata(ENVOY), None);
    let refresh = check.in_scope(|| {
        drop(tracing::info_span!(target: "coatcheck::store::observed", "store", otel.name = "redis load"));
        tracing.refresh_span("main")
    });
    drop(check);
    let ended = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    refresh.in_scope(|| drop(tracing::info_span!(target: "coatcheck::oidc", "token")));
    drop(refresh);
    stage.telemetry.shutdown();

    let check = collector.span(CHECK);
    assert!(u128::from(check.end_time_unix_nano) <= ended);
    for (name, parent) in [("redis load", CHECK), ("refresh", CHECK), ("token", "refresh")] {
        let span = collector.span(name);
        assert_eq!(span.parent_span_id, collector.span(parent).span_id, "{name}");
        assert_eq!(span.trace_id, check.trace_id, "{name}");
    }
}

#[test]
fn a_route_span_names_the_route_never_the_url() {
    let collector = Collector::start();
    let stage = stage(&config(Some(&collector.endpoint)), &[]).unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", ENVOY.parse().unwrap());
    headers.insert("x-forwarded-proto", "https".parse().unwrap());
    drop(stage.telemetry.tracing().route_span(&headers, &http::Method::GET, "/auth/callback"));
    stage.telemetry.shutdown();
    let span = collector.span("GET /auth/callback");
    assert_eq!(hex(&span.parent_span_id), "b7ad6b7169203331");
    for (key, value) in [("http.route", "/auth/callback"), ("url.path", "/auth/callback"), ("url.scheme", "https")] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
}

#[test]
fn the_standard_variables_are_honoured() {
    let collector = Collector::start();
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_SERVICE_NAME", "door"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=caf%C3%A9"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let stage = stage(&config(None), &env).unwrap();
    drop(stage.telemetry.tracing().check_span(&metadata(ENVOY_UNSAMPLED), None));
    stage.telemetry.shutdown();
    assert_eq!(hex(&collector.span(CHECK).parent_span_id), "b7ad6b7169203331");
    assert_eq!(collector.resource("service.name").as_deref(), Some("door"));
    assert_eq!(collector.resource("deployment.environment.name").as_deref(), Some("café"));
    assert_eq!(collector.resource("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_sdk_can_be_disabled() {
    for env in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let stage = stage(&config(Some("http://127.0.0.1:1")), &[env]).unwrap();
        assert!(stage.telemetry.tracing().check_span(&metadata(ENVOY), None).is_none());
    }
}

#[test]
fn settings_that_could_never_work_fail_the_start() {
    let cases = [
        (Some("collector:4317"), vec![], "telemetry.otlp_endpoint"),
        (Some("https://collector:4317"), vec![], "telemetry.otlp_endpoint"),
        (None, vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://")], "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (None, vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:canary@h")], "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (
            None,
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
    ];
    for (endpoint, env, expected) in cases {
        let error = stage(&config(endpoint), &env).err().unwrap();
        assert!(matches!(error, TelemetryError::Setting { place, .. } if place == expected), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

/// Also on a runtime with one thread, where a naive exporter deadlocks at the end.
#[tokio::test]
async fn a_collector_that_is_down_or_silent_delays_nothing_and_the_end_is_bounded() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for endpoint in ["http://127.0.0.1:1", silent.as_str()] {
        let stage = stage(&config(Some(endpoint)), &[]).unwrap();
        let tracing = stage.telemetry.tracing();
        let before = Instant::now();
        // More than the queue holds: what does not fit is dropped. Waiting for the collector would take 10 s.
        for _ in 0..5_000 {
            drop(tracing.check_span(&metadata(ENVOY), None));
        }
        assert!(before.elapsed() < Duration::from_secs(8), "{endpoint}: {:?}", before.elapsed());
        let before = Instant::now();
        stage.telemetry.shutdown();
        assert!(before.elapsed() < Duration::from_secs(3), "{endpoint}: {:?}", before.elapsed());
    }
}

#[tokio::test]
async fn the_exporter_needs_nothing_of_a_runtime_with_one_thread() {
    let collector = Collector::start();
    let stage = stage(&config(Some(&collector.endpoint)), &[]).unwrap();
    drop(stage.telemetry.tracing().check_span(&metadata(ENVOY), None));
    stage.telemetry.shutdown();
    assert_eq!(collector.spans().len(), 1, "and its own calls are not traced in turn");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
