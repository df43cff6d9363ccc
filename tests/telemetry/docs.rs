//! `docs/observability.md` tells the truth about names.

use std::collections::BTreeSet;

use coatcheck::core::verdict::Reason;
use coatcheck::telemetry::metrics::{self, Kind};

const PAGE: &str = include_str!("../../docs/observability.md");

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let words = PAGE.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
    let documented: BTreeSet<&str> = words.filter(|word| word.starts_with("coatcheck_")).collect();
    let existing: BTreeSet<&str> = metrics::names().collect();
    assert_eq!(documented, existing);
}

/// The table of the page is the list in the code: both names, the labels that have another name in OTLP, the unit.
#[test]
fn the_table_of_metrics_says_what_each_is_called_in_otlp() {
    for metric in metrics::definitions() {
        let labels: Vec<String> =
            metric.labels.iter().filter_map(|label| label.name).map(|name| format!("`{name}`")).collect();
        let row = format!("| `{}` | {} | `{}` | `{}` |", metric.name, labels.join(", "), metric.otlp, metric.unit);
        let row = row.replace("|  |", "| |");
        assert!(PAGE.contains(&row), "{row}");
        let other =
            metric.labels.iter().filter(|label| label.name != Some(label.attribute)).map(|label| label.attribute);
        for attribute in other.chain(metric.constants.iter().map(|(key, _)| *key)) {
            let told =
                |line: &str| line.contains(&format!("`{}`", metric.otlp)) && line.contains(&format!("`{attribute}`"));
            assert!(PAGE.lines().any(told), "{} has an attribute {attribute}", metric.otlp);
        }
        assert!(metric.kind != Kind::Seconds || metric.name.ends_with("_seconds"), "{}", metric.name);
    }
}

#[test]
fn what_envoy_is_told_and_logs_is_documented() {
    for file in [include_str!("../../envoy/envoy.yaml"), include_str!("../../envoy/edge-tls.yaml")] {
        for key in ["app", "decision", "reason", "session", "subject"] {
            assert!(
                file.contains(&format!("{key}: \"%DYNAMIC_METADATA(envoy.filters.http.ext_authz:{key})%\"")),
                "{key}"
            );
            assert!(PAGE.contains(&format!("`{key}`")), "{key}");
        }
        assert!(file.contains("check_us: \"%FILTER_STATE(envoy.filters.http.ext_authz:FIELD:latency_us)%\""));
    }
}

#[test]
fn every_reason_and_decision_is_documented() {
    for reason in Reason::ALL {
        for word in [reason.as_str(), reason.decision()] {
            assert!(PAGE.contains(&format!("`{word}`")), "{word}");
        }
    }
}
