//! The functions that report figures: the one place where metrics are counted, set and filled.

use super::metric::{Metric, MetricKind};
use crate::model::OperatorId;

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

/// Sets a gauge of the job.
#[expect(clippy::disallowed_macros, reason = "the one place that sets gauges")]
pub fn set_gauge_in_job(metric: Metric, value: f64) {
    metrics::gauge!(metric.name()).set(value);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
        Recorder, SharedString, Unit,
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
        let is_state_records = |line: &String| line.starts_with("gauge floodmark_state_records ");
        assert!(lines.iter().any(is_state_records), "{lines:?}");
    }

    #[test]
    fn every_metric_stands_in_the_readme() {
        let readme = include_str!("../../README.md");
        for metric in Metric::ALL {
            let flink_name = match metric.flink_name() {
                "" => String::new(),
                name => format!("`{name}` "),
            };
            let labels = match metric.scope().labels() {
                "" => String::new(),
                labels => format!("{labels} "),
            };
            let (name, kind, help) = (metric.name(), metric.kind().as_str(), metric.help());
            let line = format!("\n| `{name}` | {kind} | {help} | {labels}| {flink_name}|\n");
            assert!(readme.contains(&line), "no {line}");
        }
        let rows = readme
            .lines()
            .filter(|line| line.starts_with("| `floodmark_"));
        assert_eq!(rows.count(), Metric::ALL.len(), "a row without a metric");
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
            set_gauge_in_job(Metric::LastCheckpointId, 3.0);
        });
        let expected = [
            "floodmark_records_in_total operator=sum subtask=1 + 5",
            "floodmark_watermark_lag_seconds operator=sum subtask=0 = 7",
            "floodmark_state_records operator=sum subtask=0 state=total = 8",
            "floodmark_barrier_stall_seconds operator=sum subtask=0 <- 0.5",
            "floodmark_checkpoints_failed_total + 1",
            "floodmark_checkpoint_bytes <- 10",
            "floodmark_last_checkpoint_id = 3",
        ];
        assert_eq!(lines, expected);
    }
}
