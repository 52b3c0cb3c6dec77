//! All metrics of the process as Prometheus text.

use metrics::Unit;
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::metric::{Metric, MetricKind};
use super::report::describe_all;
use crate::error::{Error, ErrorKind, Result};

/// The bounds of the buckets of times, in seconds: a barrier stalls a subtask for microseconds, and a checkpoint is given
/// up after minutes.
const SECONDS_BUCKETS: [f64; 16] = [
    0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
    100.0, 600.0,
];

/// The bounds of the buckets of sizes, in bytes.
const BYTES_BUCKETS: [f64; 8] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// The metrics of the process, as they are when they are asked for.
#[derive(Clone)]
pub struct PrometheusText(PrometheusHandle);

impl PrometheusText {
    /// From now on all metrics of the process are kept here. Call it once.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the process has a recorder already.
    pub fn install() -> Result<Self> {
        let recorder = recorder()?;
        let text = Self(recorder.handle());
        metrics::set_global_recorder(recorder).map_err(|error| failed(error.to_string()))?;
        describe_all();
        Ok(text)
    }

    /// The text.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Puts the values that histograms were given into their buckets. To be called every few seconds: until then each
    /// takes memory of its own.
    pub fn tidy_up(&self) {
        self.0.run_upkeep();
    }
}

fn recorder() -> Result<PrometheusRecorder> {
    let histograms = Metric::ALL.into_iter();
    let histograms = histograms.filter(|metric| metric.kind() == MetricKind::Histogram);
    let mut histograms =
        histograms.map(|metric| (Matcher::Full(metric.name().to_owned()), buckets(metric)));
    let builder = histograms.try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(name, buckets)
    });
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    Ok(builder.build_recorder())
}

fn buckets(metric: Metric) -> &'static [f64] {
    match metric.unit() {
        Unit::Bytes => &BYTES_BUCKETS,
        _ => &SECONDS_BUCKETS,
    }
}

fn failed(reason: String) -> Error {
    Error::new(ErrorKind::Bug, format!("keep the metrics: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OperatorId;
    use crate::telemetry::{count, observe, observe_in_job, set_gauge_in_job};

    #[test]
    fn every_kind_of_metric_is_rendered_with_its_help() {
        let recorder = recorder().unwrap();
        let text = PrometheusText(recorder.handle());
        let sum = OperatorId::new("sum");
        metrics::with_local_recorder(&recorder, || {
            describe_all();
            count(Metric::RecordsIn, &sum, 1, 5);
            count(Metric::RecordsIn, &sum, 1, 2);
            set_gauge_in_job(Metric::LastCheckpointId, 17.0);
            observe(Metric::BarrierStall, &sum, 0, 0.000_02);
            observe_in_job(Metric::CheckpointBytes, 5e3);
        });
        text.tidy_up();
        let text = text.render();
        for line in [
            "# HELP floodmark_records_in_total rows taken in",
            "# TYPE floodmark_records_in_total counter",
            "floodmark_records_in_total{operator=\"sum\",subtask=\"1\"} 7",
            "# TYPE floodmark_last_checkpoint_id gauge",
            "floodmark_last_checkpoint_id 17",
            "# TYPE floodmark_barrier_stall_seconds histogram",
            "floodmark_barrier_stall_seconds_bucket{operator=\"sum\",subtask=\"0\",le=\"0.00001\"} 0",
            "floodmark_barrier_stall_seconds_bucket{operator=\"sum\",subtask=\"0\",le=\"0.00003\"} 1",
            "floodmark_barrier_stall_seconds_count{operator=\"sum\",subtask=\"0\"} 1",
            "floodmark_checkpoint_bytes_bucket{le=\"1000\"} 0",
            "floodmark_checkpoint_bytes_bucket{le=\"10000\"} 1",
            "floodmark_checkpoint_bytes_sum 5000",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no {line} in\n{text}"
            );
        }
    }
}
