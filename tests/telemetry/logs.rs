//! What stands in the log, and what never does.

use coatcheck::config::LogFormat;
use coatcheck::telemetry::TelemetryError;
use coatcheck::telemetry::logs::Style;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;

use tonic::metadata::MetadataMap;

use crate::collector::Collector;
use crate::{config, stage, stage_in};

const BROWSER: &str = "00-11111111111111111111111111111111-2222222222222222-01";
const CANARY: &str = "canary-9c1f-cookie-value";

#[test]
fn a_log_line_is_one_json_object_with_level_message_fields_and_target() {
    let stage = stage(&config(None), &[]).unwrap();
    let span = tracing::info_span!(target: "coatcheck::test", "outer", hidden = CANARY);
    span.in_scope(|| {
        tracing::info!(target: "coatcheck::app", listener = "grpc", address = "127.0.0.1:41237", "listening");
    });
    let text = stage.lines.text();
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], "coatcheck::app");
    assert_eq!(line["fields"]["message"], "listening");
    assert_eq!(line["fields"]["listener"], "grpc");
    assert_eq!(line["fields"]["address"], "127.0.0.1:41237");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    let mut keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["fields", "level", "target", "timestamp"], "spans never show up in log lines");
}

#[test]
fn a_line_inside_a_traced_request_names_its_trace_and_span() {
    let collector = Collector::start();
    for style in [Style::Json, Style::Plain, Style::Coloured] {
        let stage = stage_in(style, &config(Some(&collector.endpoint)), &[]).unwrap();
        let check = stage.telemetry.tracing().check_span(&MetadataMap::new(), Some(BROWSER));
        check.in_scope(|| tracing::info!(target: "coatcheck::check", reason = "csrf", "a request was refused"));
        tracing::info!(target: "coatcheck::app", "no request");
        check.record("app", "shop");
        drop(check);
        stage.telemetry.shutdown();
        let text = stage.lines.text();
        let [inside, outside] = text.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(!outside.contains("trace_id"), "{outside}");
        let spans = collector.spans();
        let check = spans.last().unwrap();
        let span_id = check.span_id.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(crate::collector::attribute(check, "app").as_deref(), Some("shop"), "a line changes no span");
        if style == Style::Json {
            let line: serde_json::Value = serde_json::from_str(inside).unwrap();
            assert_eq!(line["trace_id"], "11111111111111111111111111111111");
            assert_eq!(line["span_id"], span_id.as_str());
            assert_eq!(line["fields"]["reason"], "csrf");
        } else {
            let end = format!(" trace_id=11111111111111111111111111111111 span_id={span_id}");
            assert!(inside.ends_with(&end), "{inside}");
            assert_eq!(inside.contains('\u{1b}'), style == Style::Coloured, "{inside:?}");
        }
    }
}

#[test]
fn a_line_of_a_request_that_is_not_sampled_names_no_trace() {
    let stage = stage(&config(Some("http://127.0.0.1:1")), &[]).unwrap();
    let unsampled = BROWSER.replace("-01", "-00");
    let check = stage.telemetry.tracing().check_span(&MetadataMap::new(), Some(&unsampled));
    check.in_scope(|| tracing::info!(target: "coatcheck::check", "a request was refused"));
    assert!(!stage.lines.text().contains("trace_id"));
}

#[test]
fn rust_log_goes_before_the_configured_level() {
    let quiet = stage(&config(None), &[("RUST_LOG", "warn")]).unwrap();
    tracing::info!(target: "coatcheck::app", "unheard");
    tracing::warn!(target: "coatcheck::app", "heard");
    assert!(!quiet.lines.text().contains("unheard") && quiet.lines.text().contains("heard"));
}

#[test]
fn dependencies_stay_at_info_whatever_rust_log_asks_for() {
    for filter in ["trace", "debug", "h2=trace,hyper=trace,tonic=trace,reqwest=debug,redis=trace,rustls=trace,info"] {
        let stage = stage(&config(None), &[("RUST_LOG", filter)]).unwrap();
        tracing::trace!(target: "h2::codec::framed_read", "received frame {CANARY}");
        tracing::debug!(target: "hyper::proto::h1::io", cookie = CANARY);
        tracing::debug!(target: "tonic::transport", authorization = CANARY);
        tracing::trace!(target: "reqwest::connect", "{CANARY}");
        tracing::trace!(target: "redis::aio", command = CANARY);
        tracing::debug!(target: "rustls::client", "{CANARY}");
        tracing::debug!(target: "some_crate_of_tomorrow", "{CANARY}");
        tracing::info!(target: "h2::client", "an info line of a dependency");
        let text = stage.lines.text();
        assert!(!text.contains(CANARY), "{filter}: {text}");
        assert!(text.contains("an info line of a dependency"), "{filter}: {text}");
    }
}

#[test]
fn our_own_targets_can_be_as_verbose_as_asked() {
    let stage = stage(&config(None), &[("RUST_LOG", "coatcheck=trace")]).unwrap();
    tracing::trace!(target: "coatcheck::refresh", "a detail");
    assert!(stage.lines.text().contains("a detail"));
}

/// The real libraries at work: a gRPC call whose metadata carries a secret, over tonic, hyper, h2 and tower.
#[tokio::test]
async fn a_real_grpc_call_at_trace_level_leaves_no_header_in_the_log() {
    let stage = stage(&config(None), &[("RUST_LOG", "trace")]).unwrap();
    let collector = Collector::start();
    let mut client = TraceServiceClient::connect(collector.endpoint.clone()).await.unwrap();
    let mut request = tonic::Request::new(ExportTraceServiceRequest::default());
    request.metadata_mut().insert("cookie", CANARY.parse().unwrap());
    client.export(request).await.unwrap();
    tracing::trace!(target: "coatcheck::test", "the log is on");
    let text = stage.lines.text();
    assert!(text.contains("the log is on"));
    assert!(!text.contains(CANARY) && !text.contains("h2::"), "{text}");
}

#[test]
fn a_filter_that_cannot_be_read_fails_the_start_and_says_where_it_stands() {
    let error = stage(&config(None), &[("RUST_LOG", "coatcheck=loud")]).err().unwrap();
    assert!(matches!(error, TelemetryError::Filter { place: "RUST_LOG", .. }), "{error}");
    let mut config = config(None);
    config.log_level = "inof".to_owned();
    let error = stage(&config, &[]).err().unwrap();
    assert!(matches!(error, TelemetryError::Filter { place: "telemetry.log_level", .. }), "{error}");
}

#[test]
fn people_at_a_terminal_get_lines_and_machines_get_json() {
    let none = |_: &str| None;
    let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
    assert_eq!(Style::choose(None, true, &none), Style::Coloured);
    assert_eq!(Style::choose(None, true, &no_color), Style::Plain);
    assert_eq!(Style::choose(None, false, &none), Style::Json);
    assert_eq!(Style::choose(Some(LogFormat::Human), false, &none), Style::Plain);
    assert_eq!(Style::choose(Some(LogFormat::Json), true, &none), Style::Json);
}
