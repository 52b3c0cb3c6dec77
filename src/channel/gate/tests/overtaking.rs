//! Barriers that overtake what is in flight.

use super::Event::{Abort, Barrier, Cancel, End, Later, Overflow, Overtake, Overtaking, Trigger};
use super::GateCommand::{Block, EndCapture, ForwardCancel, UnblockAll};
use super::*;

#[test]
fn a_barrier_that_overtakes_is_waited_for_on_one_input_only() {
    check_overtaking(
        &[true, true, true],
        &[
            (Trigger(1), vec![]),
            (Overtaking(1, 1), vec![incomplete(overtaking(1))]),
            (Overtaking(0, 1), vec![]),
            (Overtaking(0, 1), vec![]),
            (Overtaking(2, 1), vec![all_in(1)]),
            (Trigger(1), vec![]),
            (Abort(1), vec![]),
            (Overtaking(2, 2), vec![incomplete(overtaking(2))]),
        ],
    );
}

#[test]
fn the_only_input_is_aligned_at_once_whether_its_barrier_overtakes_or_not() {
    check_overtaking(
        &[true],
        &[
            (Overtaking(0, 1), vec![complete(overtaking(1))]),
            (Later(0, 2), vec![complete(later(2))]),
        ],
    );
}

#[test]
fn inputs_on_which_nothing_overtakes_are_waited_for() {
    check_overtaking(
        &[true, false, true],
        &[
            (Overtaking(0, 1), vec![Block(0)]),
            (
                Overtaking(1, 1),
                vec![incomplete(overtaking(1)), UnblockAll],
            ),
            (Overtaking(2, 1), vec![all_in(1)]),
            (Overtaking(2, 2), vec![Block(2)]),
            // Its end is as good as its barrier.
            (End(1), vec![incomplete(overtaking(2)), UnblockAll]),
            (Overtaking(0, 2), vec![all_in(2)]),
        ],
    );
}

#[test]
fn barriers_of_savepoints_are_aligned_where_others_overtake() {
    check_overtaking(
        &[true, true],
        &[
            (Barrier(0, 1), vec![Block(0)]),
            (Overtake(1), vec![]),
            (Barrier(1, 1), vec![snapshot(1), UnblockAll]),
        ],
    );
}

#[test]
fn a_barrier_is_aligned_until_its_time_to_overtake_has_come() {
    check_overtaking(
        &[true, true, true],
        &[
            (Later(0, 1), vec![Block(0)]),
            (Overtake(1), vec![]),
            (Later(1, 1), vec![Block(1)]),
            (Overtake(1), vec![incomplete(later(1)), UnblockAll]),
            (Overtake(1), vec![]),
            (Later(2, 1), vec![all_in(1)]),
            // From its time on the first one is enough.
            (Later(1, 2), vec![incomplete(later(2))]),
        ],
    );
}

#[test]
fn a_barrier_that_is_aligned_in_time_never_overtakes() {
    check_overtaking(
        &[true, true],
        &[
            (Later(0, 1), vec![Block(0)]),
            (Later(1, 1), vec![complete(later(1)), UnblockAll]),
            (Overtake(1), vec![]),
            (Overtake(1), vec![]),
        ],
    );
}

#[test]
fn an_input_that_ends_is_captured_no_longer() {
    let [watermark, end] = end_of_all();
    check_overtaking(
        &[true, true, true],
        &[
            (Overtaking(0, 1), vec![incomplete(overtaking(1))]),
            (End(1), vec![]),
            (End(2), vec![all_in(1)]),
            (End(0), vec![watermark, end]),
        ],
    );
}

#[test]
fn whatever_gives_a_checkpoint_up_ends_its_capture() {
    let began = || (Overtaking(0, 1), vec![incomplete(overtaking(1))]);
    let ended = || vec![EndCapture(CheckpointId(1))];
    let inputs = [true, true, true];
    check_overtaking(
        &inputs,
        &[
            began(),
            (Abort(1), ended()),
            (Abort(1), vec![]),
            (Overtaking(1, 1), vec![]),
        ],
    );
    check_overtaking(
        &inputs,
        &[
            began(),
            (Cancel(1, 1), [&cancelled(1)[..], &ended()].concat()),
            (Cancel(2, 1), vec![]),
        ],
    );
    // A cancel barrier can follow the barrier that has overtaken.
    check_overtaking(
        &inputs,
        &[
            began(),
            (Cancel(0, 1), [&cancelled(1)[..], &ended()].concat()),
        ],
    );
    let declined = decline(1, DeclineReason::InFlightTooLarge);
    let forwarded = ForwardCancel(CheckpointId(1));
    check_overtaking(
        &inputs,
        &[
            began(),
            (Overflow, [&[declined, forwarded][..], &ended()].concat()),
            (Overflow, vec![]),
        ],
    );
    let next = incomplete(overtaking(2));
    for input in 0..3 {
        check_overtaking(
            &inputs,
            &[
                began(),
                (
                    Overtaking(input, 2),
                    [&subsumed(1)[..], &ended(), std::slice::from_ref(&next)].concat(),
                ),
            ],
        );
    }
}

#[test]
fn a_newer_barrier_that_overtakes_ends_the_alignment_even_on_a_blocked_input() {
    let [declined, forwarded] = subsumed(1);
    check_overtaking(
        &[true, false],
        &[
            (Overtaking(0, 1), vec![Block(0)]),
            (
                Overtaking(0, 2),
                vec![declined, forwarded, UnblockAll, Block(0)],
            ),
            (Barrier(1, 1), vec![]),
            (Overtaking(1, 2), vec![complete(overtaking(2)), UnblockAll]),
        ],
    );
}
