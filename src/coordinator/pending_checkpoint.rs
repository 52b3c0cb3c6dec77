//! A checkpoint that has been triggered and is not yet complete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::command::CheckpointKind;
use super::failure_reason::FailureReason;
use super::request_queue::RequestId;
use crate::model::SubtaskId;

/// Collects the acknowledgements of one checkpoint.
#[derive(Debug)]
pub(super) struct PendingCheckpoint<A> {
    pub(super) kind: CheckpointKind,
    pub(super) triggered_at: Duration,
    /// Who is told what comes of it, if anybody asked.
    pub(super) request: Option<RequestId>,
    /// Who has to acknowledge it.
    pub(super) asked: BTreeSet<SubtaskId>,
    /// Who does not take part, having finished for good, in order.
    pub(super) finished: Vec<SubtaskId>,
    acknowledged: BTreeMap<SubtaskId, A>,
    /// Its acknowledgements have been handed to the writer of its manifest: it can neither expire nor be aborted now.
    is_writing: bool,
}

impl<A> PendingCheckpoint<A> {
    pub(super) fn new(
        kind: CheckpointKind,
        request: Option<RequestId>,
        asked: BTreeSet<SubtaskId>,
        finished: Vec<SubtaskId>,
        triggered_at: Duration,
    ) -> Self {
        Self {
            kind,
            request,
            triggered_at,
            asked,
            finished,
            acknowledged: BTreeMap::new(),
            is_writing: false,
        }
    }

    /// Keeps the acknowledgement of `subtask`, if it is the first one: the second changes nothing.
    pub(super) fn acknowledge(&mut self, subtask: &SubtaskId, state: A) {
        if !self.has_acknowledged(subtask) {
            self.acknowledged.insert(subtask.clone(), state);
        }
    }

    pub(super) fn is_savepoint(&self) -> bool {
        self.kind == CheckpointKind::Savepoint
    }

    /// Whether a failure for this reason counts against those that the job tolerates. Of a savepoint only what goes wrong
    /// in a subtask says something about the job's health: the rest is a matter between the savepoint's folder and
    /// whoever chose it.
    pub(super) fn counts_failure(&self, reason: FailureReason) -> bool {
        let of_savepoint = matches!(
            reason,
            FailureReason::AsyncException | FailureReason::Declined
        );
        !self.is_savepoint() || of_savepoint
    }

    /// Whether `subtask` has to acknowledge it.
    pub(super) fn is_asked(&self, subtask: &SubtaskId) -> bool {
        self.asked.contains(subtask)
    }

    /// Who has to acknowledge it and has not done so.
    pub(super) fn missing(&self) -> impl Iterator<Item = &SubtaskId> {
        let asked = self.asked.iter();
        asked.filter(|subtask| !self.has_acknowledged(subtask))
    }

    /// Whether all have acknowledged it that have to.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.is_writing || self.acknowledged.len() == self.asked.len()
    }

    /// Hands out the acknowledgements for its manifest.
    pub(super) fn start_writing(&mut self) -> Vec<(SubtaskId, A)> {
        self.is_writing = true;
        std::mem::take(&mut self.acknowledged).into_iter().collect()
    }

    pub(super) fn is_writing(&self) -> bool {
        self.is_writing
    }

    fn has_acknowledged(&self, subtask: &SubtaskId) -> bool {
        self.is_writing || self.acknowledged.contains_key(subtask)
    }

    /// Gives back what was acknowledged, to be discarded.
    pub(super) fn into_acknowledged(self) -> impl Iterator<Item = A> {
        self.acknowledged.into_values()
    }
}
