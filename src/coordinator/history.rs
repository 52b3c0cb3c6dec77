//! What became of the last checkpoints, for the progress line.

use std::collections::VecDeque;
use std::time::Duration;

use super::checkpoint_failure::CheckpointFailure;
use super::command::CheckpointKind;
use crate::model::CheckpointId;

/// The last checkpoints of a job, and how many there were of each outcome since the job was started.
#[derive(Clone, Debug)]
pub struct CheckpointHistory {
    records: VecDeque<CheckpointRecord>,
    records_max: usize,
    completed: u64,
    failed: u64,
    last_completed: Option<CheckpointRecord>,
}

/// What is known of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// Which checkpoint this is.
    pub checkpoint: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// What became of it.
    pub status: CheckpointStatus,
    /// When it was triggered, on the job's clock.
    pub triggered_at: Duration,
    /// From the trigger to the durable manifest, or to the failure. Zero while it is in progress.
    pub duration: Duration,
    /// Bytes that this checkpoint added to the store. Zero until it is completed.
    pub bytes: u64,
    /// How many subtasks have acknowledged it.
    pub subtasks_acknowledged: usize,
    /// How many subtasks have to.
    pub subtasks: usize,
}

/// What became of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointStatus {
    /// It is not yet decided.
    InProgress,
    /// Its manifest is durable.
    Completed,
    /// It was aborted.
    Failed(CheckpointFailure),
}

impl CheckpointHistory {
    /// The records, oldest first. All that are in progress are among them.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &CheckpointRecord> {
        self.records.iter()
    }

    /// The newest completed checkpoint, however long ago that was. A savepoint is none: the job does not go on from it.
    pub fn last_completed(&self) -> Option<&CheckpointRecord> {
        self.last_completed.as_ref()
    }

    /// How many checkpoints have completed.
    pub fn completed_count(&self) -> u64 {
        self.completed
    }

    /// How many checkpoints have failed.
    pub fn failed_count(&self) -> u64 {
        self.failed
    }

    /// How many checkpoints are in progress.
    pub fn in_progress_count(&self) -> usize {
        self.records
            .iter()
            .filter(|record| record.is_in_progress())
            .count()
    }

    pub(super) fn new(records_max: usize) -> Self {
        Self {
            records: VecDeque::new(),
            records_max,
            completed: 0,
            failed: 0,
            last_completed: None,
        }
    }

    pub(super) fn trigger(
        &mut self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        subtasks: usize,
        now: Duration,
    ) {
        self.records.push_back(CheckpointRecord {
            checkpoint,
            kind,
            status: CheckpointStatus::InProgress,
            triggered_at: now,
            duration: Duration::ZERO,
            bytes: 0,
            subtasks_acknowledged: 0,
            subtasks,
        });
        self.forget_oldest();
    }

    /// A subtask has acknowledged the checkpoint, perhaps too late: the figures are kept all the same.
    pub(super) fn acknowledge(&mut self, checkpoint: CheckpointId) {
        let mut records = self.records.iter_mut();
        let record = records.find(|record| record.checkpoint == checkpoint);
        if let Some(record) = record.filter(|record| record.status != CheckpointStatus::Completed) {
            record.subtasks_acknowledged = record.subtasks.min(record.subtasks_acknowledged + 1);
        }
    }

    /// Whether the checkpoint has failed, and not so long ago that nothing is known of it any more.
    pub fn has_failed(&self, checkpoint: CheckpointId) -> bool {
        let mut records = self.records.iter();
        records.any(|record| {
            record.checkpoint == checkpoint && matches!(record.status, CheckpointStatus::Failed(_))
        })
    }

    pub(super) fn complete(&mut self, checkpoint: CheckpointId, bytes: u64, now: Duration) {
        if let Some(record) = self.in_progress(checkpoint) {
            record.status = CheckpointStatus::Completed;
            record.duration = now.saturating_sub(record.triggered_at);
            record.bytes = bytes;
            if record.kind != CheckpointKind::Savepoint {
                self.last_completed = Some(record.clone());
            }
            self.completed += 1;
            self.forget_oldest();
        }
    }

    pub(super) fn fail(
        &mut self,
        checkpoint: CheckpointId,
        failure: CheckpointFailure,
        now: Duration,
    ) {
        if let Some(record) = self.in_progress(checkpoint) {
            record.status = CheckpointStatus::Failed(failure);
            record.duration = now.saturating_sub(record.triggered_at);
            self.failed += 1;
            self.forget_oldest();
        }
    }

    fn in_progress(&mut self, checkpoint: CheckpointId) -> Option<&mut CheckpointRecord> {
        self.records
            .iter_mut()
            .find(|record| record.checkpoint == checkpoint && record.is_in_progress())
    }

    /// What is in progress stays: its outcome has still to be written down. The coordinator bounds how many those are.
    fn forget_oldest(&mut self) {
        while self.records.len() > self.records_max {
            let oldest = self
                .records
                .iter()
                .position(|record| !record.is_in_progress());
            let Some(oldest) = oldest else { return };
            self.records.remove(oldest);
        }
    }
}

impl CheckpointRecord {
    fn is_in_progress(&self) -> bool {
        self.status == CheckpointStatus::InProgress
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::FailureReason;

    fn expired() -> CheckpointFailure {
        FailureReason::Expired.into()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn ids(history: &CheckpointHistory) -> Vec<u64> {
        history
            .records()
            .map(|record| record.checkpoint.0)
            .collect()
    }

    #[test]
    fn a_record_follows_its_checkpoint_to_the_end() {
        let mut history = CheckpointHistory::new(10);
        history.trigger(CheckpointId(4), CheckpointKind::Periodic, 2, millis(100));
        history.acknowledge(CheckpointId(4));
        assert_eq!(history.in_progress_count(), 1);
        history.acknowledge(CheckpointId(4));
        history.complete(CheckpointId(4), 77, millis(130));
        // Nothing that comes afterwards changes the outcome.
        history.fail(CheckpointId(4), expired(), millis(140));
        let record = history.last_completed().unwrap();
        assert_eq!(record.status, CheckpointStatus::Completed);
        assert_eq!(record.duration, millis(30));
        assert_eq!((record.bytes, record.subtasks_acknowledged), (77, 2));
        assert_eq!(history.records().next(), Some(record));
        assert_eq!((history.completed_count(), history.failed_count()), (1, 0));
    }

    #[test]
    fn the_figures_of_a_late_acknowledgement_are_kept() {
        let mut history = CheckpointHistory::new(10);
        history.trigger(CheckpointId(4), CheckpointKind::Periodic, 2, millis(100));
        history.fail(CheckpointId(4), expired(), millis(900));
        for _ in 0..3 {
            history.acknowledge(CheckpointId(4));
        }
        let record = history.records().next().unwrap();
        assert_eq!(
            record.subtasks_acknowledged, 2,
            "there are no more than two"
        );
        assert_eq!(record.duration, millis(800));
        assert!(history.has_failed(CheckpointId(4)));
        assert!(!history.has_failed(CheckpointId(5)));
    }

    #[test]
    fn the_oldest_records_go_but_none_that_is_in_progress() {
        let mut history = CheckpointHistory::new(2);
        for id in 1..=4 {
            history.trigger(CheckpointId(id), CheckpointKind::Periodic, 1, millis(id));
        }
        assert_eq!(ids(&history), [1, 2, 3, 4], "all are in progress");
        history.fail(CheckpointId(3), expired(), millis(5));
        assert_eq!(ids(&history), [1, 2, 4]);
        history.complete(CheckpointId(1), 0, millis(6));
        history.fail(CheckpointId(2), expired(), millis(7));
        assert_eq!(ids(&history), [2, 4]);
        let last_completed = history.last_completed().map(|record| record.checkpoint);
        assert_eq!(last_completed, Some(CheckpointId(1)));
        assert_eq!((history.completed_count(), history.failed_count()), (1, 2));
    }
}
