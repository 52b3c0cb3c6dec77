//! Subtasks that have finished leave the checkpoint plan, and are recorded as finished.

use super::*;

fn named(operator: &str) -> SubtaskId {
    SubtaskId::new(operator.into(), 0)
}

/// A coordinator of two chains with one subtask each, `short` and `long`, of which `left` had finished for good.
fn chains(max_concurrent: usize, left: &[&str]) -> Run {
    let mut coordinator = CheckpointCoordinator::new(CheckpointSettings {
        max_concurrent,
        ..without_interval()
    });
    let subtasks = ["short", "long"].map(named).into();
    let left = left.iter().map(|operator| named(operator)).collect();
    coordinator.started(subtasks, left, CheckpointId(1), Duration::ZERO);
    Run {
        coordinator,
        now: Duration::ZERO,
        requests: 0,
        answers: Vec::new(),
        causes: Vec::new(),
    }
}

impl Run {
    fn named_acknowledges(&mut self, id: u64, operator: &str) -> Vec<Command> {
        let (id, subtask) = (CheckpointId(id), named(operator));
        let commands = self.coordinator.acknowledged(id, &subtask, "a", self.now);
        self.seen(commands)
    }

    fn named_commits(&mut self, id: u64, operator: &str) -> Vec<Command> {
        let (id, subtask) = (CheckpointId(id), named(operator));
        let commands = self.coordinator.committed(id, &subtask, self.now);
        self.seen(commands)
    }

    fn named_finishes(&mut self, operator: &str) -> Vec<Command> {
        let commands = self
            .coordinator
            .subtask_finished(&named(operator), self.now);
        self.seen(commands)
    }
}

fn trigger_without(id: u64, kind: CheckpointKind, finished: &str) -> Command {
    Trigger {
        checkpoint: CheckpointId(id),
        kind,
        finished: vec![named(finished)],
    }
}

fn write_without(id: u64, kind: CheckpointKind, finished: &str) -> Command {
    WriteManifest {
        checkpoint: CheckpointId(id),
        kind,
        acknowledged: vec![(named("long"), "a")],
        finished: vec![named(finished)],
        triggered_at: Duration::ZERO,
    }
}

#[test]
fn a_finished_subtask_takes_part_until_its_last_output_is_committed() {
    let mut run = chains(1, &[]);
    run.named_finishes("short");
    assert_eq!(run.request(), [trigger(1, Requested)]);
    run.named_acknowledges(1, "long");
    run.named_acknowledges(1, "short");
    assert_eq!(run.manifest(1), [complete(1)]);
    run.named_commits(1, "long");
    assert_eq!(
        run.request(),
        [trigger(2, Requested)],
        "its last output is not committed"
    );
    run.named_commits(1, "short");
    run.named_acknowledges(2, "long");
    let written = run.named_acknowledges(2, "short");
    assert!(
        matches!(&written[..], [WriteManifest { acknowledged, .. }] if acknowledged.len() == 2),
        "it was asked before it left: {written:?}"
    );
    run.manifest(2);
    let without = trigger_without(3, Requested, "short");
    assert_eq!(run.request(), [without]);
    assert_eq!(run.named_acknowledges(3, "short"), [Discard("a")]);
    let written = write_without(3, Requested, "short");
    assert_eq!(run.named_acknowledges(3, "long"), [written]);
    run.manifest(3);

    assert_eq!(
        run.named_finishes("long"),
        [trigger_without(4, Final, "short")]
    );
    run.named_acknowledges(4, "long");
    assert_eq!(run.manifest(4), [complete(4)]);
    assert_eq!(run.named_commits(4, "long"), [Finished]);
}

#[test]
fn a_checkpoint_that_was_triggered_before_the_end_is_not_the_last_of_a_subtask() {
    let mut run = chains(1, &[]);
    run.request();
    run.named_finishes("short");
    run.named_acknowledges(1, "long");
    run.named_acknowledges(1, "short");
    run.manifest(1);
    run.named_commits(1, "short");
    assert_eq!(run.request(), [trigger(2, Requested)]);
}

#[test]
fn a_savepoint_commits_nothing_and_lets_nobody_leave() {
    let mut run = chains(1, &[]);
    run.named_finishes("short");
    run.request_savepoint();
    run.named_acknowledges(1, "long");
    run.named_acknowledges(1, "short");
    run.manifest(1);
    assert_eq!(run.request(), [trigger(2, Requested)]);
}

#[test]
fn who_had_finished_for_good_before_the_restore_is_not_asked() {
    let mut run = chains(1, &["short"]);
    run.named_finishes("short");
    assert_eq!(run.request(), [trigger_without(1, Requested, "short")]);
    run.at(1_000);
    let cause = "not acknowledged within 1s by long[0]";
    assert_eq!(run.causes[0], cause);
}

#[test]
fn a_job_of_which_all_had_finished_for_good_ends_without_anybody_being_asked() {
    let all: BTreeSet<SubtaskId> = ["short", "long"].map(named).into();
    let finished: Vec<SubtaskId> = all.iter().cloned().collect();
    let mut coordinator = CheckpointCoordinator::<&str>::new(without_interval());
    let commands = coordinator.started(all.clone(), all, CheckpointId(1), Duration::ZERO);
    let trigger = Trigger {
        checkpoint: CheckpointId(1),
        kind: Final,
        finished: finished.clone(),
    };
    let write = WriteManifest {
        checkpoint: CheckpointId(1),
        kind: Final,
        acknowledged: Vec::new(),
        finished,
        triggered_at: Duration::ZERO,
    };
    assert_eq!(commands, [trigger, write]);
    let commands = coordinator.manifest_committed(CheckpointId(1), Duration::ZERO);
    assert_eq!(commands, [complete(1), Finished]);
}
