//! `docs/observability.md` tells the truth about names.

use std::collections::BTreeSet;

use coatcheck::core::verdict::Reason;
use coatcheck::telemetry::metrics;

const PAGE: &str = include_str!("../../docs/observability.md");

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let words = PAGE.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
    let documented: BTreeSet<&str> = words.filter(|word| word.starts_with("coatcheck_")).collect();
    let existing: BTreeSet<&str> = metrics::names().collect();
    assert_eq!(documented, existing);
}

#[test]
fn every_reason_and_decision_is_documented() {
    for reason in Reason::ALL {
        for word in [reason.as_str(), reason.decision()] {
            assert!(PAGE.contains(&format!("`{word}`")), "{word}");
        }
    }
}
