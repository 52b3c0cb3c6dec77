//! Savepoints stand beside the checkpoints: they commit nothing, subsume nothing, and are not subsumed.

use super::*;

#[test]
fn a_savepoint_completes_without_anything_being_committed() {
    let mut run = Run::new(without_interval());
    assert_eq!(run.request_savepoint(), [trigger(1, Savepoint)]);
    assert_eq!(run.acknowledge_both(1), [run.write(1, Savepoint, 0)]);
    assert_eq!(run.manifest(1), []);
    assert_eq!(run.answers(), [(1, Ok(1))]);
}

#[test]
fn a_savepoint_is_triggered_beside_a_pending_checkpoint_and_is_not_subsumed() {
    let mut run = Run::new(settings());
    run.at(100);
    assert_eq!(run.request_savepoint(), [trigger(2, Savepoint)]);
    run.acknowledge_both(2);
    assert_eq!(run.at(250), [], "the first checkpoint is still pending");
    assert_eq!(run.complete(1), [complete(1), trigger(3, Periodic)]);
    assert_eq!(
        run.complete(3),
        [complete(3)],
        "the savepoint before it stays"
    );
    assert_eq!(run.manifest(2), []);
    assert_eq!(run.answers(), [(1, Ok(2))]);
}

#[test]
fn a_savepoint_that_is_not_acknowledged_yet_is_not_subsumed_either() {
    let mut run = Run::new(CheckpointSettings {
        max_concurrent: 2,
        ..without_interval()
    });
    run.request_savepoint();
    run.acknowledge(1, 0, "a");
    assert_eq!(run.request(), [trigger(2, Requested)]);
    assert_eq!(run.complete(2), [complete(2)]);
    assert_eq!(run.acknowledge(1, 1, "b"), [run.write(1, Savepoint, 0)]);
}

#[test]
fn an_aligned_savepoint_and_unaligned_checkpoints_never_meet() {
    let mut run = Run::new(CheckpointSettings {
        overtaking_after: Some(Duration::ZERO),
        ..settings()
    });
    run.at(100);
    assert_eq!(run.request_savepoint(), []);
    assert_eq!(run.complete(1), [complete(1), trigger(2, Savepoint)]);
    assert_eq!(run.at(300), []);
    // Its barriers are through when all have acknowledged it.
    let commands = [run.write(2, Savepoint, 100), trigger(3, Periodic)];
    assert_eq!(run.acknowledge_both(2), commands);
}

#[test]
fn a_savepoint_that_fails_outside_of_the_subtasks_does_not_count_against_the_job() {
    /// A failure of a savepoint, and whether the job that tolerates none fails with it.
    fn check(fail: impl Fn(&mut Run) -> Vec<Command>, fails: bool) {
        let mut run = Run::new(without_interval());
        run.request_savepoint();
        let commands = fail(&mut run);
        let has_failed = commands
            .iter()
            .any(|command| matches!(command, FailJob { .. }));
        assert_eq!(has_failed, fails, "{commands:?}");
        assert!(matches!(run.answers()[..], [(1, Err(_))]));
    }
    check(|run| run.at(1_000), false);
    check(
        |run| {
            run.acknowledge_both(1);
            run.manifest_fails(1)
        },
        false,
    );
    check(|run| run.decline(1, FailureReason::AsyncException), true);
    check(|run| run.decline(1, FailureReason::DeclinedSubsumed), false);
}

#[test]
fn the_end_of_a_job_waits_for_a_savepoint_that_is_being_written_and_gives_up_any_other() {
    let mut run = Run::new(without_interval());
    run.request_savepoint();
    run.acknowledge_both(1);
    run.request_savepoint();
    assert_eq!(run.stop(), [trigger(2, Stop)]);
    run.complete(2);
    assert_eq!(
        run.answers(),
        [(2, Err(FailureReason::CoordinatorShutdown))]
    );
    run.commit(2, 0);
    assert_eq!(run.commit(2, 1), []);
    assert_eq!(run.manifest(1), [Stopped]);
    assert_eq!(run.answers(), [(1, Ok(1))]);
}

#[test]
fn a_failed_job_still_answers_for_a_savepoint_that_was_being_written() {
    let mut run = Run::new(without_interval());
    run.request_savepoint();
    run.acknowledge_both(1);
    assert_eq!(run.shut_down(FailureReason::TaskFailure), []);
    assert_eq!(run.manifest(1), []);
    assert_eq!(run.answers(), [(1, Ok(1))]);
}
