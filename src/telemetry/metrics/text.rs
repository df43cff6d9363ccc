//! The numbers in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::Ordering;

use super::names::{Definition, Kind};
use super::registry::{BOUNDS, Cell, Family, Reading, Registry};

/// A series as it is shown: those that differ only in what `/metrics` does not show are one.
enum Shown {
    Count(u64),
    Level(f64),
    Seconds(Reading),
}

/// Metrics that have no series yet are left out.
pub(super) fn render(registry: &Registry) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for family in registry.families() {
        // Writing to a String cannot fail.
        let _ = write_family(&mut text, family);
    }
    text
}

fn write_family(text: &mut String, family: &Family) -> fmt::Result {
    let definition = family.definition;
    let series = shown(family);
    if series.is_empty() {
        return Ok(());
    }
    let kind = match definition.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Seconds => "histogram",
    };
    let name = definition.name;
    writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", definition.help)?;
    for (labels, value) in series {
        match value {
            Shown::Count(count) => writeln!(text, "{name}{} {count}", Braced(&labels, None))?,
            Shown::Level(level) => writeln!(text, "{name}{} {level}", Braced(&labels, None))?,
            Shown::Seconds(reading) => write_histogram(text, name, &labels, &reading)?,
        }
    }
    writeln!(text)
}

fn write_histogram(text: &mut String, name: &str, labels: &str, reading: &Reading) -> fmt::Result {
    let mut below = 0;
    for (bound, count) in BOUNDS.iter().zip(reading.buckets) {
        below += count;
        writeln!(text, "{name}_bucket{} {below}", Braced(labels, Some(&bound.to_string())))?;
    }
    let count = reading.count();
    writeln!(text, "{name}_bucket{} {count}", Braced(labels, Some("+Inf")))?;
    writeln!(text, "{name}_sum{} {}", Braced(labels, None), reading.sum)?;
    writeln!(text, "{name}_count{} {count}", Braced(labels, None))
}

fn shown(family: &Family) -> BTreeMap<String, Shown> {
    let mut shown = BTreeMap::new();
    for (values, cell) in family.series().iter() {
        let labels = label_text(family.definition, values);
        let value = match cell {
            Cell::Counter(cell) => Shown::Count(cell.load(Ordering::Relaxed)),
            Cell::Gauge(cell) => Shown::Level(f64::from_bits(cell.load(Ordering::Relaxed))),
            Cell::Seconds(cell) => Shown::Seconds(cell.read()),
        };
        match (shown.get_mut(&labels), value) {
            (Some(Shown::Count(sum)), Shown::Count(more)) => *sum += more,
            (Some(Shown::Seconds(sum)), Shown::Seconds(more)) => sum.add(&more),
            (_, value) => {
                shown.insert(labels, value);
            }
        }
    }
    shown
}

/// `a="1",b="2"`.
fn label_text(definition: &Definition, values: &[String]) -> String {
    let pairs = definition.labels.iter().zip(values);
    let pairs = pairs.filter_map(|(label, value)| Some(format!("{}=\"{}\"", label.name?, escape(value))));
    pairs.collect::<Vec<_>>().join(",")
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Labels with the bound of a bucket, if there is one.
struct Braced<'a>(&'a str, Option<&'a str>);

impl fmt::Display for Braced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self("", None) => Ok(()),
            Self(labels, None) => write!(f, "{{{labels}}}"),
            Self("", Some(bound)) => write!(f, "{{le=\"{bound}\"}}"),
            Self(labels, Some(bound)) => write!(f, "{{{labels},le=\"{bound}\"}}"),
        }
    }
}
