//! The numbers as OTLP messages.

use std::sync::atomic::Ordering;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

use super::names::{Definition, Kind};
use super::registry::{BOUNDS, Cell, Family, Registry};
use crate::core::time::Timestamp;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// When the numbers began to rise, and when they were read, in nanoseconds.
#[derive(Clone, Copy)]
struct Span {
    began: u64,
    now: u64,
}

/// Metrics that have no series yet are left out.
pub(super) fn collect(registry: &Registry, now: Timestamp) -> Vec<Metric> {
    let nanoseconds = |at: Timestamp| at.millis().saturating_mul(1_000_000);
    let span = Span { began: nanoseconds(registry.began), now: nanoseconds(now) };
    registry.families().filter_map(|family| metric(family, span)).collect()
}

fn metric(family: &Family, span: Span) -> Option<Metric> {
    let definition = family.definition;
    let mut numbers = Vec::new();
    let mut histograms = Vec::new();
    for (values, cell) in family.series().iter() {
        let attributes = attributes(definition, values);
        match cell {
            Cell::Counter(cell) => {
                let count = i64::try_from(cell.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
                numbers.push(number(attributes, Value::AsInt(count), span));
            }
            Cell::Gauge(cell) => {
                let level = f64::from_bits(cell.load(Ordering::Relaxed));
                numbers.push(number(attributes, Value::AsDouble(level), span));
            }
            Cell::Seconds(cell) => histograms.push(histogram(attributes, &cell.read(), span)),
        }
    }
    if numbers.is_empty() && histograms.is_empty() {
        return None;
    }
    let data = match definition.kind {
        Kind::Counter => {
            Data::Sum(Sum { data_points: numbers, aggregation_temporality: CUMULATIVE, is_monotonic: true })
        }
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers }),
        Kind::Seconds => Data::Histogram(Histogram { data_points: histograms, aggregation_temporality: CUMULATIVE }),
    };
    Some(Metric {
        name: definition.otlp.to_owned(),
        description: definition.help.to_owned(),
        unit: definition.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn number(attributes: Vec<KeyValue>, value: Value, span: Span) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: span.began,
        time_unix_nano: span.now,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn histogram(attributes: Vec<KeyValue>, reading: &super::registry::Reading, span: Span) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: span.began,
        time_unix_nano: span.now,
        count: reading.count(),
        sum: Some(reading.sum),
        bucket_counts: reading.buckets.to_vec(),
        explicit_bounds: BOUNDS.to_vec(),
        ..HistogramDataPoint::default()
    }
}

/// What does not apply to a series (no error, no status) is not there at all.
fn attributes(definition: &Definition, values: &[String]) -> Vec<KeyValue> {
    let constants = definition.constants.iter().map(|(key, value)| attribute(key, text(value)));
    let labels = definition.labels.iter().zip(values).filter_map(|(label, value)| {
        let value = match (label.number, value.parse()) {
            (true, Ok(number)) => any_value::Value::IntValue(number),
            _ if label.name.is_none() && value.is_empty() => return None,
            (true, Err(_)) | (false, _) => text(value),
        };
        Some(attribute(label.attribute, value))
    });
    constants.chain(labels).collect()
}

fn text(value: &str) -> any_value::Value {
    any_value::Value::StringValue(value.to_owned())
}

/// A key and its value.
pub(in crate::telemetry) fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
