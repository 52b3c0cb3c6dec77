//! The record of a job's checkpoints: events in, reports out.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::checkpoint_report::{
    CheckpointFailure, CheckpointReport, CheckpointState, CompletedFigures, SubtaskReport,
};
use crate::model::CheckpointId;

/// How many checkpoints are kept unless somebody says otherwise: as many as Flink shows.
const REPORTS_MAX_DEFAULT: usize = 10;

/// The last checkpoints of a job, and how many there were of each outcome since its first start.
#[derive(Clone, Debug)]
pub struct CheckpointStatistics {
    reports_max: usize,
    /// Oldest first.
    reports: VecDeque<CheckpointReport>,
    counts: CheckpointCounts,
    latest_completed: Option<CheckpointReport>,
    latest_savepoint: Option<CheckpointReport>,
    latest_failed: Option<CheckpointReport>,
    latest_restored: Option<RestoreReport>,
}

/// How many checkpoints there were, across restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCounts {
    /// How often the job was resumed from one.
    pub restored: u64,
    /// How many were triggered.
    pub triggered: u64,
    /// How many became complete.
    pub completed: u64,
    /// How many were given up.
    pub failed: u64,
}

/// What the job was resumed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Which checkpoint it was.
    pub checkpoint: CheckpointId,
    /// Whether it was a savepoint.
    pub is_savepoint: bool,
    /// Where it lay.
    pub path: String,
    /// When that was, in milliseconds since the Unix epoch.
    pub restored_unix_millis: i64,
}

impl Default for CheckpointStatistics {
    fn default() -> Self {
        Self::new(REPORTS_MAX_DEFAULT)
    }
}

impl CheckpointStatistics {
    /// Keeps the last `reports_max` checkpoints, and those in progress.
    pub fn new(reports_max: usize) -> Self {
        Self {
            reports_max,
            reports: VecDeque::new(),
            counts: CheckpointCounts::default(),
            latest_completed: None,
            latest_savepoint: None,
            latest_failed: None,
            latest_restored: None,
        }
    }

    /// Goes on from what an earlier process has left: reports oldest first, none of them in progress.
    pub fn resume(&mut self, counts: CheckpointCounts, reports: Vec<CheckpointReport>) {
        for report in &reports {
            self.note_latest(report);
        }
        self.counts = counts;
        self.reports = reports.into();
        self.forget_oldest();
    }

    /// The reports, oldest first. All that are in progress are among them.
    pub fn reports(&self) -> impl DoubleEndedIterator<Item = &CheckpointReport> {
        self.reports.iter()
    }

    /// The report of this checkpoint, if it is still kept.
    pub fn report(&self, checkpoint: CheckpointId) -> Option<&CheckpointReport> {
        // Ids are not used again, but a job that was started with --fresh begins at the first one.
        self.reports
            .iter()
            .rev()
            .find(|report| report.id == checkpoint)
    }

    /// Whether the checkpoint has failed, and not so long ago that nothing is known of it any more.
    pub fn has_failed(&self, checkpoint: CheckpointId) -> bool {
        self.report(checkpoint)
            .is_some_and(|report| report.state == CheckpointState::Failed)
    }

    /// How many checkpoints there were.
    pub fn counts(&self) -> CheckpointCounts {
        self.counts
    }

    /// How many are under way.
    pub fn in_progress_count(&self) -> usize {
        let reports = self.reports.iter();
        reports.filter(|report| report.is_in_progress()).count()
    }

    /// The checkpoint, not a savepoint, that was completed last.
    pub fn latest_completed(&self) -> Option<&CheckpointReport> {
        self.latest_completed.as_ref()
    }

    /// The savepoint that was completed last.
    pub fn latest_savepoint(&self) -> Option<&CheckpointReport> {
        self.latest_savepoint.as_ref()
    }

    /// The one that failed last.
    pub fn latest_failed(&self) -> Option<&CheckpointReport> {
        self.latest_failed.as_ref()
    }

    /// What the job was resumed from last.
    pub fn latest_restored(&self) -> Option<&RestoreReport> {
        self.latest_restored.as_ref()
    }

    /// A checkpoint was triggered.
    pub fn triggered(
        &mut self,
        id: CheckpointId,
        kind: impl Into<String>,
        is_savepoint: bool,
        subtasks_total: usize,
        now_unix_millis: i64,
    ) {
        self.counts.triggered += 1;
        self.reports.push_back(CheckpointReport {
            id,
            kind: kind.into(),
            is_savepoint,
            state: CheckpointState::InProgress,
            triggered_unix_millis: now_unix_millis,
            duration: Duration::ZERO,
            bytes: 0,
            full_bytes: 0,
            manifest_bytes: 0,
            path: None,
            discarded: false,
            failure: None,
            subtasks_total,
            subtasks: Vec::new(),
        });
        self.forget_oldest();
    }

    /// A subtask has acknowledged a checkpoint. The figures of one that comes too late are kept too, as long as the
    /// checkpoint is.
    pub fn acknowledged(&mut self, id: CheckpointId, part: SubtaskReport) {
        let mut reports = self.reports.iter_mut().rev();
        let Some(report) = reports.find(|report| report.id == id) else {
            return;
        };
        let place = report
            .subtasks
            .binary_search_by(|known| known.subtask.cmp(&part.subtask));
        // The second one describes the same state as the first.
        if let Err(place) = place {
            if report.is_in_progress() {
                report.duration = report.duration.max(part.duration);
                report.bytes += part.bytes;
                report.full_bytes += part.full_bytes;
            }
            report.subtasks.insert(place, part);
        }
    }

    /// The manifest of a checkpoint is durable.
    pub fn completed(&mut self, id: CheckpointId, figures: CompletedFigures) {
        if let Some(report) = self.in_progress(id) {
            report.state = CheckpointState::Completed;
            report.duration = figures.duration;
            report.bytes = figures.bytes;
            report.full_bytes = figures.full_bytes;
            report.manifest_bytes = figures.manifest_bytes;
            report.path = Some(figures.path);
            let report = report.clone();
            self.counts.completed += 1;
            self.note_latest(&report);
            self.forget_oldest();
        }
    }

    /// A checkpoint was given up, so long after its trigger.
    pub fn failed(&mut self, id: CheckpointId, duration: Duration, failure: CheckpointFailure) {
        if let Some(report) = self.in_progress(id) {
            report.state = CheckpointState::Failed;
            report.duration = duration;
            report.failure = Some(failure);
            let report = report.clone();
            self.counts.failed += 1;
            self.note_latest(&report);
            self.forget_oldest();
        }
    }

    /// A completed checkpoint has been deleted, because newer ones took its place.
    pub fn discarded(&mut self, id: CheckpointId) {
        let reports = self.reports.iter_mut().chain(&mut self.latest_completed);
        let completed =
            reports.filter(|report| report.id == id && report.state == CheckpointState::Completed);
        completed.for_each(|report| report.discarded = true);
    }

    /// The job was resumed from a checkpoint.
    pub fn restored(&mut self, restore: RestoreReport) {
        self.counts.restored += 1;
        self.latest_restored = Some(restore);
    }

    fn note_latest(&mut self, report: &CheckpointReport) {
        let latest = match report.state {
            CheckpointState::Completed if report.is_savepoint => &mut self.latest_savepoint,
            CheckpointState::Completed => &mut self.latest_completed,
            CheckpointState::Failed => &mut self.latest_failed,
            CheckpointState::InProgress => return,
        };
        *latest = Some(report.clone());
    }

    fn in_progress(&mut self, id: CheckpointId) -> Option<&mut CheckpointReport> {
        self.reports
            .iter_mut()
            .find(|report| report.id == id && report.is_in_progress())
    }

    /// What is in progress stays: its outcome has still to be written down. The coordinator bounds how many those are.
    fn forget_oldest(&mut self) {
        while self.reports.len() > self.reports_max {
            let oldest = self
                .reports
                .iter()
                .position(|report| !report.is_in_progress());
            let Some(oldest) = oldest else { return };
            self.reports.remove(oldest);
        }
    }
}
