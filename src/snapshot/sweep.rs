//! Sweeping up what a crash left behind.

use std::collections::BTreeSet;

use tracing::warn;

use super::damage::Damage;
use super::store::CheckpointStore;
use crate::error::Result;
use crate::model::CheckpointId;

/// What was swept up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Objects that no manifest referred to.
    pub objects: usize,
    /// Folders of checkpoints that were never completed.
    pub folders: usize,
}

impl CheckpointStore {
    /// Deletes the objects that no manifest refers to, and the folders without a manifest that are older than the
    /// newest valid checkpoint; a newer one stays, because it is the only trace of an id that was used.
    ///
    /// To be called at the start, before anything is written: an object of a checkpoint in progress looks like an
    /// orphan. When a single manifest cannot be read, no object is touched, because it might refer to any of them.
    /// Failures are logged only.
    pub async fn sweep_orphans(&self, newest_valid: Option<CheckpointId>) -> Sweep {
        match self.try_sweep(newest_valid).await {
            Ok(sweep) => sweep,
            Err(error) => {
                let reason = error.full_message();
                warn!(
                    reason,
                    "what earlier runs left behind could not be swept up"
                );
                Sweep::default()
            }
        }
    }

    async fn try_sweep(&self, newest_valid: Option<CheckpointId>) -> Result<Sweep> {
        let mut sweep = Sweep::default();
        let mut needed = BTreeSet::new();
        let mut without_manifest = Vec::new();
        let mut all_readable = true;
        let checkpoints = self.checkpoint_ids().await?;
        self.clear_savepoints(&checkpoints).await;
        let looks = checkpoints.into_iter().map(|checkpoint| async move {
            let read = self.read_manifest(checkpoint).await;
            let is_superseded = newest_valid.is_some_and(|newest| checkpoint < newest);
            let is_removed = is_superseded
                && matches!(read, Err(Damage::Incomplete))
                && self.remove_folder(checkpoint).await;
            (checkpoint, read, is_removed)
        });
        for (checkpoint, read, is_removed) in self.blobs.do_all(looks).await {
            match read {
                Ok((manifest, _)) => needed.extend(manifest.objects()),
                Err(Damage::Incomplete) if is_removed => sweep.folders += 1,
                Err(Damage::Incomplete) => {
                    without_manifest.push(self.paths.checkpoint_folder(checkpoint));
                }
                Err(damage) => {
                    warn!(%checkpoint, %damage, "left-over objects stay until this checkpoint is gone");
                    all_readable = false;
                }
            }
        }
        let mut orphans = self.objects().await?;
        orphans.retain(|object| !needed.contains(object));
        if !all_readable || orphans.is_empty() {
            return Ok(sweep);
        }
        // Whoever has taken the job over since may be writing objects that no manifest refers to yet.
        self.ensure_owner().await?;
        // A process that was killed may have deleted a manifest that a power cut would still bring back.
        for folder in &without_manifest {
            self.blobs.sync_folder(folder).await?;
        }
        self.blobs.sync_folder(&self.paths.job_folder()).await?;
        let found = orphans.len();
        sweep.objects = found - self.remove_objects(orphans).await.len();
        Ok(sweep)
    }
}

#[cfg(test)]
mod tests;
