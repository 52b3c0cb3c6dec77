//! Keeps what the engine reports of barrier stalls and checkpoints.

use std::sync::{Arc, Mutex, PoisonError};

use floodmark::telemetry::Metric;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// The values of one histogram metric, over all its labels.
#[derive(Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(value);
    }
}

impl Values {
    fn take(&self) -> Vec<f64> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *values);
        taken.sort_by(f64::total_cmp);
        taken
    }
}

/// A recorder of the three histograms that the table shows. Everything else is passed over.
#[derive(Default)]
pub(crate) struct StallRecorder {
    stalls: Arc<Values>,
    durations: Arc<Values>,
    bytes: Arc<Values>,
}

/// What was recorded since the last time, each sorted.
pub(crate) struct Recorded {
    /// Seconds that a subtask stood still for a barrier.
    pub(crate) stalls: Vec<f64>,
    /// Seconds from a checkpoint's trigger to its durable manifest.
    pub(crate) durations: Vec<f64>,
    /// Bytes that a checkpoint added to the store.
    pub(crate) bytes: Vec<f64>,
}

/// Makes the recorder the one that the `metrics` crate reports to.
pub(crate) fn install() -> &'static StallRecorder {
    let recorder: &'static StallRecorder = Box::leak(Box::default());
    metrics::set_global_recorder(recorder).unwrap();
    recorder
}

impl StallRecorder {
    /// Takes out what was recorded.
    pub(crate) fn take(&self) -> Recorded {
        Recorded {
            stalls: self.stalls.take(),
            durations: self.durations.take(),
            bytes: self.bytes.take(),
        }
    }
}

impl Recorder for StallRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let known = [
            (Metric::BarrierStall, &self.stalls),
            (Metric::CheckpointDuration, &self.durations),
            (Metric::CheckpointBytes, &self.bytes),
        ];
        known
            .into_iter()
            .find(|(metric, _)| metric.name() == key.name())
            .map_or_else(Histogram::noop, |(_, values)| {
                Histogram::from_arc(Arc::clone(values))
            })
    }
}
