//! Where the numbers are. A series is made once: whoever asks for it again gets the same one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn};

use super::names::{DEFINITIONS, Definition, Kind};
use crate::core::time::Timestamp;

/// Buckets of latencies, in seconds: from a store on loopback to a slow provider.
pub(super) const BOUNDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// All series of all metrics.
pub(super) struct Registry {
    families: Vec<Family>,
    pub(super) began: Timestamp,
}

/// The series of one metric, by the values of their labels.
pub(super) struct Family {
    pub(super) definition: &'static Definition,
    series: Mutex<Series>,
}

pub(super) type Series = BTreeMap<Vec<String>, Cell>;

/// The number of one series.
#[derive(Clone)]
pub(super) enum Cell {
    Counter(Arc<AtomicU64>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Seconds(Arc<Durations>),
}

/// A histogram of durations. Its parts are read one by one: a reading may miss the latest call in one of them, never
/// for long.
#[derive(Default)]
pub(super) struct Durations {
    /// How many fell between a bound and the one before; the last: over all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// A histogram as it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    pub(super) sum: f64,
}

impl Registry {
    /// All metrics; what is counted without labels has its one series from the start, so that a first error is seen to
    /// rise from 0. A gauge says nothing before it was set.
    pub(super) fn new(began: Timestamp) -> Self {
        let families = DEFINITIONS.iter().map(|definition| Family { definition, series: Mutex::default() });
        let registry = Self { families: families.collect(), began };
        let counted = |definition: &Definition| definition.labels.is_empty() && definition.kind != Kind::Gauge;
        for family in registry.families().filter(|family| counted(family.definition)) {
            family.cell(&[]);
        }
        registry
    }

    pub(super) fn families(&self) -> impl Iterator<Item = &Family> {
        self.families.iter()
    }

    pub(super) fn counter(&self, name: &str, values: &[&str]) -> Counter {
        match self.cell(name, values) {
            Some(Cell::Counter(cell)) => Counter::from_arc(cell),
            Some(Cell::Gauge(_) | Cell::Seconds(_)) | None => Counter::noop(),
        }
    }

    pub(super) fn gauge(&self, name: &str, values: &[&str]) -> Gauge {
        match self.cell(name, values) {
            Some(Cell::Gauge(cell)) => Gauge::from_arc(cell),
            Some(Cell::Counter(_) | Cell::Seconds(_)) | None => Gauge::noop(),
        }
    }

    pub(super) fn histogram(&self, name: &str, values: &[&str]) -> Histogram {
        match self.cell(name, values) {
            Some(Cell::Seconds(cell)) => Histogram::from_arc(cell),
            Some(Cell::Counter(_) | Cell::Gauge(_)) | None => Histogram::noop(),
        }
    }

    /// `None`: not in the list, or with other labels than there. A test asks for each.
    fn cell(&self, name: &str, values: &[&str]) -> Option<Cell> {
        let family = self.families().find(|family| family.definition.name == name)?;
        (family.definition.labels.len() == values.len()).then(|| family.cell(values))
    }
}

impl Family {
    pub(super) fn series(&self) -> MutexGuard<'_, Series> {
        // A panic under this lock cannot leave the map half-written.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, values: &[&str]) -> Cell {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.series().entry(values).or_insert_with(|| Cell::new(self.definition.kind)).clone()
    }
}

impl Cell {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Arc::default()),
            Kind::Gauge => Self::Gauge(Arc::default()),
            Kind::Seconds => Self::Seconds(Arc::default()),
        }
    }
}

impl HistogramFn for Durations {
    fn record(&self, seconds: f64) {
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds(seconds), Ordering::Relaxed);
    }
}

impl Durations {
    #[expect(clippy::cast_precision_loss, reason = "a sum of durations: 52 bits of it are enough")]
    pub(super) fn read(&self) -> Reading {
        let sum = self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        let mut buckets = [0; BOUNDS.len() + 1];
        for (read, bucket) in buckets.iter_mut().zip(&self.buckets) {
            *read = bucket.load(Ordering::Relaxed);
        }
        Reading { buckets, sum }
    }
}

impl Reading {
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
        self.sum += other.sum;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}
