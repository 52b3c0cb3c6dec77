//! The steps that events set off: trigger, write, complete, abort, end.

use std::time::Duration;

use super::{CheckpointCoordinator, Commands, Phase};
use crate::coordinator::checkpoint_failure::CheckpointFailure;
use crate::coordinator::command::{CheckpointCommand, CheckpointKind};
use crate::coordinator::failure_reason::FailureReason;
use crate::coordinator::pending_checkpoint::PendingCheckpoint;
use crate::coordinator::request_queue::{RequestId, RequestKind};
use crate::model::CheckpointId;

/// How many of the subtasks that a checkpoint waited for in vain are named.
const MISSING_NAMED_MAX: usize = 5;

impl<A> CheckpointCoordinator<A> {
    /// Does whatever the event has made possible, and hands out all commands.
    pub(super) fn settle(&mut self, now: Duration) -> Commands<A> {
        // A savepoint that is only being written makes room for the next checkpoint.
        self.write_acknowledged();
        while let Some(kind) = self.kind_due(now) {
            self.trigger(kind, now);
        }
        // One that nobody has to acknowledge.
        self.write_acknowledged();
        self.end_when_committed();
        self.ask_for_tick();
        debug_assert_eq!(self.check_invariants(), Ok(()));
        std::mem::take(&mut self.commands)
    }

    /// Whether there is room for one more checkpoint. A savepoint that is only being written takes none.
    fn has_room(&self) -> bool {
        let under_way =
            |pending: &&PendingCheckpoint<A>| !(pending.is_savepoint() && pending.is_writing());
        let under_way = self.pending.values().filter(under_way).count();
        under_way < self.settings.pending_max()
    }

    /// Whether a checkpoint may be triggered at all. None follows the last one.
    fn can_trigger(&self) -> bool {
        let mut pending = self.pending.values();
        self.phase == Phase::Running && !pending.any(|pending| pending.kind.is_last())
    }

    /// Whether the store can keep up with the removal of what is superseded.
    fn is_clean(&self) -> bool {
        self.cleaning <= self.settings.pending_max()
    }

    fn can_take_savepoint(&self) -> bool {
        let mut pending = self.pending.values();
        let is_free = match self.settings.overtaking_after.is_some() {
            true => self.pending.is_empty(),
            false => !pending.any(PendingCheckpoint::is_savepoint),
        };
        is_free && self.is_clean()
    }

    /// The most urgent checkpoint to trigger now. The final one waits until all subtasks have finished, so that it
    /// covers all they did; one that was already pending then does not count.
    fn kind_due(&self, now: Duration) -> Option<CheckpointKind> {
        if !self.can_trigger() {
            None
        } else if self.requests.has(RequestKind::Savepoint) && self.can_take_savepoint() {
            Some(CheckpointKind::Savepoint)
        } else if !self.has_room() {
            None
        } else if self.plan.has_finished() {
            Some(CheckpointKind::Final)
        } else if self.stop.is_some_and(|stop| !stop.drain) {
            Some(CheckpointKind::Stop)
        } else if !self.is_clean() {
            None
        } else if self.requests.has(RequestKind::Checkpoint) {
            Some(CheckpointKind::Requested)
        } else {
            let is_due = self.schedule.due().is_some_and(|due| due <= now);
            let is_wanted = self.is_wanted && self.pending.is_empty();
            (is_due || is_wanted).then_some(CheckpointKind::Periodic)
        }
    }

    fn trigger(&mut self, kind: CheckpointKind, now: Duration) {
        let checkpoint = self.next_id;
        self.next_id = checkpoint.next();
        self.is_wanted = false;
        let request = match kind {
            CheckpointKind::Savepoint => self.requests.pop(RequestKind::Savepoint),
            CheckpointKind::Requested => self.requests.pop(RequestKind::Checkpoint),
            CheckpointKind::Periodic => {
                // One that is wanted before its time leaves the others on their grid.
                if self.schedule.due().is_some_and(|due| due <= now) {
                    self.schedule.triggered(now);
                }
                None
            }
            // Whoever asked for the stop is answered when it is over.
            CheckpointKind::Final | CheckpointKind::Stop => None,
        };
        let (asked, finished) = (self.plan.taking_part(), self.plan.left());
        let pending = PendingCheckpoint::new(kind, request, asked, finished.clone(), now);
        self.pending.insert(checkpoint, pending);
        self.commands.push(CheckpointCommand::Trigger {
            checkpoint,
            kind,
            finished,
        });
    }

    /// Has the manifest of a savepoint written at once, and those of checkpoints one after the other.
    fn write_acknowledged(&mut self) {
        let is_writing =
            |pending: &PendingCheckpoint<A>| !pending.is_savepoint() && pending.is_writing();
        let mut is_busy = self.pending.values().any(is_writing);
        for (&checkpoint, pending) in &mut self.pending {
            let is_due = !pending.is_writing()
                && pending.is_acknowledged()
                && (pending.is_savepoint() || !is_busy);
            if is_due {
                is_busy |= !pending.is_savepoint();
                self.commands.push(CheckpointCommand::WriteManifest {
                    checkpoint,
                    kind: pending.kind,
                    acknowledged: pending.start_writing(),
                    finished: pending.finished.clone(),
                    triggered_at: pending.triggered_at,
                });
            }
        }
    }

    pub(super) fn take_written(
        &mut self,
        checkpoint: CheckpointId,
    ) -> Option<PendingCheckpoint<A>> {
        let is_writing = self.pending.get(&checkpoint)?.is_writing();
        is_writing.then(|| self.pending.remove(&checkpoint))?
    }

    pub(super) fn complete(
        &mut self,
        checkpoint: CheckpointId,
        completed: &PendingCheckpoint<A>,
        now: Duration,
    ) {
        self.commands
            .push(CheckpointCommand::NotifyComplete(checkpoint));
        let subsumed: Vec<_> = self
            .pending
            .range(..checkpoint)
            .filter(|(_, pending)| !pending.is_savepoint())
            .map(|(&id, _)| id)
            .collect();
        for subsumed in subsumed {
            self.abort(subsumed, FailureReason::Subsumed.into(), now);
        }
        if completed.kind.is_last() {
            self.phase = Phase::Committing {
                checkpoint,
                kind: completed.kind,
                remaining: completed.asked.clone(),
            };
            let ended = FailureReason::CoordinatorShutdown.into();
            self.refuse_requests(&ended);
            // A savepoint that has all it needs is written to its end, another never will be.
            self.abort_waiting(&ended, now);
        }
    }

    fn end_when_committed(&mut self) {
        if let Phase::Committing {
            checkpoint,
            kind,
            remaining,
        } = &self.phase
            && remaining.is_empty()
            && self.pending.is_empty()
        {
            let (checkpoint, kind) = (*checkpoint, *kind);
            if let Some(request) = self.stop.and_then(|stop| stop.request) {
                self.answer(request, Ok(checkpoint));
            }
            self.commands.push(match kind {
                CheckpointKind::Stop => CheckpointCommand::Stopped,
                _ => CheckpointCommand::Finished,
            });
            self.phase = Phase::Closed;
        }
    }

    pub(super) fn abort(
        &mut self,
        checkpoint: CheckpointId,
        failure: CheckpointFailure,
        now: Duration,
    ) {
        if let Some(aborted) = self.pending.remove(&checkpoint) {
            self.failed(checkpoint, aborted, failure, now);
        }
    }

    pub(super) fn failed(
        &mut self,
        checkpoint: CheckpointId,
        pending: PendingCheckpoint<A>,
        failure: CheckpointFailure,
        now: Duration,
    ) {
        let kind = pending.kind;
        self.commands.push(CheckpointCommand::NotifyAborted {
            checkpoint,
            failure: failure.clone(),
        });
        if let Some(request) = pending.request {
            self.answer(request, Err(failure.clone()));
        }
        let is_counted = pending.counts_failure(failure.reason);
        let acknowledged = pending.into_acknowledged();
        self.commands
            .extend(acknowledged.map(CheckpointCommand::Discard));
        // Sources have stopped at the barrier of a stop checkpoint, so the job cannot go on without it.
        let is_too_much =
            (is_counted && self.failures.failed(failure.reason)) || kind == CheckpointKind::Stop;
        if is_too_much && self.phase != Phase::Closed {
            if let Some(request) = self.stop.and_then(|stop| stop.request) {
                self.answer(request, Err(failure.clone()));
                self.stop = None;
            }
            let cause = format!("checkpoint {checkpoint} failed: {failure}");
            self.commands
                .push(CheckpointCommand::FailJob { kind, failure });
            let failover = CheckpointFailure::new(FailureReason::JobFailover, cause);
            self.close(&failover, now);
        }
    }

    pub(super) fn close(&mut self, failure: &CheckpointFailure, now: Duration) {
        if self.phase != Phase::Closed
            && let Some(request) = self.stop.and_then(|stop| stop.request)
        {
            self.answer(request, Err(failure.clone()));
        }
        self.phase = Phase::Closed;
        self.refuse_requests(failure);
        self.abort_waiting(failure, now);
    }

    pub(super) fn answer(
        &mut self,
        request: RequestId,
        result: Result<CheckpointId, CheckpointFailure>,
    ) {
        self.commands
            .push(CheckpointCommand::Answer { request, result });
    }

    /// No checkpoint will be triggered any more.
    fn refuse_requests(&mut self, failure: &CheckpointFailure) {
        for request in self.requests.take_all() {
            self.answer(request, Err(failure.clone()));
        }
    }

    /// Gives up what is not being written: nothing more will be acknowledged.
    fn abort_waiting(&mut self, failure: &CheckpointFailure, now: Duration) {
        let pending = self.pending.iter();
        let waiting: Vec<_> = pending
            .filter(|(_, pending)| !pending.is_writing())
            .map(|(&checkpoint, _)| checkpoint)
            .collect();
        for checkpoint in waiting {
            self.abort(checkpoint, failure.clone(), now);
        }
    }

    /// When `pending` expires, unless its manifest is being written.
    pub(super) fn expiry(&self, pending: &PendingCheckpoint<A>) -> Option<Duration> {
        let expiry = pending.triggered_at.saturating_add(self.settings.timeout);
        (!pending.is_writing()).then_some(expiry)
    }

    /// What is said of `pending` when it expires: which subtasks it waited for in vain.
    pub(super) fn expired(&self, pending: &PendingCheckpoint<A>) -> CheckpointFailure {
        let missing: Vec<String> = pending.missing().map(ToString::to_string).collect();
        let named = missing[..missing.len().min(MISSING_NAMED_MAX)].join(", ");
        let more = match missing.len().saturating_sub(MISSING_NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let timeout = self.settings.timeout;
        let cause = match missing.is_empty() {
            true => format!("its manifest could not be written within {timeout:?}"),
            false => format!("not acknowledged within {timeout:?} by {named}{more}"),
        };
        CheckpointFailure::new(FailureReason::Expired, cause)
    }

    fn ask_for_tick(&mut self) {
        let expiry = self
            .pending
            .values()
            .filter_map(|pending| self.expiry(pending));
        // With no room for another checkpoint, an event and not the time decides when there is.
        let can_trigger = self.can_trigger() && self.has_room() && self.is_clean();
        let due = self.schedule.due().filter(|_| can_trigger);
        let wakes_at = expiry.chain(due).min();
        if wakes_at != self.wakes_at {
            self.wakes_at = wakes_at;
            self.commands
                .extend(wakes_at.map(CheckpointCommand::WakeAt));
        }
    }
}
