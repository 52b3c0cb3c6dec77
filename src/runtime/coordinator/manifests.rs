//! How the coordinator has manifests and savepoints written, and what it makes of the outcome.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::coordinator::{CheckpointFailure, CheckpointKind};
use crate::error::ErrorKind;
use crate::model::{CheckpointId, SubtaskId};
use crate::runtime::background::SubtaskAck;
use crate::runtime::committer::{Committed, SavepointOrder, WriteFailure, WriteOrder};
use crate::runtime::message::{ManifestWritten, StoreReport};
use crate::runtime::open_requests::Completed;
use crate::runtime::request::CompletedCheckpoint;
use crate::snapshot::SnapshotKind;
use crate::storage::StoreLocation;
use crate::telemetry::LastCheckpoint;

use super::Coordinator;

impl Coordinator {
    pub(super) fn write_manifest(
        &mut self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        acknowledged: Vec<(SubtaskId, Box<SubtaskAck>)>,
        finished: Vec<SubtaskId>,
        triggered_at: Duration,
    ) {
        let took = self.now().saturating_sub(triggered_at);
        let triggered_unix_millis = self.clock.unix_millis() - took.as_millis() as i64;
        let (records, bytes) = acknowledged
            .iter()
            .fold((0, 0), |(records, bytes), (_, ack)| {
                (
                    records + ack.state_size.records,
                    bytes + ack.state_size.bytes,
                )
            });
        self.status.set_state_size(records, bytes);
        let reporter = Arc::clone(&self.store_reporter);
        let directory = match (self.checkpoints.request_of(checkpoint), kind.is_last()) {
            (Some(request), _) => self.requests.directory(request),
            (None, true) => self.requests.stop_directory(),
            (None, false) => None,
        };
        let order = WriteOrder {
            checkpoint,
            is_savepoint: kind == CheckpointKind::Savepoint,
            acknowledged,
            finished,
            triggered_unix_millis,
            savepoint: directory.map(|directory| SavepointOrder {
                directory,
                time_left: self.checkpoints.settings().timeout.saturating_sub(took),
            }),
        };
        self.committer.commit(order, move |result| {
            reporter(StoreReport::Manifest(ManifestWritten {
                checkpoint,
                kind,
                triggered_at,
                result,
            }));
        });
    }

    /// A manifest is durable, or could not be written.
    pub(super) fn manifest_written(&mut self, written: ManifestWritten) {
        let checkpoint = written.checkpoint;
        let commands = match written.result {
            Ok(committed) => {
                let duration = self.now().saturating_sub(written.triggered_at);
                self.completed(checkpoint, written.kind, duration, committed);
                self.checkpoints.manifest_committed(checkpoint, self.now())
            }
            Err(WriteFailure { reason, error }) => {
                let cause = error.full_message();
                warn!(%checkpoint, kind = %written.kind, cause, "the manifest could not be written");
                let is_own = written.kind != CheckpointKind::Savepoint;
                if is_own && error.kind() == ErrorKind::Conflict {
                    // Somebody else writes checkpoints of this job: this process must not go on.
                    self.failed(None, None, error);
                }
                let failure = CheckpointFailure::new(reason, cause);
                self.checkpoints
                    .manifest_failed(checkpoint, failure, self.now())
            }
        };
        self.carry_out(commands);
    }

    fn completed(
        &mut self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        duration: Duration,
        committed: Committed,
    ) {
        let bytes = committed.bytes;
        let described = |kind, folder: &StoreLocation, bytes| CompletedCheckpoint {
            id: checkpoint,
            kind,
            path: folder.to_string(),
            bytes,
            duration,
        };
        let savepoint = committed.savepoint.as_ref().map(|written| {
            let folder = &written.folder;
            info!(%checkpoint, %folder, ?duration, bytes = written.bytes, "savepoint completed");
            described(SnapshotKind::Savepoint, &written.folder, written.bytes)
        });
        if kind == CheckpointKind::Savepoint {
            let completed = Completed {
                checkpoint: None,
                savepoint,
            };
            self.requests.completed(checkpoint, completed);
            self.recorder.completed(checkpoint, duration, &committed);
            self.committer.savepoint_written(checkpoint);
            return;
        }
        let own = described(SnapshotKind::Checkpoint, &committed.folder, bytes);
        let completed = Completed {
            checkpoint: Some(own),
            savepoint,
        };
        self.requests.completed(checkpoint, completed);
        if kind.is_last() {
            info!(%checkpoint, %kind, ?duration, bytes, "checkpoint completed");
        } else {
            debug!(%checkpoint, %kind, ?duration, bytes, "checkpoint completed");
        }
        self.status.checkpoint_completed(LastCheckpoint {
            id: checkpoint,
            duration,
            bytes,
        });
        self.recorder.completed(checkpoint, duration, &committed);
        let reporter = Arc::clone(&self.store_reporter);
        let cleaned = move || reporter(StoreReport::Cleaned);
        let removal = self
            .committer
            .completed(checkpoint, committed.objects, cleaned);
        if !removal.is_empty() {
            self.checkpoints.cleaning_begun();
        }
        self.recorder.discarded(&removal.checkpoints);
    }
}
