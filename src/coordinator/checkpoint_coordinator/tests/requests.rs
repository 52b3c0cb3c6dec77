//! Who asks for checkpoints, in which order they are taken, and what is answered.

use super::*;
use crate::coordinator::request_queue::REQUESTS_MAX;

const SHUT_DOWN: FailureReason = FailureReason::CoordinatorShutdown;

#[test]
fn each_request_is_answered_by_a_checkpoint_of_its_own() {
    let mut run = Run::new(without_interval());
    assert_eq!(run.request(), [trigger(1, Requested)]);
    assert_eq!(run.request(), []);
    assert_eq!(run.complete(1), [complete(1), trigger(2, Requested)]);
    assert_eq!(run.answers(), [(1, Ok(1))]);
    assert_eq!(
        run.decline(2, FailureReason::DeclinedSubsumed)[0],
        aborted(2, FailureReason::DeclinedSubsumed)
    );
    assert_eq!(run.answers(), [(2, Err(FailureReason::DeclinedSubsumed))]);
}

#[test]
fn savepoints_go_before_requested_checkpoints_and_those_before_periodic_ones() {
    let mut run = Run::new(settings());
    run.at(100);
    run.at(200);
    assert_eq!(run.request(), []);
    assert_eq!(run.request_savepoint(), [trigger(2, Savepoint)]);
    assert_eq!(run.request_savepoint(), [], "there is one at a time");
    assert_eq!(
        run.complete(1),
        [complete(1)],
        "the savepoint takes the room"
    );
    // While it is only written, checkpoints go on.
    let commands = [run.write(2, Savepoint, 200), trigger(3, Requested)];
    assert_eq!(run.acknowledge_both(2), commands);
    assert_eq!(run.complete(3), [complete(3), trigger(4, Periodic)]);
    assert_eq!(run.manifest(2), [trigger(5, Savepoint)]);
}

#[test]
fn a_checkpoint_that_a_subtask_wants_is_taken_before_its_time_and_not_beside_another() {
    let mut run = Run::new(settings());
    assert_eq!(run.want(), [trigger(1, Periodic)]);
    assert_eq!(run.want(), [], "its barrier may be on its way");
    assert_eq!(run.complete(1), [complete(1), trigger(2, Periodic)]);
    // It was wanted once more, and no longer.
    assert_eq!(run.complete(2), [complete(2)]);
    // The others stay on their grid.
    assert_eq!(run.at(100), [trigger(3, Periodic)]);
    run.complete(3);
    let mut run = Run::new(without_interval());
    assert_eq!(run.want(), [trigger(1, Periodic)]);
}

#[test]
fn a_request_too_many_is_refused_and_those_that_wait_stay() {
    let mut run = Run::new(without_interval());
    run.request();
    for _ in 0..REQUESTS_MAX {
        run.request();
    }
    assert_eq!(run.answers(), []);
    run.request();
    let refused = REQUESTS_MAX as u64 + 2;
    let expected = (refused, Err(FailureReason::TooManyRequests));
    assert_eq!(run.answers(), [expected]);
    run.shut_down(SHUT_DOWN);
    let answers = run.answers();
    assert_eq!(answers.len(), REQUESTS_MAX + 1);
    assert!(answers.iter().all(|(_, answer)| *answer == Err(SHUT_DOWN)));
}

#[test]
fn a_request_after_the_end_is_refused() {
    let mut run = Run::new(without_interval());
    run.stop();
    run.request();
    assert_eq!(run.answers(), []);
    run.complete(1);
    assert_eq!(
        run.answers(),
        [(1, Err(SHUT_DOWN))],
        "nothing follows the stop"
    );
    run.request_savepoint();
    assert_eq!(run.answers(), [(2, Err(SHUT_DOWN))]);
}

#[test]
fn a_stop_is_answered_when_everything_is_committed_and_a_second_one_is_refused() {
    let mut run = Run::new(without_interval());
    assert_eq!(run.stop_with(false), [trigger(1, Stop)]);
    run.stop_with(true);
    assert_eq!(run.answers(), [(2, Err(SHUT_DOWN))]);
    run.complete(1);
    run.commit(1, 0);
    assert_eq!(run.answers(), []);
    assert_eq!(run.commit(1, 1), [Stopped]);
    assert_eq!(run.answers(), [(1, Ok(1))]);
    run.shut_down(SHUT_DOWN);
    assert_eq!(run.answers(), [], "it is answered once");
}

#[test]
fn a_drain_ends_the_input_and_the_final_checkpoint_is_the_answer() {
    let mut run = Run::new(settings());
    assert_eq!(run.stop_with(true), [CheckpointCommand::Drain]);
    assert_eq!(
        run.at(100),
        [trigger(1, Periodic)],
        "a long end goes on being saved"
    );
    run.finish(0);
    run.finish(1);
    assert_eq!(run.complete(1), [complete(1), trigger(2, Final)]);
    run.complete(2);
    run.commit(2, 0);
    assert_eq!(run.commit(2, 1), [Finished]);
    assert_eq!(run.answers(), [(1, Ok(2))]);
}

#[test]
fn a_stop_that_fails_says_why() {
    let mut run = Run::new(without_interval());
    run.stop_with(false);
    let reason = FailureReason::FinalizeFailure;
    run.acknowledge_both(1);
    assert_eq!(
        run.manifest_fails(1),
        [aborted(1, reason), fail_job(Stop, reason)]
    );
    assert_eq!(run.answers(), [(1, Err(reason))]);
    run.shut_down(SHUT_DOWN);
    assert_eq!(run.answers(), []);
    let mut run = Run::new(without_interval());
    run.stop_with(false);
    run.shut_down(SHUT_DOWN);
    assert_eq!(run.answers(), [(1, Err(SHUT_DOWN))]);
}

/// The message of a job that failed said the reason alone, and nobody knew what to mend.
#[test]
fn a_job_that_fails_with_its_checkpoints_names_the_cause() {
    let mut run = Run::new(without_interval());
    run.request();
    let failure = CheckpointFailure::new(FailureReason::AsyncException, "disk full");
    let commands = run
        .coordinator
        .declined(CheckpointId(1), &subtask(1), failure.clone(), run.now);
    let kind = Requested;
    assert!(
        commands.contains(&FailJob { kind, failure }),
        "{commands:?}"
    );
    let mut run = Run::new(without_interval());
    run.request();
    run.acknowledge(1, 0, "a");
    run.at(1_000);
    let cause = "not acknowledged within 1s by sum[1]";
    assert_eq!(
        run.causes,
        [cause, cause],
        "of the checkpoint and of the job"
    );
}

#[test]
fn nothing_but_the_last_checkpoint_is_triggered_while_too_much_is_being_removed() {
    let mut run = Run::new(without_interval());
    for _ in 0..2 {
        run.coordinator.cleaning_begun();
    }
    assert_eq!(run.request(), []);
    assert_eq!(run.request_savepoint(), []);
    let commands = run.coordinator.cleaning_ended(run.now);
    assert_eq!(run.seen(commands), [trigger(1, Savepoint)]);
    let mut run = Run::new(settings());
    for _ in 0..2 {
        run.coordinator.cleaning_begun();
    }
    assert_eq!(run.at(100), []);
    assert_eq!(run.stop(), [trigger(1, Stop)]);
}
