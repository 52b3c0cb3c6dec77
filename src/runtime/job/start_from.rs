//! A job that is started from a snapshot takes it over before it runs for the first time.

use tracing::{info, warn};

use super::run::JobRun;
use crate::error::{Error, ErrorKind, Result};
use crate::model::OperatorId;
use crate::snapshot::{Manifest, OperatorMismatch, SnapshotAt, StartFrom, StartedFrom};
use crate::storage::{SnapshotLocation, StoreLocation};

impl JobRun {
    /// Takes the snapshot over, unless an earlier start of the same command has done so: then the job goes on from its own
    /// newest checkpoint, as after any crash.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is no such snapshot, when its operators are not the job's, or when the job
    /// has checkpoints that come from elsewhere.
    pub(super) async fn take_over(&self, start: &StartFrom) -> Result<()> {
        let working_directory = std::env::current_dir()
            .map_err(|error| Error::io("find the working directory", error))?;
        let folder = SnapshotLocation::folder_of(&start.path, &working_directory)?;
        let source = self
            .store
            .open_snapshot(&start.path, &working_directory)
            .await;
        if !self.fresh
            && let Some(newest) = self.store.newest_manifest().await?
        {
            let started = newest.started_from.as_ref();
            if started.is_some_and(|started| is_same(started, &folder, source.as_ref().ok())) {
                let checkpoint = newest.checkpoint;
                info!(%checkpoint, "the job was started from the snapshot before, and goes on from its own checkpoint");
                return Ok(());
            }
            return Err(self.has_other_checkpoints(&newest, &folder));
        }
        let source = source?;
        self.check_operators(source.manifest(), &format!("the snapshot in {folder}"))?;
        let is_known = |id: &OperatorId| self.graph.nodes().iter().any(|node| node.id == *id);
        let taken = self
            .store
            .take_over(&source, start.claim_mode, is_known, self.nonce);
        let checkpoint = taken.await?;
        info!(%checkpoint, from = %folder, "the snapshot is taken over as the job's first checkpoint");
        Ok(())
    }

    /// State of an operator that the job does not have would be lost with the next checkpoint: better to stop here, unless
    /// that is what is wanted.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], with what would be lost, and what would start empty.
    pub(super) fn check_operators(&self, manifest: &Manifest, snapshot: &str) -> Result<()> {
        let operators = self.graph.nodes().iter().map(|node| &node.id);
        let mismatch = OperatorMismatch::between(manifest, operators);
        if !self.allow_non_restored_state {
            return mismatch.refuse_loss(snapshot);
        }
        for (operator, states) in &mismatch.dropped {
            let states = states.join(", ");
            warn!(%operator, states, "state of an operator that the job no longer has is dropped");
        }
        Ok(())
    }

    /// Deletes the savepoint that the job was started from and has claimed, if the checkpoint that it was taken over as is
    /// gone: the process before may not have come to it.
    pub(super) async fn finish_claim(&self, manifest: &Manifest) -> Result<()> {
        if let Some(started) = &manifest.started_from
            && started.claimed
            && !self.store.has_manifest(started.taken_over_as).await?
        {
            self.store.dispose_claimed(started).await;
        }
        Ok(())
    }

    fn has_other_checkpoints(&self, newest: &Manifest, folder: &StoreLocation) -> Error {
        let from = match &newest.started_from {
            None => "was not started from a snapshot".to_owned(),
            Some(started) => format!("was started from {}", started.path),
        };
        Error::new(
            ErrorKind::Configuration,
            format!(
                "job {} has checkpoints already, the newest in {}, and {from}, not from {}: leave --from out to go on \
                 from its checkpoint, or add --fresh to leave it behind and start from the snapshot",
                self.graph.name,
                self.store.shown_folder(newest.checkpoint),
                folder
            ),
        )
    }
}

/// Whether a job was started from the snapshot in `folder`. That may be gone since, when the job has claimed it; and it
/// may have been moved.
fn is_same(started: &StartedFrom, folder: &StoreLocation, source: Option<&SnapshotAt>) -> bool {
    match source {
        Some(source) => started.is(source.manifest()),
        None => started.path == folder.to_string(),
    }
}
