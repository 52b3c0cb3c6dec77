//! Writes down what becomes of checkpoints: in the record that is shared with whoever watches the job, in its file, and
//! as metrics.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot::error::TryRecvError;
use tracing::{debug, warn};

use crate::coordinator::{self, CheckpointKind};
use crate::model::{CheckpointId, SharedClock, SubtaskId};
use crate::snapshot::CheckpointStore;
use crate::telemetry::statistics::{
    CheckpointFailure, CompletedFigures, SubtaskReport, encode_history,
};
use crate::telemetry::{
    JobStatus, Metric, count_in_job, observe, observe_in_job, set_gauge_in_job,
};

use super::background::SubtaskAck;
use super::committer::{Committed, Committer};
use super::executor::{Begun, SharedExecutor, begin};

/// Writes down what becomes of the checkpoints of one attempt at a job.
///
/// The file is no part of a checkpoint: it is written in the background, now and then and at the end, and a job does not
/// fail for it. A process that is killed loses what it had not written yet.
pub(super) struct CheckpointRecorder {
    status: Arc<JobStatus>,
    store: CheckpointStore,
    executor: SharedExecutor,
    clock: SharedClock,
    /// Whether something has been decided since the file was last written.
    is_changed: bool,
    writing: Option<Begun<()>>,
}

impl CheckpointRecorder {
    /// A recorder beside a committer, with the same store and the same clock.
    pub(super) fn beside(committer: &Committer, status: Arc<JobStatus>) -> Self {
        Self {
            status,
            store: committer.store.clone(),
            executor: Arc::clone(&committer.executor),
            clock: Arc::clone(&committer.clock),
            is_changed: false,
            writing: None,
        }
    }

    /// A checkpoint has been triggered, to be acknowledged by so many subtasks. The finished ones among them take no part,
    /// which counts as an acknowledgement.
    pub(super) fn triggered(
        &mut self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        subtasks: usize,
        finished: &[SubtaskId],
    ) {
        let now = self.clock.unix_millis();
        let is_savepoint = kind == CheckpointKind::Savepoint;
        let mut statistics = self.status.checkpoints();
        statistics.triggered(checkpoint, kind.to_string(), is_savepoint, subtasks, now);
        for subtask in finished {
            statistics.acknowledged(checkpoint, SubtaskReport::finished(subtask.clone(), now));
        }
        drop(statistics);
        count_in_job(Metric::CheckpointsTriggered, 1);
        self.report_in_progress();
    }

    /// A subtask has acknowledged a checkpoint.
    pub(super) fn acknowledged(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        acknowledgement: &SubtaskAck,
    ) {
        let part = self.part(checkpoint, subtask, acknowledgement);
        debug!(
            %checkpoint,
            %subtask,
            start_delay = ?part.start_delay,
            alignment = ?part.alignment,
            sync = ?part.sync,
            r#async = ?part.r#async,
            bytes = part.bytes,
            "acknowledged"
        );
        let (operator, index) = (&subtask.operator, subtask.index);
        for (metric, time) in [
            (Metric::BarrierStall, part.sync),
            (Metric::CheckpointStartDelay, part.start_delay),
            (Metric::CheckpointAlignment, part.alignment),
            (Metric::CheckpointAsync, part.r#async),
        ] {
            observe(metric, operator, index, time.as_secs_f64());
        }
        self.status.checkpoints().acknowledged(checkpoint, part);
    }

    /// A checkpoint is complete.
    pub(super) fn completed(
        &mut self,
        checkpoint: CheckpointId,
        duration: Duration,
        committed: &Committed,
    ) {
        let figures = CompletedFigures {
            duration,
            bytes: committed.bytes,
            full_bytes: committed.full_bytes,
            manifest_bytes: committed.manifest_bytes,
            path: committed.folder.to_string(),
        };
        let in_flight_bytes = {
            let mut statistics = self.status.checkpoints();
            statistics.completed(checkpoint, figures);
            let report = statistics.report(checkpoint);
            report.map_or(0, |report| report.in_flight_bytes())
        };
        count_in_job(Metric::CheckpointsCompleted, 1);
        observe_in_job(Metric::CheckpointDuration, duration.as_secs_f64());
        observe_in_job(Metric::CheckpointBytes, committed.bytes as f64);
        let completed_seconds = self.clock.unix_millis() as f64 / 1000.0;
        for (metric, value) in [
            (Metric::LastCheckpointId, checkpoint.0 as f64),
            (Metric::LastCheckpointCompleted, completed_seconds),
            (Metric::LastCheckpointDuration, duration.as_secs_f64()),
            (Metric::LastCheckpointBytes, committed.bytes as f64),
            (Metric::LastCheckpointFullBytes, committed.full_bytes as f64),
            (
                Metric::LastCheckpointManifestBytes,
                committed.manifest_bytes as f64,
            ),
            (Metric::LastCheckpointInFlightBytes, in_flight_bytes as f64),
        ] {
            set_gauge_in_job(metric, value);
        }
        self.is_changed = true;
        self.report_in_progress();
    }

    /// A checkpoint was given up.
    pub(super) fn failed(
        &mut self,
        checkpoint: CheckpointId,
        failure: &coordinator::CheckpointFailure,
    ) {
        let failure = CheckpointFailure {
            reason: failure.reason.to_string(),
            message: failure.cause.clone(),
        };
        {
            let mut statistics = self.status.checkpoints();
            let triggered = statistics.report(checkpoint);
            let triggered = triggered.map_or(0, |report| report.triggered_unix_millis);
            let millis = self.clock.unix_millis().saturating_sub(triggered);
            let duration = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
            statistics.failed(checkpoint, duration, failure);
        }
        count_in_job(Metric::CheckpointsFailed, 1);
        self.is_changed = true;
        self.report_in_progress();
    }

    /// Completed checkpoints are being deleted, since newer ones have taken their place.
    pub(super) fn discarded(&mut self, checkpoints: &[CheckpointId]) {
        let mut statistics = self.status.checkpoints();
        for checkpoint in checkpoints {
            statistics.discarded(*checkpoint);
        }
        self.is_changed |= !checkpoints.is_empty();
    }

    /// Writes the file if there is something new, unless it is being written already. To be called now and then.
    pub(super) fn save(&mut self) {
        if let Some(writing) = &mut self.writing {
            if writing.try_recv() == Err(TryRecvError::Empty) {
                return;
            }
            // It is done, and must not be waited for once more.
            self.writing = None;
        }
        if self.is_changed {
            self.is_changed = false;
            self.writing = Some(self.write(None));
        }
    }

    /// Writes the file for the last time, once whatever is being written is done.
    pub(super) fn finish(&mut self) -> Option<BoxFuture<'static, ()>> {
        let mut last = self.writing.take();
        if self.is_changed {
            self.is_changed = false;
            last = Some(self.write(last));
        }
        // A task that panicked has left the former file.
        last.map(|writing| writing.map(drop).boxed())
    }

    fn write(&self, before: Option<Begun<()>>) -> Begun<()> {
        let encoded = encode_history(&self.status.checkpoints());
        let store = self.store.clone();
        begin(&*self.executor, async move {
            if let Some(before) = before {
                // If it panicked, this one takes its place.
                let _ = before.await;
            }
            let written = match encoded {
                Ok(history) => store.write_history(Bytes::from(history)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                let reason = error.full_message();
                warn!(reason, "the history of checkpoints could not be written");
            }
        })
    }

    fn part(
        &self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        acknowledgement: &SubtaskAck,
    ) -> SubtaskReport {
        let now = self.clock.unix_millis();
        let figures = &acknowledgement.figures;
        let statistics = self.status.checkpoints();
        let triggered = statistics.report(checkpoint);
        let triggered = triggered.map_or(now, |report| report.triggered_unix_millis);
        let millis = u64::try_from(now.saturating_sub(triggered)).unwrap_or_default();
        let pieces = acknowledgement.snapshot.operators.iter();
        let pieces = pieces.flat_map(|(_, entry)| entry.pieces());
        SubtaskReport {
            subtask: subtask.clone(),
            acknowledged_unix_millis: now,
            duration: Duration::from_millis(millis),
            start_delay: figures.start_delay,
            alignment: figures.alignment_duration,
            sync: figures.sync_duration,
            r#async: figures.async_duration,
            bytes: figures.uploaded_bytes,
            full_bytes: pieces.map(|piece| piece.length).sum(),
            in_flight_bytes: figures.in_flight_bytes,
            is_unaligned: figures.is_unaligned,
            is_finished: acknowledgement.finished,
        }
    }

    fn report_in_progress(&self) {
        let in_progress = self.status.checkpoints().in_progress_count();
        set_gauge_in_job(Metric::CheckpointsInProgress, in_progress as f64);
    }
}
