//! Barriers that overtake what is in flight.

use std::sync::Arc;
use std::time::Duration;

use super::{MAX_PARALLELISM, ROWS, Run, Sum, check_modes, record, reference};
use crate::channel::{Barrier, InFlight, LinkLimits};
use crate::connectors::{GeneratorSource, MemoryOutput, MemorySink};
use crate::graph::{JobGraph, StreamBuilder};
use crate::model::{CheckpointId, ManualClock};
use crate::runtime::captured::CapturedInput;
use crate::runtime::subtask::{Progress, Subtask};
use crate::runtime::subtask_event::{SealedSubtask, SubtaskEvent};
use crate::snapshot::RestoredInFlight;

const LIMITS: LinkLimits = LinkLimits {
    rows_max: 50,
    elements_max: 10,
};

const BARRIER: Barrier = Barrier {
    checkpoint: CheckpointId(1),
    overtakes_at: Some(Duration::ZERO),
};

#[test]
fn every_order_of_steps_and_every_crash_gives_what_was_in_flight_its_effect_once() {
    let in_flight = check_modes(90, two_exchanges, &reference());
    assert!(in_flight > 3_000, "only {in_flight} rows were replayed");
}

#[test]
fn a_barrier_that_overtakes_waits_for_nobody_to_work_anything_off() {
    let output = MemoryOutput::default();
    let mut run = stuck(&output, Arc::default());
    let [(source, _), (sums, _), (totals, _)] = &mut run.subtasks[..] else {
        panic!("three subtasks");
    };
    let emitted = source.take_figures().records_in;
    let summed = sums.take_figures().records_in;
    assert!(emitted > summed && summed > 0);

    source.trigger(BARRIER, false).unwrap();
    assert_eq!(rows_in_flight(&snapshot(source)), 0);
    // What it has emitted finds no room: it can work nothing off.
    assert_eq!(sums.step(1_000).unwrap(), Progress::Waiting);
    assert_eq!(sums.take_figures().records_in, 0);
    assert_eq!(rows_in_flight(&snapshot(sums)), emitted - summed);
    // The last one has not read anything yet, so all is in flight to it, what waits for room with the rest.
    totals.step(1).unwrap();
    assert_eq!(rows_in_flight(&snapshot(totals)), summed);
    // The elements themselves are worked off once, and belong to no other checkpoint.
    totals.step(1_000).unwrap();
    sums.step(1_000).unwrap();
    totals.step(1_000).unwrap();
    assert!(totals.take_figures().records_in >= summed);
}

#[test]
fn a_barrier_begins_to_overtake_when_its_time_has_come() {
    let output = MemoryOutput::default();
    let clock = Arc::new(ManualClock::default());
    let mut run = stuck(&output, clock.clone());
    let [(source, _), (sums, _), (totals, _)] = &mut run.subtasks[..] else {
        panic!("three subtasks");
    };
    let emitted = source.take_figures().records_in;
    let summed = sums.take_figures().records_in;
    let later = Barrier::overtaking(CheckpointId(1), Duration::from_millis(10));
    for subtask in [&mut *source, &mut *sums, &mut *totals] {
        subtask.trigger(later, false).unwrap();
    }
    assert_eq!(rows_in_flight(&snapshot(source)), 0);
    clock.advance(Duration::from_millis(4));
    for subtask in [&mut *source, &mut *sums] {
        let left = Duration::from_millis(6);
        assert_eq!(subtask.step(1_000).unwrap(), Progress::Sleeping(left));
    }
    assert_eq!(sums.take_events().count(), 0);
    clock.advance(Duration::from_millis(6));
    assert_eq!(source.step(1_000).unwrap(), Progress::Waiting);
    assert_eq!(sums.step(1_000).unwrap(), Progress::Waiting);
    let sealed = snapshot(sums);
    assert_eq!(rows_in_flight(&sealed), emitted - summed);
    assert!(sealed.is_unaligned);
    totals.step(1).unwrap();
    assert_eq!(rows_in_flight(&snapshot(totals)), summed);
}

#[test]
fn a_barrier_that_is_read_in_time_does_not_overtake() {
    let output = MemoryOutput::default();
    let clock = Arc::new(ManualClock::default());
    let mut run = stuck(&output, clock.clone());
    let later = Barrier::overtaking(CheckpointId(1), Duration::from_millis(10));
    for (subtask, _) in &mut run.subtasks {
        subtask.trigger(later, false).unwrap();
    }
    let mut sealed = Vec::new();
    while sealed.len() < 3 {
        for (subtask, _) in &mut run.subtasks {
            subtask.step(10).unwrap();
            sealed.extend(snapshots(subtask));
        }
    }
    assert!(sealed.iter().all(|sealed| !sealed.is_unaligned));
    assert!(sealed.iter().all(|sealed| rows_in_flight(sealed) == 0));
    clock.advance(Duration::from_millis(10));
    for (subtask, _) in &mut run.subtasks {
        subtask.step(10).unwrap();
        assert_eq!(snapshots(subtask).len(), 0);
    }
}

#[test]
fn a_checkpoint_that_is_given_up_hands_over_what_it_has_sealed_without_what_is_in_flight() {
    let output = MemoryOutput::default();
    let graph = two_exchanges(2, &output);
    let clock = Arc::new(ManualClock::default());
    let mut run = Run::start_with(&graph, None, LIMITS, Some(Duration::ZERO), clock);
    // The barrier of one source arrives, that of the other does not.
    let (source, _) = &mut run.subtasks[0];
    source.step(1_000).unwrap();
    source.trigger(BARRIER, false).unwrap();
    let (sums, _) = &mut run.subtasks[2];
    sums.step(100).unwrap();
    assert_eq!(snapshots(sums).len(), 0);
    sums.abort(CheckpointId(1)).unwrap();
    let sealed = snapshot(sums);
    assert_eq!(rows_in_flight(&sealed), 0);
    assert_eq!(sealed.checkpoint, CheckpointId(1));
}

/// The barrier of a subtask that has ended goes ahead of its end. Whoever read it first once took a snapshot as one that
/// still had input, so that the job resumed from it ended all its operators a second time.
#[test]
fn who_had_finished_is_finished_in_a_checkpoint_whose_barrier_overtakes_the_end() {
    let output = MemoryOutput::default();
    let graph = two_exchanges(1, &output);
    let mut random = fastrand::Rng::with_seed(3);
    let at_once = Some(Duration::ZERO);
    let mut first = Run::start(&graph, None, at_once, &mut random);
    assert!(first.play(&mut random, None, 3));

    let mut second = Run::start(&graph, first.last_completed, at_once, &mut random);
    let barrier = Barrier::overtaking(second.next_id, Duration::ZERO);
    for (subtask, _) in &mut second.subtasks {
        subtask.trigger(barrier, false).unwrap();
        subtask.step(10_000).unwrap();
        assert!(snapshot(subtask).finished, "{}", subtask.id());
    }
}

/// Sums, and behind a second exchange sums again: of one record each, so that the output is the same.
fn two_exchanges(parallelism: usize, output: &MemoryOutput<Sum>) -> JobGraph {
    let job = StreamBuilder::new("job")
        .parallelism(parallelism)
        .max_parallelism(MAX_PARALLELISM);
    let output = output.clone();
    job.source("numbers", || {
        let source = GeneratorSource::from_fn(Some(ROWS), 8, |_, index| record(index))?;
        Ok(source.with_batch_rows(16))
    })
    .key_by(|(key, _): &Sum| *key)
    .unaligned()
    .reduce(
        "sums",
        |_| 0_u64,
        |(key, value), mut sum| {
            *sum = (sum.to_native() + value).into();
            (*key, sum.to_native())
        },
    )
    .key_by(|(_, sum): &Sum| *sum)
    .unaligned()
    .reduce("totals", |_| 0_u64, |sum, _| *sum)
    .sink("out", move || Ok(MemorySink::of_rows(&output)));
    job.build().unwrap()
}

/// A run in which the last subtask reads nothing, so that the others have come to a standstill.
fn stuck(output: &MemoryOutput<Sum>, clock: Arc<ManualClock>) -> Run {
    let graph = two_exchanges(1, output);
    let mut run = Run::start_with(&graph, None, LIMITS, Some(Duration::ZERO), clock);
    let [(source, _), (sums, _), _] = &mut run.subtasks[..] else {
        panic!("three subtasks");
    };
    // The source has something waiting for room as well before the second one stands still.
    for _ in 0..20 {
        source.step(1_000).unwrap();
        sums.step(20).unwrap();
    }
    assert_eq!(sums.step(1_000).unwrap(), Progress::Waiting);
    assert_eq!(source.step(1_000).unwrap(), Progress::Waiting);
    run
}

fn snapshots(subtask: &mut Subtask) -> Vec<SealedSubtask> {
    let events = subtask.take_events();
    let snapshots = events.filter_map(|event| match event {
        SubtaskEvent::Snapshot(sealed) => Some(sealed),
        _ => None,
    });
    snapshots.collect()
}

fn snapshot(subtask: &mut Subtask) -> SealedSubtask {
    let mut snapshots = snapshots(subtask);
    assert_eq!(snapshots.len(), 1);
    snapshots.remove(0)
}

/// How many rows of what was in flight belong to a snapshot.
pub(super) fn rows_in_flight(sealed: &SealedSubtask) -> u64 {
    let elements = sealed.in_flight.iter().flat_map(|input| &input.elements);
    elements.map(InFlight::rows).sum::<usize>() as u64
}

/// What was in flight stays where it is, and is needed for each restore.
pub(super) fn copied(in_flight: &[CapturedInput]) -> Vec<CapturedInput> {
    let copied = in_flight.iter().map(|captured| CapturedInput {
        input: captured.input.clone(),
        edge: captured.edge,
        upstream: captured.upstream,
        codec: Arc::clone(&captured.codec),
        elements: captured.elements.clone(),
    });
    copied.collect()
}

/// What was in flight, by way of its bytes.
pub(super) fn restored(sealed: &SealedSubtask, reader: usize) -> Vec<RestoredInFlight> {
    let restored = copied(&sealed.in_flight).into_iter().map(|captured| {
        let sealed = captured.seal().unwrap();
        RestoredInFlight {
            reader,
            input: sealed.input,
            edge: sealed.edge,
            upstream: sealed.upstream,
            schema: sealed.schema,
            section: sealed.section,
        }
    });
    restored.collect()
}
