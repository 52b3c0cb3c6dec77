//! The harness itself: what it says it does, it does.

use std::time::Duration;

use super::{FaultPoint, JobHarness, OperatorHarness, RowsIn, collect};
use crate::config::CheckpointSection;
use crate::connectors::MemoryOutput;
use crate::engine::{EngineSettings, JobOutcome};
use crate::error::{ErrorKind, Result};
use crate::graph::{JobGraph, StreamBuilder};
use crate::model::{CheckpointId, EventTime};
use crate::operator::{OperatorContext, ProcessContext, ProcessFunction};
use crate::state::{StateSpec, StateTtl, Timer, ValueState};

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// The running sums of even and of odd numbers.
fn sums() -> (RowsIn<u64>, MemoryOutput<u64>, JobGraph) {
    let (job, numbers) = (StreamBuilder::new("sums"), RowsIn::new());
    let running_sums = numbers
        .add_to(&job, "numbers")
        .key_by(|number: &u64| number % 2)
        .reduce(
            "sums",
            |_| 0_u64,
            |number, mut sum| {
                *sum = (sum.to_native() + number).into();
                sum.to_native()
            },
        );
    let output = collect(&running_sums, "out");
    (numbers, output, job.build().unwrap())
}

#[test]
fn a_crash_at_any_fault_point_and_a_restore_give_each_row_its_effect_once() {
    for point in FaultPoint::ALL {
        for seed in 0..20 {
            let (numbers, output, graph) = sums();
            let mut harness = JobHarness::new(graph).unwrap().with_seed(seed);
            harness.start().unwrap();
            numbers.push([1, 3]);
            let first = harness.checkpoint().unwrap();
            assert_eq!(first, Some(CheckpointId(1)));
            numbers.push([5]);
            harness.crash_at(point);
            let completed = harness.checkpoint().unwrap();
            // At the commit the coordinator has heard that the checkpoint is complete.
            let expected = (point == FaultPoint::Commit).then_some(CheckpointId(2));
            assert_eq!(completed, expected, "{point}, seed {seed}");
            assert!(!harness.is_running(), "{point}, seed {seed}");
            let committed = output.rows();
            assert_eq!(committed[..2], [1, 4], "{point}, seed {seed}");
            harness.restore_at(1 + seed as usize % 3).unwrap();
            numbers.finish();
            let outcome = harness.run_to_end().unwrap();
            assert!(
                matches!(outcome, JobOutcome::Finished),
                "{point}, {outcome:?}"
            );
            assert_eq!(output.rows(), [1, 4, 9], "{point}, seed {seed}");
        }
    }
}

#[test]
fn a_store_that_fails_costs_the_checkpoint_and_the_next_one_holds_all() {
    for point in FaultPoint::ALL
        .into_iter()
        .filter(|point| point.is_in_store())
    {
        let (numbers, output, graph) = sums();
        let settings = EngineSettings {
            checkpoint: CheckpointSection {
                tolerable_failures: 1,
                ..CheckpointSection::default()
            },
            ..EngineSettings::default()
        };
        let mut harness = JobHarness::with_settings(graph, settings).unwrap();
        harness.start().unwrap();
        numbers.push([2, 4]);
        harness.fail_at(point).unwrap();
        let error = harness.checkpoint().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment, "{point}");
        assert!(harness.is_running(), "{point}");
        assert!(output.is_empty(), "{point}");
        assert_eq!(
            harness.checkpoint().unwrap(),
            Some(CheckpointId(2)),
            "{point}"
        );
        assert_eq!(output.rows(), [2, 6], "{point}");
    }
}

#[test]
fn nothing_can_fail_where_the_store_has_no_step() {
    let mut harness = JobHarness::new(sums().2).unwrap();
    let error = harness.fail_at(FaultPoint::Commit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[test]
fn a_restore_from_an_older_checkpoint_takes_back_what_came_later() {
    let (numbers, output, graph) = sums();
    let mut harness = JobHarness::new(graph).unwrap();
    harness.start().unwrap();
    numbers.push([1]);
    let first = harness.checkpoint().unwrap().unwrap();
    numbers.push([3]);
    harness.checkpoint().unwrap();
    assert_eq!(output.rows(), [1, 4]);
    harness.crash();
    harness.restore_from(first).unwrap();
    assert_eq!(output.rows(), [1]);
    assert_eq!(harness.completed().collect::<Vec<_>>(), [first]);
    numbers.finish();
    harness.run_to_end().unwrap();
    assert_eq!(output.rows(), [1, 4]);
    let never = harness.restore_from(CheckpointId(77)).unwrap_err();
    assert_eq!(never.kind(), ErrorKind::Configuration);
}

#[test]
fn a_power_cut_loses_no_checkpoint_that_was_complete() {
    for seed in 0..20 {
        let (numbers, output, graph) = sums();
        let mut harness = JobHarness::new(graph).unwrap().with_seed(seed);
        harness.start().unwrap();
        for round in 1..=3 {
            numbers.push([1]);
            harness.checkpoint().unwrap();
            assert_eq!(output.len(), 2 * round - 1, "seed {seed}");
            numbers.push([2]);
            harness.run_actions(seed as usize).unwrap();
            harness.cut_power();
            harness.restore_at(round).unwrap();
        }
        numbers.finish();
        harness.run_to_end().unwrap();
        let mut rows = output.rows();
        rows.sort_unstable();
        assert_eq!(rows, [1, 2, 2, 3, 4, 6], "seed {seed}");
    }
}

#[test]
fn a_job_that_stops_can_be_started_again() {
    let (numbers, output, graph) = sums();
    let mut harness = JobHarness::new(graph).unwrap();
    harness.start().unwrap();
    assert_eq!(harness.start().unwrap_err().kind(), ErrorKind::Conflict);
    numbers.push([1]);
    harness.stop().unwrap();
    assert!(!harness.is_running());
    assert!(matches!(harness.run_to_end().unwrap(), JobOutcome::Stopped));
    assert_eq!(output.rows(), [1]);
    numbers.push([3]);
    harness.start().unwrap();
    let stuck = harness.run_to_end().unwrap_err();
    assert!(
        stuck.to_string().contains("is every input finished?"),
        "{stuck}"
    );
    numbers.finish();
    harness.run_to_end().unwrap();
    assert_eq!(output.rows(), [1, 4]);
}

#[test]
fn checkpoints_come_by_the_clock_if_the_settings_say_so() {
    let (numbers, output, graph) = sums();
    let mut settings = EngineSettings::default();
    settings.checkpoint.interval = Some(Duration::from_millis(100));
    let mut harness = JobHarness::with_settings(graph, settings).unwrap();
    harness.start().unwrap();
    numbers.push([1]);
    harness.advance(Duration::from_millis(99)).unwrap();
    assert!(output.is_empty());
    harness.advance(Duration::from_millis(1)).unwrap();
    assert_eq!(output.rows(), [1]);
}

#[test]
fn a_job_file_runs_in_the_harness() {
    let mut harness = JobHarness::from_toml(
        r#"
        [job]
        name = "numbers"

        [[source]]
        id = "numbers"
        type = "generator"
        schema = "key-value"
        rows = 100

        [[sink]]
        id = "nowhere"
        type = "blackhole"
        input = "numbers"
        "#,
    )
    .unwrap();
    harness.start().unwrap();
    assert!(matches!(
        harness.run_to_end().unwrap(),
        JobOutcome::Finished
    ));
    let error = JobHarness::from_toml("[job]").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

/// Emits a key that is first seen again when the watermark has passed its time, and once more 50 ms later by the clock.
#[derive(Default)]
struct Reminders {
    times: Option<ValueState<u64, i64>>,
}

impl ProcessFunction for Reminders {
    type In = (u64, i64);
    type Key = u64;
    type Out = (u64, &'static str);

    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.times = Some(context.keyed_state.value_state("times")?);
        Ok(())
    }

    fn process(
        &mut self,
        key: &u64,
        (_, time): (u64, i64),
        context: &mut ProcessContext<'_, u64, Self::Out>,
    ) -> Result<()> {
        self.times.as_ref().unwrap().put(key, &time)?;
        context.register_event_time(EventTime(time))?;
        context.register_processing_time(context.processing_time() + 50)
    }

    fn on_timer(
        &mut self,
        key: &u64,
        timer: Timer,
        context: &mut ProcessContext<'_, u64, Self::Out>,
    ) -> Result<()> {
        context.emit((
            *key,
            match timer {
                Timer::EventTime(_) => "event time",
                Timer::ProcessingTime(_) => "processing time",
            },
        ));
        Ok(())
    }
}

#[test]
fn timers_of_an_operator_fire_by_the_watermark_and_by_the_clock_and_survive_a_restore() {
    let mut reminders = OperatorHarness::new(3, |rows| {
        rows.key_by(|(key, _): &(u64, i64)| *key)
            .process("reminders", || Ok(Reminders::default()))
    })
    .unwrap();
    reminders.push([(1, 10), (2, 20)]).unwrap();
    let snapshot = reminders.snapshot().unwrap();
    reminders.push_watermark(EventTime(15)).unwrap();
    assert_eq!(reminders.take_rows(), [(1, "event time")]);
    assert_eq!(reminders.watermark(), EventTime(15));
    reminders.advance(Duration::from_millis(50)).unwrap();
    let mut rows = reminders.take_rows();
    rows.sort_unstable();
    let both = [(1, "processing time"), (2, "processing time")];
    assert_eq!(rows, both);
    reminders.finish().unwrap();
    assert_eq!(reminders.take_rows(), [(2, "event time")]);

    reminders.restore_at(snapshot, 2).unwrap();
    // What is overdue by the clock fires at once.
    let mut overdue = reminders.take_rows();
    overdue.sort_unstable();
    assert_eq!(overdue, both);
    reminders.finish().unwrap();
    let mut rows = reminders.take_rows();
    rows.sort_unstable();
    assert_eq!(rows, [(1, "event time"), (2, "event time")]);
}

/// A count by key that begins afresh when the key has had no row for ten seconds.
#[test]
fn a_typed_reduce_forgets_keys_whose_time_is_over_across_a_restore_as_well() {
    let mut counts = OperatorHarness::new(2, |words| {
        let count = StateSpec::new("reduce").with_time_to_live(StateTtl::new(TEN_SECONDS));
        words
            .key_by(|word: &String| word.clone())
            .reduce_with_state(
                "counts",
                count,
                |_| 0_u64,
                |word, mut count| {
                    *count = (count.to_native() + 1).into();
                    (word.clone(), count.to_native())
                },
            )
    })
    .unwrap();
    let half = TEN_SECONDS / 2;
    let word = |word: &str| [word.to_owned()];
    counts.push(word("a")).unwrap();
    counts.push(word("b")).unwrap();
    counts.advance(half).unwrap();
    counts.push(word("a")).unwrap();
    let snapshot = counts.snapshot().unwrap();
    counts.advance(half).unwrap();
    counts.push(word("a")).unwrap();
    counts.push(word("b")).unwrap();
    let expected = |rows: &[(&str, u64)]| -> Vec<(String, u64)> {
        rows.iter()
            .map(|(word, count)| ((*word).to_owned(), *count))
            .collect()
    };
    let rows = [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 1)];
    assert_eq!(counts.take_rows(), expected(&rows));
    // Time goes on while nothing runs: by now both are over, and the restore brings neither back.
    counts.advance(half).unwrap();
    counts.restore_at(snapshot, 3).unwrap();
    counts.push(word("a")).unwrap();
    counts.push(word("b")).unwrap();
    assert_eq!(counts.take_rows(), expected(&[("a", 1), ("b", 1)]));
}
