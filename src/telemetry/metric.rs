//! Every metric's name, in one place.

use metrics::Unit;

use crate::model::OperatorId;

/// A figure that Floodmark reports through the `metrics` crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Rows that a source or an operator took in (counter).
    RecordsIn,
    /// Rows that a source or an operator gave out (counter).
    RecordsOut,
    /// Rows that a source could not read and passed over (counter).
    RecordsSkipped,
    /// Rows that a source could not read and wrote to its dead-letter file (counter).
    RecordsDeadLettered,
    /// Wall-clock time minus the watermark of a subtask, in seconds (gauge).
    WatermarkLag,
    /// Records in a named state of a subtask (gauge).
    StateRecords,
    /// Bytes that these records would take in a base (gauge).
    StateLiveBytes,
    /// Bytes of memory beyond that: room for growth, and what the table needs for itself (gauge).
    StateSpareBytes,
    /// Which share of the table's slots is taken, from 0 to 1 (gauge).
    StateTableLoad,
    /// Bytes of the delta that the last barrier sealed (gauge).
    StateDeltaBytes,
    /// Bytes of the last base (gauge).
    StateBaseBytes,
    /// The sync part of a checkpoint: how long a subtask processed nothing because of a barrier, in seconds, without
    /// the alignment (histogram).
    BarrierStall,
    /// Checkpoints of the job that were completed (counter).
    CheckpointsCompleted,
    /// Checkpoints of the job that were given up (counter).
    CheckpointsFailed,
    /// From the trigger of a checkpoint to its durable manifest, in seconds (histogram).
    CheckpointDuration,
    /// Bytes that a checkpoint wrote to the store (histogram).
    CheckpointBytes,
}

/// How the values of a metric are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// The latest value.
    Gauge,
    /// How the values are distributed.
    Histogram,
}

impl Metric {
    /// All metrics, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::RecordsIn,
        Self::RecordsOut,
        Self::RecordsSkipped,
        Self::RecordsDeadLettered,
        Self::WatermarkLag,
        Self::StateRecords,
        Self::StateLiveBytes,
        Self::StateSpareBytes,
        Self::StateTableLoad,
        Self::StateDeltaBytes,
        Self::StateBaseBytes,
        Self::BarrierStall,
        Self::CheckpointsCompleted,
        Self::CheckpointsFailed,
        Self::CheckpointDuration,
        Self::CheckpointBytes,
    ];

    /// The name that the `metrics` crate is given.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordsIn => "floodmark_records_in_total",
            Self::RecordsOut => "floodmark_records_out_total",
            Self::RecordsSkipped => "floodmark_records_skipped_total",
            Self::RecordsDeadLettered => "floodmark_records_dead_lettered_total",
            Self::WatermarkLag => "floodmark_watermark_lag_seconds",
            Self::StateRecords => "floodmark_state_records",
            Self::StateLiveBytes => "floodmark_state_live_bytes",
            Self::StateSpareBytes => "floodmark_state_spare_bytes",
            Self::StateTableLoad => "floodmark_state_table_load",
            Self::StateDeltaBytes => "floodmark_state_delta_bytes",
            Self::StateBaseBytes => "floodmark_state_base_bytes",
            Self::BarrierStall => "floodmark_barrier_stall_seconds",
            Self::CheckpointsCompleted => "floodmark_checkpoints_completed_total",
            Self::CheckpointsFailed => "floodmark_checkpoints_failed_total",
            Self::CheckpointDuration => "floodmark_checkpoint_duration_seconds",
            Self::CheckpointBytes => "floodmark_checkpoint_bytes",
        }
    }

    /// What the figure says, in one line.
    pub fn help(self) -> &'static str {
        match self {
            Self::RecordsIn => "rows taken in",
            Self::RecordsOut => "rows given out",
            Self::RecordsSkipped => "unreadable rows passed over",
            Self::RecordsDeadLettered => "unreadable rows written to the dead-letter file",
            Self::WatermarkLag => "wall-clock time minus the watermark",
            Self::StateRecords => "records in a named state",
            Self::StateLiveBytes => "bytes that the records would take in a base",
            Self::StateSpareBytes => "bytes of memory beyond that",
            Self::StateTableLoad => "share of the table's slots that is taken, from 0 to 1",
            Self::StateDeltaBytes => "bytes of the delta that the last barrier sealed",
            Self::StateBaseBytes => "bytes of the last base",
            Self::BarrierStall => "processing time lost to one barrier, without alignment",
            Self::CheckpointsCompleted => "completed checkpoints",
            Self::CheckpointsFailed => "checkpoints given up",
            Self::CheckpointDuration => "from a checkpoint's trigger to its durable manifest",
            Self::CheckpointBytes => "bytes written by one checkpoint",
        }
    }

    /// What the figure is counted in.
    pub fn unit(self) -> Unit {
        match self {
            Self::WatermarkLag | Self::BarrierStall | Self::CheckpointDuration => Unit::Seconds,
            Self::StateLiveBytes
            | Self::StateSpareBytes
            | Self::StateDeltaBytes
            | Self::StateBaseBytes
            | Self::CheckpointBytes => Unit::Bytes,
            Self::RecordsIn
            | Self::RecordsOut
            | Self::RecordsSkipped
            | Self::RecordsDeadLettered
            | Self::StateRecords
            | Self::StateTableLoad
            | Self::CheckpointsCompleted
            | Self::CheckpointsFailed => Unit::Count,
        }
    }

    /// How the values are put together.
    pub fn kind(self) -> MetricKind {
        match self {
            Self::RecordsIn
            | Self::RecordsOut
            | Self::RecordsSkipped
            | Self::RecordsDeadLettered
            | Self::CheckpointsCompleted
            | Self::CheckpointsFailed => MetricKind::Counter,
            Self::WatermarkLag
            | Self::StateRecords
            | Self::StateLiveBytes
            | Self::StateSpareBytes
            | Self::StateTableLoad
            | Self::StateDeltaBytes
            | Self::StateBaseBytes => MetricKind::Gauge,
            Self::BarrierStall | Self::CheckpointDuration | Self::CheckpointBytes => {
                MetricKind::Histogram
            }
        }
    }
}

/// Tells the installed recorder what each metric means. Call it once, after a recorder is installed.
pub fn describe_all() {
    for metric in Metric::ALL {
        let (name, unit, help) = (metric.name(), metric.unit(), metric.help());
        match metric.kind() {
            MetricKind::Counter => metrics::describe_counter!(name, unit, help),
            MetricKind::Gauge => metrics::describe_gauge!(name, unit, help),
            MetricKind::Histogram => metrics::describe_histogram!(name, unit, help),
        }
    }
}

/// Adds to a counter of one operator subtask. Call it once a batch, not once a record.
#[expect(clippy::disallowed_macros, reason = "the one place that counts")]
pub fn count(metric: Metric, operator: &OperatorId, subtask: usize, amount: u64) {
    metrics::counter!(
        metric.name(),
        "operator" => operator.to_string(),
        "subtask" => subtask.to_string()
    )
    .increment(amount);
}

/// Sets a gauge of one operator subtask.
#[expect(clippy::disallowed_macros, reason = "the one place that sets gauges")]
pub fn set_gauge(metric: Metric, operator: &OperatorId, subtask: usize, value: f64) {
    metrics::gauge!(
        metric.name(),
        "operator" => operator.to_string(),
        "subtask" => subtask.to_string()
    )
    .set(value);
}

/// Sets a gauge of one named state of one operator subtask.
#[expect(clippy::disallowed_macros, reason = "the one place that sets gauges")]
pub fn set_state_gauge(
    metric: Metric,
    operator: &OperatorId,
    subtask: usize,
    state: &str,
    value: f64,
) {
    metrics::gauge!(
        metric.name(),
        "operator" => operator.to_string(),
        "subtask" => subtask.to_string(),
        "state" => state.to_owned()
    )
    .set(value);
}

/// Adds a value to a histogram of one operator subtask. Call it once a batch or a barrier, not once a record.
#[expect(
    clippy::disallowed_macros,
    reason = "the one place that fills histograms"
)]
pub fn observe(metric: Metric, operator: &OperatorId, subtask: usize, value: f64) {
    metrics::histogram!(
        metric.name(),
        "operator" => operator.to_string(),
        "subtask" => subtask.to_string()
    )
    .record(value);
}

/// Adds to a counter of the job.
#[expect(clippy::disallowed_macros, reason = "the one place that counts")]
pub fn count_in_job(metric: Metric, amount: u64) {
    metrics::counter!(metric.name()).increment(amount);
}

/// Adds a value to a histogram of the job.
#[expect(
    clippy::disallowed_macros,
    reason = "the one place that fills histograms"
)]
pub fn observe_in_job(metric: Metric, value: f64) {
    metrics::histogram!(metric.name()).record(value);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
        Recorder, SharedString,
    };

    use super::*;

    /// Writes down all that is reported, one line each.
    #[derive(Clone, Default)]
    struct Notebook(Arc<Mutex<Vec<String>>>);

    struct Line {
        notebook: Notebook,
        name: String,
    }

    impl Notebook {
        fn write(&self, line: String) {
            self.0.lock().unwrap().push(line);
        }

        fn line(&self, key: &Key) -> Arc<Line> {
            let labels: Vec<String> = key
                .labels()
                .map(|label| format!(" {}={}", label.key(), label.value()))
                .collect();
            let name = format!("{}{}", key.name(), labels.concat());
            let notebook = self.clone();
            Arc::new(Line { notebook, name })
        }

        fn describe(&self, kind: &str, name: &KeyName, unit: Option<Unit>, help: &str) {
            let unit = unit.map(|unit| unit.as_str());
            self.write(format!("{kind} {} {unit:?} {help}", name.as_str()));
        }
    }

    impl Recorder for Notebook {
        fn describe_counter(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
            self.describe("counter", &key, unit, &help);
        }
        fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
            self.describe("gauge", &key, unit, &help);
        }
        fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
            self.describe("histogram", &key, unit, &help);
        }
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.line(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.line(key))
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.line(key))
        }
    }

    impl CounterFn for Line {
        fn increment(&self, amount: u64) {
            self.notebook.write(format!("{} + {amount}", self.name));
        }
        fn absolute(&self, _: u64) {}
    }

    impl GaugeFn for Line {
        fn increment(&self, _: f64) {}
        fn decrement(&self, _: f64) {}
        fn set(&self, value: f64) {
            self.notebook.write(format!("{} = {value}", self.name));
        }
    }

    impl HistogramFn for Line {
        fn record(&self, value: f64) {
            self.notebook.write(format!("{} <- {value}", self.name));
        }
    }

    fn noted(report: impl FnOnce()) -> Vec<String> {
        let notebook = Notebook::default();
        metrics::with_local_recorder(&notebook, report);
        let lines = notebook.0.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn names_are_unique_and_end_in_their_unit() {
        let names: BTreeSet<&str> = Metric::ALL.map(Metric::name).into();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            let suffix = match (metric.kind(), metric.unit()) {
                (MetricKind::Counter, _) => "_total",
                (_, Unit::Seconds) => "_seconds",
                (_, Unit::Bytes) => "_bytes",
                _ => "",
            };
            assert!(metric.name().ends_with(suffix), "{}", metric.name());
        }
    }

    #[test]
    fn every_metric_is_described() {
        let lines = noted(describe_all);
        assert_eq!(lines.len(), Metric::ALL.len());
        assert_eq!(
            lines[0],
            "counter floodmark_records_in_total Some(\"count\") rows taken in"
        );
        assert!(
            lines[5].starts_with("gauge floodmark_state_records "),
            "{}",
            lines[5]
        );
    }

    #[test]
    fn every_metric_stands_in_the_readme() {
        let readme = include_str!("../../README.md");
        for metric in Metric::ALL {
            let kind = match metric.kind() {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
            };
            let line = format!("| `{}` | {kind} | {} |", metric.name(), metric.help());
            assert!(readme.contains(&line), "no {line}");
        }
    }

    #[test]
    fn values_carry_the_subtask_that_they_belong_to() {
        let operator = OperatorId::new("sum");
        let lines = noted(|| {
            count(Metric::RecordsIn, &operator, 1, 5);
            set_gauge(Metric::WatermarkLag, &operator, 0, 7.0);
            set_state_gauge(Metric::StateRecords, &operator, 0, "total", 8.0);
            observe(Metric::BarrierStall, &operator, 0, 0.5);
            count_in_job(Metric::CheckpointsFailed, 1);
            observe_in_job(Metric::CheckpointBytes, 10.0);
        });
        let expected = [
            "floodmark_records_in_total operator=sum subtask=1 + 5",
            "floodmark_watermark_lag_seconds operator=sum subtask=0 = 7",
            "floodmark_state_records operator=sum subtask=0 state=total = 8",
            "floodmark_barrier_stall_seconds operator=sum subtask=0 <- 0.5",
            "floodmark_checkpoints_failed_total + 1",
            "floodmark_checkpoint_bytes <- 10",
        ];
        assert_eq!(lines, expected);
    }
}
