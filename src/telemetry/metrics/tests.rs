//! What is counted is what is shown and sent, under both names.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::*;

/// Every method once: a metric that is not in the list, or with other labels there, would count nothing.
fn all_counted() -> Metrics {
    let metrics = Metrics::new();
    metrics.decision("shop", "forward", "session").increment(3);
    metrics.check_duration().record(0.002);
    metrics.refreshed("main", "refreshed");
    metrics.store_duration("load", "redis", "").record(0.000_1);
    metrics.store_duration("load", "redis", "unavailable").record(0.5);
    metrics.store_error("load").increment(1);
    let call = ProviderCall {
        provider: "main",
        endpoint: "token",
        method: "POST",
        address: "id.example.com",
        port: "443",
        status: "",
        error: "timeout",
    };
    metrics.provider_call(call, Duration::from_secs(11));
    metrics.provider_call(ProviderCall { status: "200", error: "", ..call }, Duration::from_millis(40));
    metrics.provider_error("main", "token", "timeout");
    metrics.login("shop", "signed_in");
    metrics.logout("shop");
    metrics.ticket_refused("malformed");
    metrics.record_unreadable();
    metrics.bind_mismatch("shop");
    metrics.ready().set(1.0);
    metrics.config_reload("applied").increment(1);
    metrics.config_successful().set(1.0);
    metrics.config_success_time().set(1_763_762_400.0);
    metrics
}

#[test]
fn every_metric_counts_in_both_formats() {
    let metrics = all_counted();
    let (text, sent) = (metrics.render(), metrics.collect());
    assert_eq!(sent.len(), definitions().len());
    for definition in definitions() {
        let shown = text.lines().any(|line| line.starts_with(definition.name) && !line.ends_with(" 0"));
        assert!(shown, "{} in {text}", definition.name);
        let sent = sent.iter().find(|metric| metric.name == definition.otlp).unwrap();
        assert_eq!((sent.unit.as_str(), sent.description.as_str()), (definition.unit, definition.help));
        let points = match sent.data.as_ref().unwrap() {
            Data::Sum(sum) => sum.data_points.len(),
            Data::Gauge(gauge) => gauge.data_points.len(),
            Data::Histogram(histogram) => histogram.data_points.len(),
            Data::ExponentialHistogram(_) | Data::Summary(_) => 0,
        };
        assert!(points > 0, "{}", definition.otlp);
    }
}

#[test]
fn what_only_otlp_is_told_is_summed_up_in_the_text() {
    let text = all_counted().render();
    for line in [
        "coatcheck_decisions_total{app=\"shop\",decision=\"forward\",reason=\"session\"} 3",
        "# TYPE coatcheck_store_duration_seconds histogram",
        "coatcheck_store_duration_seconds_bucket{operation=\"load\",le=\"0.0001\"} 1",
        "coatcheck_store_duration_seconds_bucket{operation=\"load\",le=\"0.25\"} 1",
        "coatcheck_store_duration_seconds_bucket{operation=\"load\",le=\"+Inf\"} 2",
        "coatcheck_store_duration_seconds_sum{operation=\"load\"} 0.5001",
        "coatcheck_store_duration_seconds_count{operation=\"load\"} 2",
        "coatcheck_provider_duration_seconds_bucket{provider=\"main\",endpoint=\"token\",le=\"10\"} 1",
        "coatcheck_provider_duration_seconds_count{provider=\"main\",endpoint=\"token\"} 2",
        "coatcheck_check_duration_seconds_bucket{le=\"0.0025\"} 1",
        "coatcheck_check_duration_seconds_count 1",
        "coatcheck_ready 1",
        "coatcheck_config_last_reload_success_timestamp_seconds 1763762400",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
}

#[test]
fn a_series_that_is_asked_for_again_goes_on() {
    let metrics = Metrics::new();
    metrics.decision("shop", "forward", "session").increment(1);
    metrics.clone().decision("shop", "forward", "session").increment(1);
    assert!(metrics.render().contains("reason=\"session\"} 2\n"));
    let sent = metrics.collect();
    let decisions = sent.iter().find(|metric| metric.name == "coatcheck.decisions").unwrap();
    assert!(matches!(&decisions.data, Some(Data::Sum(sum)) if sum.data_points.len() == 1 && sum.is_monotonic));
}

#[test]
fn errors_without_labels_are_seen_to_rise_from_0() {
    assert!(Metrics::new().render().contains("\ncoatcheck_records_unreadable_total 0\n"));
}

#[test]
fn a_configured_name_cannot_break_the_format() {
    let metrics = Metrics::new();
    metrics.logout("a\"b\\c\nd");
    assert!(metrics.render().contains("coatcheck_logouts_total{app=\"a\\\"b\\\\c\\nd\"} 1\n"));
}
