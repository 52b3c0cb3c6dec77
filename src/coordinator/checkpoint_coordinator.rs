//! The checkpoint protocol: trigger, collect acknowledgements, make durable, commit.
//!
//! A checkpoint is complete when every subtask has acknowledged it and its manifest is durable, and only then is
//! anything committed outside. Ids only grow, and an aborted one is never used again. Manifests are written one at a
//! time, oldest first, so that checkpoints complete in the order of their ids.
//!
//! A savepoint stands apart from that order: it commits nothing, subsumes nothing and is not subsumed, so it can be
//! written for as long as it takes beside checkpoints that come and go. There is one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::checkpoint_failure::CheckpointFailure;
use super::checkpoint_plan::CheckpointPlan;
use super::command::{CheckpointCommand, CheckpointKind};
use super::failure_counter::FailureCounter;
use super::failure_reason::FailureReason;
use super::pending_checkpoint::PendingCheckpoint;
use super::request_queue::{RequestId, RequestKind, RequestQueue};
use super::schedule::Schedule;
use super::settings::CheckpointSettings;
use crate::channel::Barrier;
use crate::model::{CheckpointId, SubtaskId};

mod invariants;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
mod transitions;

type Commands<A> = Vec<CheckpointCommand<A>>;

/// Coordinates the checkpoints of one run of a job. `A` is what a subtask acknowledges with: where its state lies.
///
/// Each event carries the time of the job's clock as `now`, which never goes back, and returns what is to be done.
#[derive(Debug)]
pub struct CheckpointCoordinator<A> {
    settings: CheckpointSettings,
    phase: Phase,
    plan: CheckpointPlan,
    next_id: CheckpointId,
    pending: BTreeMap<CheckpointId, PendingCheckpoint<A>>,
    schedule: Schedule,
    failures: FailureCounter,
    /// The newest complete checkpoint of this run; a savepoint is none.
    last_completed: Option<CheckpointId>,
    requests: RequestQueue,
    /// Whether a subtask wants a checkpoint before the next is due.
    is_wanted: bool,
    stop: Option<StopState>,
    /// How many removals of superseded checkpoints are under way.
    cleaning: usize,
    /// What the last [`CheckpointCommand::WakeAt`] asked for, so that it is not said again after each event.
    wakes_at: Option<Duration>,
    commands: Commands<A>,
}

/// What was asked for with the stop of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StopState {
    request: Option<RequestId>,
    /// Whether the input is to end first, so that the final checkpoint is the last one.
    drain: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// The subtasks are not all running yet.
    Created,
    /// Checkpoints are triggered when they are due.
    Running,
    /// The last checkpoint is complete, and these subtasks have yet to commit what it covers.
    Committing {
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        remaining: BTreeSet<SubtaskId>,
    },
    /// Nothing is triggered any more. At most a manifest is still being written.
    Closed,
}

impl<A> CheckpointCoordinator<A> {
    /// A coordinator that waits for [`CheckpointCoordinator::started`].
    pub fn new(settings: CheckpointSettings) -> Self {
        Self {
            phase: Phase::Created,
            plan: CheckpointPlan::default(),
            next_id: CheckpointId::default(),
            pending: BTreeMap::new(),
            schedule: Schedule::new(settings.interval, settings.min_pause),
            failures: FailureCounter::new(settings.tolerable_failures),
            last_completed: None,
            requests: RequestQueue::default(),
            stop: None,
            cleaning: 0,
            is_wanted: false,
            wakes_at: None,
            commands: Vec::new(),
            settings,
        }
    }

    /// All subtasks are running; `left` are those of them that had finished for good before the job was restored.
    /// `next_id` is greater than every id used before, by other runs too; ids begin at 1. What was requested before is
    /// triggered now.
    pub fn started(
        &mut self,
        subtasks: BTreeSet<SubtaskId>,
        left: BTreeSet<SubtaskId>,
        next_id: CheckpointId,
        now: Duration,
    ) -> Commands<A> {
        if self.phase == Phase::Created {
            self.phase = Phase::Running;
            self.plan = CheckpointPlan::new(subtasks, left);
            self.next_id = next_id.max(CheckpointId(1));
            self.schedule.start(now);
        }
        self.settle(now)
    }

    /// Time has passed: aborts what has expired, and triggers what is due. May be called at any time.
    pub fn tick(&mut self, now: Duration) -> Commands<A> {
        self.wakes_at = None;
        let expired: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, pending)| self.expiry(pending).is_some_and(|expiry| expiry <= now))
            .map(|(&checkpoint, pending)| (checkpoint, self.expired(pending)))
            .collect();
        for (checkpoint, failure) in expired {
            self.abort(checkpoint, failure, now);
        }
        self.settle(now)
    }

    /// Somebody asks for a checkpoint or a savepoint. Every request is answered, in the end, by one of its own.
    ///
    /// A checkpoint is triggered as soon as no more than the allowed number are pending, without regard to the pause; a
    /// savepoint as soon as there is no other. Before the start requests wait, and once the job comes to its end they
    /// are refused.
    pub fn requested(
        &mut self,
        request: RequestId,
        kind: RequestKind,
        now: Duration,
    ) -> Commands<A> {
        let refusal = match self.phase {
            Phase::Created | Phase::Running if self.requests.push(request, kind) => None,
            Phase::Created | Phase::Running => Some(FailureReason::TooManyRequests),
            Phase::Committing { .. } | Phase::Closed => Some(FailureReason::CoordinatorShutdown),
        };
        if let Some(reason) = refusal {
            self.answer(request, Err(reason.into()));
        }
        self.settle(now)
    }

    /// A subtask wants a checkpoint soon, for example because a sink holds so much that waits for one. It is triggered when
    /// none is pending that the barrier may still have to reach, without regard to the pause.
    pub fn wanted(&mut self, now: Duration) -> Commands<A> {
        self.is_wanted = true;
        self.settle(now)
    }

    /// The job is to stop: one last checkpoint is triggered as soon as no more than the allowed number are pending.
    /// With `drain` the input ends first, and that checkpoint is the final one. `request` is answered when all it covers
    /// is committed. A second stop has no effect: its request is refused.
    pub fn stop_requested(
        &mut self,
        request: Option<RequestId>,
        drain: bool,
        now: Duration,
    ) -> Commands<A> {
        let is_late = matches!(self.phase, Phase::Committing { .. } | Phase::Closed);
        if self.stop.is_some() || is_late {
            let refused = Err(FailureReason::CoordinatorShutdown.into());
            if let Some(request) = request {
                self.answer(request, refused);
            }
        } else {
            self.stop = Some(StopState { request, drain });
            if drain {
                self.commands.push(CheckpointCommand::Drain);
            }
        }
        self.settle(now)
    }

    /// A removal of superseded checkpoints has begun. While more of them are under way than checkpoints may be pending,
    /// nothing but the job's last checkpoint is triggered: a store that cannot keep up is not to be filled.
    pub fn cleaning_begun(&mut self) {
        self.cleaning += 1;
    }

    /// A removal has ended, whatever came of it.
    pub fn cleaning_ended(&mut self, now: Duration) -> Commands<A> {
        self.cleaning = self.cleaning.saturating_sub(1);
        self.settle(now)
    }

    /// `subtask` has made its part of `checkpoint` durable, described by `state`. A second acknowledgement of a
    /// pending checkpoint is ignored, since it describes the same state; what no pending checkpoint waits for is
    /// discarded.
    pub fn acknowledged(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        state: A,
        now: Duration,
    ) -> Commands<A> {
        match self.pending.get_mut(&checkpoint) {
            Some(pending) if pending.is_asked(subtask) => {
                pending.acknowledge(subtask, state);
            }
            _ => self.commands.push(CheckpointCommand::Discard(state)),
        }
        self.settle(now)
    }

    /// `subtask` cannot take part in `checkpoint`.
    pub fn declined(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        failure: impl Into<CheckpointFailure>,
        now: Duration,
    ) -> Commands<A> {
        let pending = self.pending.get(&checkpoint);
        if pending.is_some_and(|pending| !pending.is_writing() && pending.is_asked(subtask)) {
            self.abort(checkpoint, failure.into(), now);
        }
        self.settle(now)
    }

    /// All input of `subtask` has ended and is worked off. It stays in the plan until its last output is committed, and
    /// that of its whole chain.
    pub fn subtask_finished(&mut self, subtask: &SubtaskId, now: Duration) -> Commands<A> {
        self.plan.finish(subtask, self.next_id);
        self.settle(now)
    }

    /// The manifest of `checkpoint` is durable.
    pub fn manifest_committed(&mut self, checkpoint: CheckpointId, now: Duration) -> Commands<A> {
        if let Some(completed) = self.take_written(checkpoint) {
            if !completed.is_savepoint() {
                self.last_completed = Some(checkpoint);
                self.failures.completed();
                self.schedule.completed(now);
            }
            // After the job has failed there is nobody to tell: the restored job commits what the manifest holds.
            if self.phase != Phase::Closed && !completed.is_savepoint() {
                self.complete(checkpoint, &completed, now);
            }
            if let Some(request) = completed.request {
                self.answer(request, Ok(checkpoint));
            }
        }
        self.settle(now)
    }

    /// The manifest of `checkpoint` could not be written.
    pub fn manifest_failed(
        &mut self,
        checkpoint: CheckpointId,
        failure: impl Into<CheckpointFailure>,
        now: Duration,
    ) -> Commands<A> {
        if let Some(failed) = self.take_written(checkpoint) {
            self.failed(checkpoint, failed, failure.into(), now);
        }
        self.settle(now)
    }

    /// `subtask` has made visible whatever `checkpoint`, or any before it, covers.
    pub fn committed(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        now: Duration,
    ) -> Commands<A> {
        self.plan.commit(checkpoint, subtask);
        if let Phase::Committing {
            checkpoint: last,
            remaining,
            ..
        } = &mut self.phase
            && checkpoint >= *last
        {
            remaining.remove(subtask);
        }
        self.settle(now)
    }

    /// The job fails or ends: what is pending is aborted with `failure`, what was requested is answered with it, and nothing
    /// more is triggered.
    pub fn shut_down(&mut self, failure: &CheckpointFailure, now: Duration) -> Commands<A> {
        self.close(failure, now);
        self.settle(now)
    }

    /// The barrier of a checkpoint that was triggered at `now`.
    pub fn barrier(
        &self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        now: Duration,
    ) -> Barrier {
        self.settings.barrier(checkpoint, kind, now)
    }

    /// Who asked for a pending checkpoint, if anybody did.
    pub fn request_of(&self, checkpoint: CheckpointId) -> Option<RequestId> {
        self.pending.get(&checkpoint)?.request
    }

    /// The settings of the job's checkpoints.
    pub fn settings(&self) -> &CheckpointSettings {
        &self.settings
    }
}
