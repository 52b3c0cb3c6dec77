//! The steps that events set off: trigger, write, complete, abort, end.

use std::time::Duration;

use super::{CheckpointCoordinator, Commands, Phase};
use crate::coordinator::command::{CheckpointCommand, CheckpointKind};
use crate::coordinator::failure_reason::FailureReason;
use crate::coordinator::pending_checkpoint::PendingCheckpoint;
use crate::model::CheckpointId;

impl<A> CheckpointCoordinator<A> {
    /// Does whatever the event has made possible, and hands out all commands.
    pub(super) fn settle(&mut self, now: Duration) -> Commands<A> {
        while let Some(kind) = self.kind_due(now) {
            self.trigger(kind, now);
        }
        self.write_oldest_acknowledged();
        self.end_when_committed();
        self.ask_for_tick();
        debug_assert_eq!(self.check_invariants(), Ok(()));
        std::mem::take(&mut self.commands)
    }

    fn can_trigger(&self) -> bool {
        let mut pending = self.pending.values();
        self.phase == Phase::Running
            && self.pending.len() < self.settings.pending_max()
            && !pending.any(|pending| pending.kind.is_last())
    }

    fn has_finished(&self) -> bool {
        self.finished.len() == self.subtasks.len()
    }

    /// The most urgent checkpoint to trigger now. The final one waits until all subtasks have finished, so that it
    /// covers all they did; one that was already pending then does not count.
    fn kind_due(&self, now: Duration) -> Option<CheckpointKind> {
        if !self.can_trigger() {
            None
        } else if self.has_finished() {
            Some(CheckpointKind::Final)
        } else if self.is_stop_requested {
            Some(CheckpointKind::Stop)
        } else if self.is_requested {
            Some(CheckpointKind::Requested)
        } else {
            let is_due = self.schedule.due().is_some_and(|due| due <= now);
            is_due.then_some(CheckpointKind::Periodic)
        }
    }

    fn trigger(&mut self, kind: CheckpointKind, now: Duration) {
        let checkpoint = self.next_id;
        self.next_id = checkpoint.next();
        // Whatever it was triggered for, it covers all that came before a request.
        self.is_requested = false;
        if kind == CheckpointKind::Periodic {
            self.schedule.triggered(now);
        }
        self.pending
            .insert(checkpoint, PendingCheckpoint::new(kind, now));
        self.history
            .trigger(checkpoint, kind, self.subtasks.len(), now);
        self.commands
            .push(CheckpointCommand::Trigger { checkpoint, kind });
    }

    fn write_oldest_acknowledged(&mut self) {
        if self.pending.values().any(PendingCheckpoint::is_writing) {
            return;
        }
        let subtasks = self.subtasks.len();
        let mut pending = self.pending.iter_mut();
        if let Some((&checkpoint, pending)) =
            pending.find(|(_, pending)| pending.is_acknowledged_by(subtasks))
        {
            self.commands.push(CheckpointCommand::WriteManifest {
                checkpoint,
                kind: pending.kind,
                acknowledged: pending.start_writing(),
                triggered_at: pending.triggered_at,
            });
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
        kind: CheckpointKind,
        now: Duration,
    ) {
        self.commands
            .push(CheckpointCommand::NotifyComplete(checkpoint));
        let subsumed: Vec<_> = self
            .pending
            .range(..checkpoint)
            .map(|(&id, _)| id)
            .collect();
        for subsumed in subsumed {
            self.abort(subsumed, FailureReason::Subsumed, now);
        }
        if kind.is_last() {
            self.phase = Phase::Committing {
                checkpoint,
                kind,
                remaining: self.subtasks.clone(),
            };
        }
    }

    fn end_when_committed(&mut self) {
        if let Phase::Committing {
            kind, remaining, ..
        } = &self.phase
            && remaining.is_empty()
        {
            self.commands.push(match kind {
                CheckpointKind::Stop => CheckpointCommand::Stopped,
                _ => CheckpointCommand::Finished,
            });
            self.phase = Phase::Closed;
        }
    }

    pub(super) fn abort(&mut self, checkpoint: CheckpointId, reason: FailureReason, now: Duration) {
        if let Some(aborted) = self.pending.remove(&checkpoint) {
            self.failed(checkpoint, aborted, reason, now);
        }
    }

    pub(super) fn failed(
        &mut self,
        checkpoint: CheckpointId,
        pending: PendingCheckpoint<A>,
        reason: FailureReason,
        now: Duration,
    ) {
        let kind = pending.kind;
        self.history.fail(checkpoint, reason, now);
        self.commands
            .push(CheckpointCommand::NotifyAborted { checkpoint, reason });
        let acknowledged = pending.into_acknowledged();
        self.commands
            .extend(acknowledged.map(CheckpointCommand::Discard));
        // Sources have stopped at the barrier of a stop checkpoint, so the job cannot go on without it.
        let is_too_much = self.failures.failed(reason) || kind == CheckpointKind::Stop;
        if is_too_much && self.phase != Phase::Closed {
            self.commands.push(CheckpointCommand::FailJob(reason));
            self.close(now);
        }
    }

    pub(super) fn close(&mut self, now: Duration) {
        self.phase = Phase::Closed;
        let pending = self.pending.iter();
        let waiting: Vec<_> = pending
            .filter(|(_, pending)| !pending.is_writing())
            .map(|(&checkpoint, _)| checkpoint)
            .collect();
        for checkpoint in waiting {
            self.abort(checkpoint, FailureReason::CoordinatorShutdown, now);
        }
    }

    /// When `pending` expires, unless its manifest is being written.
    pub(super) fn expiry(&self, pending: &PendingCheckpoint<A>) -> Option<Duration> {
        let expiry = pending.triggered_at.saturating_add(self.settings.timeout);
        (!pending.is_writing()).then_some(expiry)
    }

    fn ask_for_tick(&mut self) {
        let expiry = self
            .pending
            .values()
            .filter_map(|pending| self.expiry(pending));
        // With no room for another checkpoint, an event and not the time decides when there is.
        let due = self.schedule.due().filter(|_| self.can_trigger());
        let wakes_at = expiry.chain(due).min();
        if wakes_at != self.wakes_at {
            self.wakes_at = wakes_at;
            self.commands
                .extend(wakes_at.map(CheckpointCommand::WakeAt));
        }
    }
}
