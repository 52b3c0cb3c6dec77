//! What the engine says about the size of each named state.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use floodmark::connectors::{MemoryOutput, MemorySink};
use floodmark::engine::{Engine, EngineSettings, JobOutcome};
use floodmark::graph::{JobGraph, StreamBuilder};
use floodmark::telemetry::Metric;

use crate::support::{Gauges, Halves};

/// The id of the operator. No other test has one of this name, so its gauges are those of this test.
const OPERATOR: &str = "measured";

const KEYS: u64 = 100;

/// The bytes of a record, a key and a sum.
const RECORD_BYTES: f64 = 16.0;

/// The bytes at the end of a delta.
const FOOTER_BYTES: f64 = 40.0;

fn graph() -> JobGraph {
    let (sender, _) = sync_channel(1);
    let output = MemoryOutput::<(u64, u64)>::default();
    let job = StreamBuilder::new("figures").parallelism(2);
    job.source::<u64, _>("numbers", move || Ok(Halves::new(10 * KEYS, true, &sender)))
        .key_by(|number: &u64| number % KEYS)
        .reduce_with_state(
            OPERATOR,
            "totals",
            |_| 0_u64,
            |number, mut sum| {
                *sum = (sum.to_native() + number).into();
                (number % KEYS, sum.to_native())
            },
        )
        .sink("out", move || Ok(MemorySink::of_rows(&output)));
    job.build().unwrap()
}

#[test]
fn each_named_state_of_each_subtask_has_figures_after_a_checkpoint() {
    let gauges = Gauges::installed();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = EngineSettings::default().with_storage(folder.path().to_string_lossy());
    // With an interval, which no test reaches, checkpoints are made of deltas.
    settings.checkpoint.interval = Some(Duration::from_secs(3600));
    let outcome = Engine::new(graph(), settings).start().unwrap().wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");

    let of = |metric: Metric| {
        let values = gauges.of_state(metric.name(), OPERATOR, "totals");
        assert_eq!(values.len(), 2, "{}", metric.name());
        values
    };
    let records = of(Metric::StateRecords);
    assert!(records.iter().all(|records| *records > 0.0), "{records:?}");
    assert_eq!(records.iter().sum::<f64>(), KEYS as f64);
    let times = |bytes: f64, more: f64| -> Vec<f64> {
        records
            .iter()
            .map(|records| records * bytes + more)
            .collect()
    };
    assert_eq!(of(Metric::StateLiveBytes), times(RECORD_BYTES, 0.0));
    // The only checkpoint is the last one: its delta holds all that there is.
    assert_eq!(
        of(Metric::StateDeltaBytes),
        times(RECORD_BYTES, FOOTER_BYTES)
    );
    assert_eq!(of(Metric::StateBaseBytes), [0.0, 0.0]);
    for load in of(Metric::StateTableLoad) {
        assert!(load > 0.0 && load <= 1.0, "{load}");
    }
    for spare in of(Metric::StateSpareBytes) {
        assert!(spare > 0.0, "{spare}");
    }
}
