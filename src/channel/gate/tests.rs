use std::time::Duration;

use super::CheckpointMode::{AtLeastOnce, ExactlyOnce};
use super::GateCommand::{AdvanceWatermark, Block, ForwardCancel, UnblockAll};
use super::*;
use crate::channel;

mod overtaking;

/// What can happen to a gate: an input and a checkpoint, or one of them.
#[derive(Clone, Copy, Debug)]
enum Event {
    Barrier(usize, u64),
    Cancel(usize, u64),
    End(usize),
    Trigger(u64),
    Abort(u64),
    /// A barrier that overtakes at once.
    Overtaking(usize, u64),
    /// A barrier that overtakes from the third step on.
    Later(usize, u64),
    /// The time has come for a barrier that overtakes later.
    Overtake(u64),
    /// Too much was captured.
    Overflow,
}
use Event::{Abort, Barrier, Cancel, End, Later, Overflow, Overtake, Overtaking, Trigger};

/// From when on a [`Later`] overtakes.
const LATER: Duration = Duration::from_millis(3);

/// Feeds `steps` to a gate on whose inputs nothing overtakes; see [`check_gate`].
fn check(mode: CheckpointMode, inputs: usize, steps: &[(Event, Vec<GateCommand>)]) {
    check_gate(Gate::new(inputs, mode), steps);
}

/// Feeds `steps` to a gate that says of each input whether barriers can overtake on it.
fn check_overtaking(may_overtake: &[bool], steps: &[(Event, Vec<GateCommand>)]) {
    let gate = Gate::new(may_overtake.len(), ExactlyOnce);
    check_gate(gate.with_overtaking(may_overtake.iter().copied()), steps);
}

/// Feeds `steps` to a gate, one a millisecond, and compares its answers. The durations of alignments are left out.
fn check_gate(mut gate: Gate, steps: &[(Event, Vec<GateCommand>)]) {
    for (number, (event, expected)) in steps.iter().enumerate() {
        let now = Duration::from_millis(number as u64);
        let mut commands = match *event {
            Barrier(input, id) => gate.barrier(input, aligned(id), now),
            Overtaking(input, id) => gate.barrier(input, overtaking(id), now),
            Later(input, id) => gate.barrier(input, later(id), now),
            Overtake(id) => gate.overtake(CheckpointId(id), now),
            Overflow => gate.overflow(),
            Cancel(input, id) => gate.cancel_barrier(input, CheckpointId(id)),
            End(input) => gate.end(input, now),
            Trigger(id) => gate.trigger(aligned(id), now),
            Abort(id) => gate.abort(CheckpointId(id)),
        };
        for command in &mut commands {
            match command {
                GateCommand::Snapshot {
                    alignment: Some(alignment),
                    ..
                }
                | GateCommand::Aligned { alignment, .. } => *alignment = Alignment::default(),
                _ => {}
            }
        }
        assert_eq!(&commands, expected, "step {number}, {event:?} of {steps:?}");
        assert_eq!(
            gate.check_invariants(),
            Ok(()),
            "step {number} of {steps:?}"
        );
    }
}

fn aligned(id: u64) -> channel::Barrier {
    channel::Barrier::aligned(CheckpointId(id))
}

fn overtaking(id: u64) -> channel::Barrier {
    channel::Barrier::overtaking(CheckpointId(id), Duration::ZERO)
}

fn later(id: u64) -> channel::Barrier {
    channel::Barrier::overtaking(CheckpointId(id), LATER)
}

fn snapshot(id: u64) -> GateCommand {
    complete(aligned(id))
}

/// The snapshot of a barrier that is there on all inputs.
fn complete(barrier: channel::Barrier) -> GateCommand {
    GateCommand::Snapshot {
        barrier,
        alignment: Some(Alignment::default()),
    }
}

/// The snapshot of a barrier that is missing on inputs.
fn incomplete(barrier: channel::Barrier) -> GateCommand {
    GateCommand::Snapshot {
        barrier,
        alignment: None,
    }
}

/// The barrier of a snapshot that was taken before is there on all inputs now.
fn all_in(id: u64) -> GateCommand {
    GateCommand::Aligned {
        checkpoint: CheckpointId(id),
        alignment: Alignment::default(),
    }
}

fn decline(id: u64, reason: DeclineReason) -> GateCommand {
    GateCommand::Decline {
        checkpoint: CheckpointId(id),
        reason,
    }
}

/// The commands that give up `id` because a newer barrier came.
fn subsumed(id: u64) -> [GateCommand; 2] {
    [
        decline(id, DeclineReason::Subsumed),
        ForwardCancel(CheckpointId(id)),
    ]
}

/// The commands that give up `id` because of a cancel barrier.
fn cancelled(id: u64) -> [GateCommand; 2] {
    [
        decline(id, DeclineReason::CancellationBarrier),
        ForwardCancel(CheckpointId(id)),
    ]
}

fn end_of_all() -> [GateCommand; 2] {
    [AdvanceWatermark(EventTime::MAX), GateCommand::End]
}

#[test]
fn the_only_input_is_aligned_at_once() {
    check(
        ExactlyOnce,
        1,
        &[
            (Barrier(0, 1), vec![snapshot(1)]),
            (Barrier(0, 2), vec![snapshot(2)]),
        ],
    );
}

#[test]
fn a_gate_without_inputs_is_aligned_by_each_trigger() {
    check(
        ExactlyOnce,
        0,
        &[
            (Trigger(3), vec![snapshot(3)]),
            (Trigger(3), vec![]),
            (Trigger(5), vec![snapshot(5)]),
            (Abort(6), vec![]),
            (Trigger(6), vec![]),
        ],
    );
}

#[test]
fn inputs_are_blocked_from_their_barrier_to_the_last_barrier() {
    check(
        ExactlyOnce,
        3,
        &[
            (Trigger(1), vec![]),
            (Barrier(2, 1), vec![Block(2)]),
            (Barrier(0, 1), vec![Block(0)]),
            (Barrier(1, 1), vec![snapshot(1), UnblockAll]),
        ],
    );
}

#[test]
fn at_least_once_blocks_nothing_and_aligns_several_checkpoints_at_a_time() {
    check(
        AtLeastOnce,
        2,
        &[
            (Barrier(0, 1), vec![]),
            (Barrier(0, 2), vec![]),
            (Barrier(0, 3), vec![]),
            (Barrier(1, 1), vec![snapshot(1)]),
            (Barrier(1, 2), vec![snapshot(2)]),
            (End(1), vec![snapshot(3)]),
        ],
    );
}

#[test]
fn a_newer_barrier_ends_the_alignment_of_an_older_checkpoint() {
    let [declined, forwarded] = subsumed(1);
    check(
        ExactlyOnce,
        3,
        &[
            (Barrier(0, 1), vec![Block(0)]),
            (
                Barrier(1, 2),
                vec![declined, forwarded, UnblockAll, Block(1)],
            ),
            // The older barrier comes late: it does not block its input.
            (Barrier(2, 1), vec![]),
            (Barrier(2, 2), vec![Block(2)]),
            (Barrier(0, 2), vec![snapshot(2), UnblockAll]),
        ],
    );
}

#[test]
fn a_newer_barrier_ends_the_older_alignment_that_its_input_has_skipped_at_least_once_too() {
    check(
        AtLeastOnce,
        2,
        &[
            (Barrier(0, 1), vec![]),
            (Barrier(0, 2), vec![]),
            (Barrier(1, 2), [&subsumed(1)[..], &[snapshot(2)]].concat()),
        ],
    );
}

#[test]
fn a_checkpoint_that_an_input_has_skipped_is_declined_when_it_is_first_heard_of() {
    check(
        ExactlyOnce,
        2,
        &[
            (Barrier(0, 5), vec![Block(0)]),
            (Trigger(3), subsumed(3).to_vec()),
            (Barrier(1, 3), vec![]),
            (Barrier(1, 4), subsumed(4).to_vec()),
            (Trigger(4), vec![]),
            (Barrier(1, 5), vec![snapshot(5), UnblockAll]),
        ],
    );
}

#[test]
fn barriers_of_finished_checkpoints_are_ignored() {
    check(
        ExactlyOnce,
        2,
        &[
            (Barrier(0, 2), vec![Block(0)]),
            (Barrier(1, 2), vec![snapshot(2), UnblockAll]),
            (Barrier(0, 2), vec![]),
            (Barrier(1, 1), vec![]),
            (Cancel(1, 2), vec![]),
            (Trigger(2), vec![]),
            (Abort(2), vec![]),
        ],
    );
}

#[test]
fn a_cancel_barrier_ends_the_alignment_and_is_forwarded_once() {
    let [declined, forwarded] = cancelled(1);
    check(
        ExactlyOnce,
        3,
        &[
            (Barrier(0, 1), vec![Block(0)]),
            (Cancel(1, 1), vec![declined, forwarded, UnblockAll]),
            (Cancel(2, 1), vec![]),
            (Barrier(0, 2), vec![Block(0)]),
        ],
    );
}

#[test]
fn a_barrier_after_the_cancel_barrier_of_its_checkpoint_does_not_block() {
    check(
        ExactlyOnce,
        2,
        &[
            (Cancel(0, 1), cancelled(1).to_vec()),
            (Barrier(1, 1), vec![]),
            (Barrier(0, 2), vec![Block(0)]),
            (Barrier(1, 2), vec![snapshot(2), UnblockAll]),
        ],
    );
}

#[test]
fn a_cancel_barrier_of_a_newer_checkpoint_ends_the_older_alignment() {
    let [declined, forwarded] = subsumed(1);
    check(
        ExactlyOnce,
        2,
        &[
            (Barrier(0, 1), vec![Block(0)]),
            (
                Cancel(1, 2),
                [&[declined, forwarded, UnblockAll], &cancelled(2)[..]].concat(),
            ),
        ],
    );
}

#[test]
fn an_abort_ends_the_alignment_and_its_late_barriers_do_not_block() {
    check(
        ExactlyOnce,
        3,
        &[
            (Barrier(0, 1), vec![Block(0)]),
            (Abort(1), vec![UnblockAll]),
            (Barrier(1, 1), vec![]),
            (Cancel(2, 1), vec![]),
            // An abort may overtake all barriers.
            (Abort(2), vec![]),
            (Barrier(0, 2), vec![]),
            (Barrier(1, 3), vec![Block(1)]),
        ],
    );
}

#[test]
fn an_input_that_ends_while_aligning_counts_as_aligned() {
    check(
        ExactlyOnce,
        3,
        &[
            (Barrier(0, 1), vec![Block(0)]),
            (End(1), vec![]),
            (Barrier(2, 1), vec![snapshot(1), UnblockAll]),
            (Barrier(0, 2), vec![Block(0)]),
            (End(2), vec![snapshot(2), UnblockAll]),
        ],
    );
}

#[test]
fn when_all_inputs_have_ended_the_trigger_alone_is_enough() {
    let [watermark, end] = end_of_all();
    check(
        ExactlyOnce,
        2,
        &[
            (End(0), vec![]),
            (End(0), vec![]),
            (Trigger(1), vec![]),
            (End(1), vec![snapshot(1), watermark, end]),
            (Trigger(2), vec![snapshot(2)]),
        ],
    );
}

#[test]
fn all_triggers_still_open_are_answered_in_order_when_the_last_input_ends() {
    for mode in [ExactlyOnce, AtLeastOnce] {
        let [watermark, end] = end_of_all();
        check(
            mode,
            1,
            &[
                (Trigger(1), vec![]),
                (Trigger(2), vec![]),
                (Trigger(3), vec![]),
                (Abort(2), vec![]),
                (End(0), vec![snapshot(1), snapshot(3), watermark, end]),
            ],
        );
    }
}

#[test]
fn no_more_given_up_checkpoints_are_remembered_than_the_bound_allows() {
    let mut gate = Gate::new(2, ExactlyOnce);
    for id in 1..=3 * GIVEN_UP_MAX as u64 {
        gate.abort(CheckpointId(id));
        assert_eq!(gate.check_invariants(), Ok(()));
    }
    assert_eq!(gate.given_up.len(), GIVEN_UP_MAX);
}

#[test]
fn start_delay_and_alignment_are_measured_from_trigger_to_first_to_last_barrier() {
    let millis = Duration::from_millis;
    let alignment = Alignment {
        start_delay: millis(30),
        duration: millis(40),
    };
    let mut gate = Gate::new(2, ExactlyOnce);
    gate.trigger(aligned(1), millis(100));
    gate.barrier(0, aligned(1), millis(130));
    let commands = gate.barrier(1, aligned(1), millis(170));
    let expected = GateCommand::Snapshot {
        barrier: aligned(1),
        alignment: Some(alignment),
    };
    assert_eq!(commands[0], expected);
    // A barrier that overtakes is as long under way as it takes to be there on all inputs.
    let mut gate = gate.with_overtaking([true, true]);
    gate.trigger(overtaking(2), millis(200));
    gate.barrier(0, overtaking(2), millis(230));
    let commands = gate.barrier(1, overtaking(2), millis(270));
    let checkpoint = CheckpointId(2);
    assert_eq!(
        commands,
        [GateCommand::Aligned {
            checkpoint,
            alignment
        }]
    );
}

#[test]
fn the_watermark_is_the_smallest_of_the_open_inputs_and_never_goes_back() {
    let mut gate = Gate::new(3, ExactlyOnce);
    let time = |time| Some(EventTime(time));
    assert_eq!(
        gate.watermark(0, EventTime(10)),
        None,
        "two inputs are mute"
    );
    assert_eq!(gate.watermark(1, EventTime(30)), None, "one input is mute");
    assert_eq!(gate.watermark(2, EventTime(20)), time(10));
    assert_eq!(gate.watermark(0, EventTime(5)), None, "an input goes back");
    assert_eq!(gate.watermark(0, EventTime(10)), None, "nothing advances");
    assert_eq!(gate.watermark(0, EventTime(40)), time(20));
    assert_eq!(gate.watermark(0, EventTime(22)), None, "an input goes back");
    assert_eq!(
        gate.watermark(2, EventTime(25)),
        time(25),
        "it did not count"
    );
    let now = Duration::ZERO;
    assert_eq!(gate.end(0, now), []);
    assert_eq!(gate.end(2, now), [AdvanceWatermark(EventTime(30))]);
    assert_eq!(gate.watermark(1, EventTime(35)), time(35));
    assert_eq!(gate.end(1, now), end_of_all());
}
