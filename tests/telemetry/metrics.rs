//! Metrics on their way to a collector.

use std::time::{Duration, Instant};

use coatcheck::telemetry::TelemetryError;
use coatcheck::telemetry::metrics::Metrics;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric};

use crate::collector::{Collector, text};
use crate::{config, stage};

/// Sends what is there once: at the end.
fn send(endpoint: Option<&str>, env: &[(&str, &str)], metrics: &Metrics) {
    let mut stage = stage(&config(endpoint), env).unwrap();
    stage.telemetry.push(metrics).unwrap();
    stage.telemetry.shutdown();
}

fn of(metrics: &[Metric], name: &str) -> Metric {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

#[test]
fn the_numbers_of_the_metrics_page_reach_the_collector_under_the_names_of_the_conventions() {
    let collector = Collector::start();
    let metrics = Metrics::new();
    metrics.decision("shop", "login", "no_session").increment(7);
    metrics.store_duration("load", "redis", "unavailable").record(0.3);
    metrics.ready().set(1.0);
    let env = [("OTEL_SERVICE_NAME", "door"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b")];
    send(Some(&collector.endpoint), &env, &metrics);

    let batches = collector.metrics();
    let [(resource, sent)] = batches.as_slice() else { panic!("{} batches", batches.len()) };
    assert_eq!(text(&resource.attributes, "service.name").as_deref(), Some("door"));
    assert_eq!(collector.header("x-key").as_deref(), Some("a b"));
    let Some(Data::Sum(decisions)) = of(sent, "coatcheck.decisions").data else { panic!("no sum") };
    let [point] = decisions.data_points.as_slice() else { panic!("one app, one reason") };
    assert_eq!(point.value, Some(Value::AsInt(7)));
    assert_eq!(text(&point.attributes, "app").as_deref(), Some("shop"));
    assert_eq!(text(&point.attributes, "reason").as_deref(), Some("no_session"));
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano <= point.time_unix_nano);
    let store = of(sent, "db.client.operation.duration");
    assert_eq!(store.unit, "s");
    let Some(Data::Histogram(store)) = store.data else { panic!("no histogram") };
    assert_eq!(store.aggregation_temporality, AggregationTemporality::Cumulative as i32);
    let [point] = store.data_points.as_slice() else { panic!("one operation") };
    assert_eq!((point.count, point.sum), (1, Some(0.3)));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    for (key, value) in [("db.operation.name", "load"), ("db.system.name", "redis"), ("error.type", "unavailable")] {
        assert_eq!(text(&point.attributes, key).as_deref(), Some(value), "{key}");
    }
    let Some(Data::Gauge(ready)) = of(sent, "coatcheck.ready").data else { panic!("no gauge") };
    assert_eq!(ready.data_points[0].value, Some(Value::AsDouble(1.0)));
}

#[test]
fn metrics_are_sent_again_and_again() {
    let collector = Collector::start();
    let mut stage = stage(&config(Some(&collector.endpoint)), &[("OTEL_METRIC_EXPORT_INTERVAL", "20")]).unwrap();
    stage.telemetry.push(&Metrics::new()).unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while collector.metrics().len() < 3 {
        assert!(Instant::now() < patience, "{} batches", collector.metrics().len());
        std::thread::yield_now();
    }
    stage.telemetry.shutdown();
}

#[test]
fn metrics_can_go_elsewhere_or_nowhere() {
    let (traces, metrics) = (Collector::start(), Collector::start());
    let endpoints = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", traces.endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", metrics.endpoint.as_str()),
    ];
    send(None, &endpoints, &Metrics::new());
    assert_eq!((traces.metrics().len(), metrics.metrics().len()), (0, 1));
    for off in
        [("OTEL_METRICS_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "prometheus"), ("OTEL_SDK_DISABLED", "true")]
    {
        send(Some(&traces.endpoint), &[off], &Metrics::new());
        assert_eq!(traces.metrics().len(), 0, "{off:?}");
    }
    send(Some(&traces.endpoint), &[("OTEL_METRICS_EXPORTER", "otlp,prometheus")], &Metrics::new());
    assert_eq!(traces.metrics().len(), 1);
}

#[test]
fn settings_that_could_never_work_fail_the_start_and_say_no_secret() {
    let cases = [
        ("OTEL_METRICS_EXPORTER", "console"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1m"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "bad name=canary"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x=canary%zz"),
    ];
    for (place, value) in cases {
        let error = stage(&config(Some("http://127.0.0.1:1")), &[(place, value)]).err().unwrap();
        assert!(matches!(error, TelemetryError::Setting { place: told, .. } if told == place), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let env =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf")];
    let error = stage(&config(None), &env).err().unwrap();
    assert!(error.to_string().starts_with("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"), "{error}");
}

#[test]
fn a_collector_that_is_down_or_silent_does_not_hold_up_the_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for endpoint in ["http://127.0.0.1:1", silent.as_str()] {
        let before = Instant::now();
        send(Some(endpoint), &[], &Metrics::new());
        assert!(before.elapsed() < Duration::from_secs(4), "{endpoint}: {:?}", before.elapsed());
    }
}
