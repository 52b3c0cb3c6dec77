use super::*;
use CheckpointCommand::{
    Answer, Discard, FailJob, Finished, NotifyAborted, NotifyComplete, Stopped, Trigger, WakeAt,
    WriteManifest,
};

mod finished;
mod requests;
mod savepoints;

type Command = CheckpointCommand<&'static str>;

/// A coordinator of two subtasks, a clock, and short names for its events.
struct Run {
    coordinator: CheckpointCoordinator<&'static str>,
    now: Duration,
    requests: u64,
    /// What requests were answered with.
    answers: Vec<(u64, Result<u64, FailureReason>)>,
    /// The causes of failures.
    causes: Vec<String>,
}

fn subtask(index: usize) -> SubtaskId {
    SubtaskId::new("sum".into(), index)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An interval of 100 ms and a timeout of 1 s.
fn settings() -> CheckpointSettings {
    CheckpointSettings {
        interval: Some(millis(100)),
        timeout: millis(1_000),
        ..CheckpointSettings::default()
    }
}

/// Starts a coordinator of one subtask at time zero.
fn start(coordinator: &mut CheckpointCoordinator<&'static str>, next_id: u64) -> Vec<Command> {
    let subtasks = [subtask(0)].into();
    coordinator.started(
        subtasks,
        BTreeSet::new(),
        CheckpointId(next_id),
        Duration::ZERO,
    )
}

fn without_interval() -> CheckpointSettings {
    CheckpointSettings {
        interval: None,
        ..settings()
    }
}

fn trigger(id: u64, kind: CheckpointKind) -> Command {
    Trigger {
        checkpoint: CheckpointId(id),
        kind,
        finished: Vec::new(),
    }
}

fn complete(id: u64) -> Command {
    NotifyComplete(CheckpointId(id))
}

fn aborted(id: u64, reason: FailureReason) -> Command {
    NotifyAborted {
        checkpoint: CheckpointId(id),
        failure: reason.into(),
    }
}

fn fail_job(kind: CheckpointKind, reason: FailureReason) -> Command {
    FailJob {
        kind,
        failure: reason.into(),
    }
}

use CheckpointKind::{Final, Periodic, Requested, Savepoint, Stop};

impl Run {
    /// Started at time zero; the first checkpoint will be 1.
    fn new(settings: CheckpointSettings) -> Self {
        let mut coordinator = CheckpointCoordinator::new(settings);
        let subtasks = [subtask(0), subtask(1)].into();
        coordinator.started(subtasks, BTreeSet::new(), CheckpointId(1), Duration::ZERO);
        Self {
            coordinator,
            now: Duration::ZERO,
            requests: 0,
            answers: Vec::new(),
            causes: Vec::new(),
        }
    }

    /// Leaves out when to wake up, and keeps answers and causes apart: most rules have nothing to do with them.
    fn seen(&mut self, commands: Vec<Command>) -> Vec<Command> {
        let mut seen = Vec::new();
        for mut command in commands {
            match &mut command {
                WakeAt(_) => continue,
                Answer { request, result } => {
                    let result = result.as_ref().map(|id| id.0);
                    let result = result.map_err(|failure| failure.reason);
                    self.answers.push((request.0, result));
                    continue;
                }
                NotifyAborted { failure, .. } | FailJob { failure, .. } => {
                    self.causes.extend(failure.cause.take());
                }
                _ => {}
            }
            seen.push(command);
        }
        seen
    }

    fn answers(&mut self) -> Vec<(u64, Result<u64, FailureReason>)> {
        std::mem::take(&mut self.answers)
    }

    fn at(&mut self, now: u64) -> Vec<Command> {
        self.now = millis(now);
        let commands = self.coordinator.tick(self.now);
        self.seen(commands)
    }

    /// Asks for a checkpoint; requests are numbered from 1.
    fn request(&mut self) -> Vec<Command> {
        self.request_a(RequestKind::Checkpoint)
    }

    fn request_savepoint(&mut self) -> Vec<Command> {
        self.request_a(RequestKind::Savepoint)
    }

    fn want(&mut self) -> Vec<Command> {
        let commands = self.coordinator.wanted(self.now);
        self.seen(commands)
    }

    fn request_a(&mut self, kind: RequestKind) -> Vec<Command> {
        self.requests += 1;
        let request = RequestId(self.requests);
        let commands = self.coordinator.requested(request, kind, self.now);
        self.seen(commands)
    }

    fn stop_with(&mut self, drain: bool) -> Vec<Command> {
        self.requests += 1;
        let request = Some(RequestId(self.requests));
        let commands = self.coordinator.stop_requested(request, drain, self.now);
        self.seen(commands)
    }

    fn stop(&mut self) -> Vec<Command> {
        let commands = self.coordinator.stop_requested(None, false, self.now);
        self.seen(commands)
    }

    fn shut_down(&mut self, reason: FailureReason) -> Vec<Command> {
        let commands = self.coordinator.shut_down(&reason.into(), self.now);
        self.seen(commands)
    }

    fn acknowledge(&mut self, id: u64, index: usize, state: &'static str) -> Vec<Command> {
        let (id, subtask) = (CheckpointId(id), subtask(index));
        let commands = self.coordinator.acknowledged(id, &subtask, state, self.now);
        self.seen(commands)
    }

    /// Both subtasks acknowledge; returns what the second acknowledgement brings about.
    fn acknowledge_both(&mut self, id: u64) -> Vec<Command> {
        assert_eq!(self.acknowledge(id, 0, "a"), []);
        self.acknowledge(id, 1, "b")
    }

    fn decline(&mut self, id: u64, reason: FailureReason) -> Vec<Command> {
        let id = CheckpointId(id);
        let commands = self.coordinator.declined(id, &subtask(0), reason, self.now);
        self.seen(commands)
    }

    fn finish(&mut self, index: usize) -> Vec<Command> {
        let commands = self.coordinator.subtask_finished(&subtask(index), self.now);
        self.seen(commands)
    }

    fn manifest(&mut self, id: u64) -> Vec<Command> {
        let id = CheckpointId(id);
        let commands = self.coordinator.manifest_committed(id, self.now);
        self.seen(commands)
    }

    fn manifest_fails(&mut self, id: u64) -> Vec<Command> {
        let (id, reason) = (CheckpointId(id), FailureReason::FinalizeFailure);
        let commands = self.coordinator.manifest_failed(id, reason, self.now);
        self.seen(commands)
    }

    fn commit(&mut self, id: u64, index: usize) -> Vec<Command> {
        let (id, subtask) = (CheckpointId(id), subtask(index));
        let commands = self.coordinator.committed(id, &subtask, self.now);
        self.seen(commands)
    }

    fn write(&self, id: u64, kind: CheckpointKind, triggered_at: u64) -> Command {
        WriteManifest {
            checkpoint: CheckpointId(id),
            kind,
            acknowledged: vec![(subtask(0), "a"), (subtask(1), "b")],
            finished: Vec::new(),
            triggered_at: millis(triggered_at),
        }
    }

    /// Carries a pending checkpoint to its completion.
    fn complete(&mut self, id: u64) -> Vec<Command> {
        self.acknowledge_both(id);
        self.manifest(id)
    }
}

#[test]
fn a_checkpoint_is_complete_when_all_have_acknowledged_and_the_manifest_is_durable() {
    let mut run = Run::new(settings());
    assert_eq!(run.at(99), []);
    assert_eq!(run.at(100), [trigger(1, Periodic)]);
    assert_eq!(run.acknowledge(1, 1, "b"), []);
    let write = run.write(1, Periodic, 100);
    assert_eq!(run.acknowledge(1, 0, "a"), [write]);
    assert_eq!(run.manifest(1), [complete(1)]);
    assert_eq!(run.commit(1, 0), [], "only the last commit is waited for");
    assert_eq!(run.at(200), [trigger(2, Periodic)]);
}

#[test]
fn nothing_is_complete_before_its_manifest_is_asked_for() {
    let mut run = Run::new(settings());
    run.at(100);
    assert_eq!(run.manifest(1), []);
    assert_eq!(run.acknowledge(1, 0, "a"), []);
    assert_eq!(run.manifest(1), []);
    assert_eq!(run.manifest_fails(1), []);
    assert_eq!(run.manifest(7), []);
}

#[test]
fn the_next_tick_is_asked_for_once() {
    let mut coordinator = CheckpointCoordinator::<&str>::new(settings());
    let commands = start(&mut coordinator, 1);
    assert_eq!(commands, [WakeAt(millis(100))]);
    assert_eq!(
        coordinator.requested(RequestId(1), RequestKind::Checkpoint, millis(50))[1..],
        [WakeAt(millis(1_050))]
    );
    assert_eq!(
        coordinator.requested(RequestId(1), RequestKind::Checkpoint, millis(60)),
        []
    );
    let commands = coordinator.tick(millis(70));
    assert_eq!(commands, [WakeAt(millis(1_050))], "that tick was used up");
}

#[test]
fn the_next_tick_is_the_earlier_of_the_next_trigger_and_the_next_expiry() {
    /// The timeout, and when to wake up with a checkpoint of 50 pending and the interval over at 100.
    fn check(timeout: u64, wakes_at: u64) {
        let mut coordinator = CheckpointCoordinator::<&str>::new(CheckpointSettings {
            timeout: millis(timeout),
            max_concurrent: 2,
            ..settings()
        });
        let mut commands = start(&mut coordinator, 1);
        commands.extend(coordinator.requested(RequestId(1), RequestKind::Checkpoint, millis(50)));
        let last = commands
            .into_iter()
            .rfind(|command| matches!(command, WakeAt(_)));
        assert_eq!(last, Some(WakeAt(millis(wakes_at))), "timeout {timeout}");
    }
    check(30, 80);
    check(1_000, 100);
}

#[test]
fn late_and_unknown_acknowledgements_are_discarded_and_duplicates_ignored() {
    let mut run = Run::new(without_interval());
    run.request();
    assert_eq!(run.acknowledge(7, 0, "unknown id"), [Discard("unknown id")]);
    assert_eq!(run.acknowledge(1, 9, "stranger"), [Discard("stranger")]);
    assert_eq!(run.acknowledge(1, 0, "a"), []);
    assert_eq!(run.acknowledge(1, 0, "again"), []);
    let write = run.write(1, Requested, 0);
    assert_eq!(run.acknowledge(1, 1, "b"), [write]);
    assert_eq!(run.acknowledge(1, 1, "again"), []);
    run.manifest(1);
    assert_eq!(run.acknowledge(1, 0, "late"), [Discard("late")]);
}

#[test]
fn a_declined_checkpoint_is_aborted_and_its_state_discarded() {
    let mut run = Run::new(without_interval());
    run.request();
    run.acknowledge(1, 1, "b");
    let reason = FailureReason::DeclinedSubsumed;
    assert_eq!(run.decline(1, reason), [aborted(1, reason), Discard("b")]);
    assert_eq!(run.decline(1, reason), [], "it is over");
    assert_eq!(run.acknowledge(1, 0, "late"), [Discard("late")]);
    assert_eq!(
        run.request(),
        [trigger(2, Requested)],
        "no id is used twice"
    );
}

#[test]
fn an_expired_checkpoint_is_aborted() {
    let mut run = Run::new(CheckpointSettings {
        tolerable_failures: 1,
        ..without_interval()
    });
    run.request();
    run.acknowledge(1, 0, "a");
    assert_eq!(run.at(999), []);
    let expired = aborted(1, FailureReason::Expired);
    assert_eq!(run.at(1_000), [expired, Discard("a")]);
    assert_eq!(run.acknowledge(1, 1, "late"), [Discard("late")]);
}

#[test]
fn a_checkpoint_whose_manifest_is_being_written_neither_expires_nor_is_declined() {
    let mut run = Run::new(without_interval());
    run.request();
    run.acknowledge_both(1);
    assert_eq!(run.at(5_000), []);
    assert_eq!(run.decline(1, FailureReason::Declined), []);
    assert_eq!(run.manifest(1), [complete(1)]);
}

#[test]
fn the_job_fails_when_more_checkpoints_fail_in_a_row_than_it_tolerates() {
    /// How many failures are tolerated, and which failure in a row fails the job.
    fn check(tolerable_failures: u32, fails_at: u64) {
        let mut run = Run::new(CheckpointSettings {
            tolerable_failures,
            ..without_interval()
        });
        let reason = FailureReason::Declined;
        for id in 1..fails_at {
            run.request();
            assert_eq!(run.decline(id, reason), [aborted(id, reason)]);
        }
        run.request();
        let last = [aborted(fails_at, reason), fail_job(Requested, reason)];
        assert_eq!(run.decline(fails_at, reason), last, "{tolerable_failures}");
        assert_eq!(run.request(), [], "nothing is triggered any more");
    }
    check(0, 1);
    check(2, 3);
}

#[test]
fn a_manifest_that_cannot_be_written_is_a_counted_failure() {
    let mut run = Run::new(without_interval());
    run.request();
    run.acknowledge_both(1);
    let reason = FailureReason::FinalizeFailure;
    assert_eq!(
        run.manifest_fails(1),
        [aborted(1, reason), fail_job(Requested, reason)]
    );
}

#[test]
fn a_periodic_trigger_waits_for_the_pause_and_a_request_does_not() {
    let mut run = Run::new(CheckpointSettings {
        min_pause: millis(80),
        max_concurrent: 3,
        ..settings()
    });
    run.at(100);
    assert_eq!(run.at(200), [], "the pause allows one checkpoint at a time");
    assert_eq!(run.complete(1), [complete(1)]);
    assert_eq!(run.at(279), []);
    assert_eq!(run.at(280), [trigger(2, Periodic)]);
    run.complete(2);
    assert_eq!(run.request(), [trigger(3, Requested)]);
}

#[test]
fn no_more_checkpoints_are_pending_than_may_be() {
    let mut run = Run::new(CheckpointSettings {
        max_concurrent: 2,
        ..settings()
    });
    assert_eq!(run.at(100), [trigger(1, Periodic)]);
    assert_eq!(run.at(200), [trigger(2, Periodic)]);
    assert_eq!(run.at(300), []);
    assert_eq!(run.request(), []);
    run.acknowledge_both(1);
    assert_eq!(run.at(400), [], "a manifest that is written counts");
    // Both a request and the interval wait, and there is room for one: the request goes first.
    assert_eq!(run.manifest(1), [complete(1), trigger(3, Requested)]);
    let subsumed = aborted(2, FailureReason::Subsumed);
    run.acknowledge_both(3);
    assert_eq!(
        run.manifest(3),
        [complete(3), subsumed, trigger(4, Periodic)]
    );
}

#[test]
fn manifests_are_written_one_at_a_time_in_the_order_of_ids() {
    let mut run = Run::new(CheckpointSettings {
        max_concurrent: 2,
        ..without_interval()
    });
    run.request();
    run.request();
    run.acknowledge_both(1);
    assert_eq!(run.acknowledge_both(2), []);
    let write = run.write(2, Requested, 0);
    assert_eq!(run.manifest(1), [complete(1), write]);
    assert_eq!(run.manifest(2), [complete(2)]);
}

#[test]
fn when_all_subtasks_have_finished_a_final_checkpoint_ends_the_job() {
    for settings in [settings(), without_interval()] {
        let mut run = Run::new(settings);
        assert_eq!(run.finish(0), []);
        assert_eq!(run.finish(7), [], "no such subtask");
        assert_eq!(run.finish(1), [trigger(1, Final)]);
        assert_eq!(run.complete(1), [complete(1)]);
        assert_eq!(run.at(900), [], "nothing follows the final checkpoint");
        assert_eq!(run.commit(1, 1), []);
        assert_eq!(run.commit(1, 1), []);
        assert_eq!(run.commit(0, 0), [], "of another checkpoint");
        assert_eq!(run.commit(1, 0), [Finished]);
        assert_eq!(run.commit(1, 0), []);
    }
}

#[test]
fn a_checkpoint_that_was_pending_when_the_last_subtask_finished_is_not_the_final_one() {
    let mut run = Run::new(settings());
    run.at(100);
    run.finish(0);
    assert_eq!(run.finish(1), []);
    assert_eq!(run.complete(1), [complete(1), trigger(2, Final)]);
}

#[test]
fn a_final_checkpoint_that_fails_is_taken_again_while_failures_are_tolerated() {
    let mut run = Run::new(CheckpointSettings {
        tolerable_failures: 1,
        ..settings()
    });
    run.finish(0);
    run.finish(1);
    let reason = FailureReason::AsyncException;
    assert_eq!(
        run.decline(1, reason),
        [aborted(1, reason), trigger(2, Final)]
    );
    assert_eq!(
        run.decline(2, reason),
        [aborted(2, reason), fail_job(Final, reason)]
    );
}

#[test]
fn a_stop_takes_one_last_checkpoint_and_stops_when_it_is_committed() {
    let mut run = Run::new(settings());
    run.at(100);
    assert_eq!(run.stop(), [], "another checkpoint is pending");
    assert_eq!(run.complete(1), [complete(1), trigger(2, Stop)]);
    assert_eq!(run.request(), []);
    assert_eq!(run.at(300), [], "nothing follows the stop checkpoint");
    assert_eq!(run.complete(2), [complete(2)]);
    run.commit(2, 0);
    assert_eq!(run.commit(2, 1), [Stopped]);
}

#[test]
fn a_stop_checkpoint_that_fails_fails_the_job_whatever_is_tolerated() {
    let mut run = Run::new(CheckpointSettings {
        tolerable_failures: 9,
        ..settings()
    });
    assert_eq!(run.stop(), [trigger(1, Stop)]);
    let reason = FailureReason::Expired;
    assert_eq!(run.at(1_000), [aborted(1, reason), fail_job(Stop, reason)]);
}

#[test]
fn a_stop_of_a_job_whose_subtasks_have_finished_is_its_final_checkpoint() {
    let mut run = Run::new(settings());
    run.finish(0);
    assert_eq!(run.at(100), [trigger(1, Periodic)]);
    run.stop();
    run.finish(1);
    assert_eq!(run.complete(1), [complete(1), trigger(2, Final)]);
}

#[test]
fn a_shut_down_aborts_what_is_pending_but_not_a_manifest_under_way() {
    let mut run = Run::new(CheckpointSettings {
        max_concurrent: 2,
        ..without_interval()
    });
    run.request();
    run.request();
    run.acknowledge_both(1);
    run.acknowledge(2, 0, "a");
    let reason = FailureReason::TaskFailure;
    assert_eq!(run.shut_down(reason), [aborted(2, reason), Discard("a")]);
    assert_eq!(run.acknowledge(2, 1, "b"), [Discard("b")]);
    assert_eq!(run.manifest(1), [], "nobody is there to commit it");
}

#[test]
fn what_waits_when_the_job_fails_is_answered_with_the_reason() {
    let mut run = Run::new(CheckpointSettings {
        max_concurrent: 2,
        ..without_interval()
    });
    run.request();
    run.request();
    run.request();
    let (expired, failover) = (FailureReason::Expired, FailureReason::JobFailover);
    assert_eq!(
        run.decline(1, expired),
        [
            aborted(1, expired),
            fail_job(Requested, expired),
            aborted(2, failover)
        ]
    );
    let answers = [(1, Err(expired)), (3, Err(failover)), (2, Err(failover))];
    assert_eq!(run.answers(), answers);
    assert_eq!(run.causes, ["checkpoint 1 failed: CHECKPOINT_EXPIRED"]);
    let refused = (4, Err(FailureReason::CoordinatorShutdown));
    run.request();
    assert_eq!(run.answers(), [refused]);
}

#[test]
fn what_is_requested_before_the_start_is_triggered_at_the_start() {
    let mut coordinator = CheckpointCoordinator::<&str>::new(without_interval());
    let requested = coordinator.requested(RequestId(1), RequestKind::Checkpoint, Duration::ZERO);
    assert_eq!(requested, []);
    assert_eq!(coordinator.tick(millis(1)), []);
    let commands = start(&mut coordinator, 8);
    assert_eq!(commands[0], trigger(8, Requested));
}
