//! What is known of checkpoints from before, and of the one that the job goes on from.

use std::time::Duration;

use tracing::warn;

use super::run::JobRun;
use crate::snapshot::{Manifest, SnapshotKind};
use crate::telemetry::statistics::{HISTORY_BYTES_MAX, RestoreReport, decode_history};
use crate::telemetry::{Metric, set_gauge_in_job};

impl JobRun {
    /// Goes on with the history that an earlier process has left. Without one, or with a damaged one, a new one begins:
    /// no restore needs it.
    pub(super) async fn resume_history(&self) {
        let read = self.store.read_history(HISTORY_BYTES_MAX).await;
        let history = match read {
            Ok(Some(bytes)) => decode_history(&bytes),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match history {
            Ok((counts, reports)) => self.status.checkpoints().resume(counts, reports),
            Err(error) => {
                let reason = error.full_message();
                warn!(
                    reason,
                    "the history of checkpoints cannot be read, a new one begins"
                );
            }
        }
    }

    /// The job goes on from the snapshot with this manifest, in this folder, which took so long to be read.
    pub(super) fn note_restore(&self, manifest: &Manifest, folder: String, took: Duration) {
        let now_unix_millis = self.clock.unix_millis();
        // A snapshot that was just taken over is what the job was really started from.
        let taken_over = manifest.started_from.as_ref();
        let taken_over = taken_over.filter(|started| started.taken_over_as == manifest.checkpoint);
        let (kind, path) = match taken_over {
            Some(started) => (started.kind, started.path.clone()),
            None => (manifest.kind, folder),
        };
        self.status.checkpoints().restored(RestoreReport {
            checkpoint: manifest.checkpoint,
            is_savepoint: kind == SnapshotKind::Savepoint,
            path,
            restored_unix_millis: now_unix_millis,
        });
        for (metric, value) in [
            (Metric::LastRestore, now_unix_millis as f64 / 1000.0),
            (Metric::RestoreDownload, took.as_secs_f64()),
            (Metric::RestoredBytes, manifest.referred_bytes() as f64),
        ] {
            set_gauge_in_job(metric, value);
        }
    }
}
