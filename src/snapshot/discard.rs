//! Deleting all checkpoints of a job.

use super::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;

impl CheckpointStore {
    /// Deletes all checkpoints of the job, and gives those that were complete. Savepoints stay, but for one that the job
    /// has claimed. The folder of the highest id stays, empty: the ids of the next run go on from it. Nothing of the job
    /// may be at work.
    ///
    /// The oldest go first. If this does not come to its end, the job goes on from its newest checkpoint, and never from
    /// one before, after which more was committed outside.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the job belongs to another process by now; [`ErrorKind::Environment`] when the store
    /// refuses to delete something.
    pub async fn discard_all(&self) -> Result<Vec<CheckpointId>> {
        self.ensure_owner().await?;
        let checkpoints = self.checkpoint_ids().await?;
        let mut complete = Vec::new();
        let mut claimed = None;
        for checkpoint in &checkpoints {
            if let Ok((manifest, _)) = self.read_manifest(*checkpoint).await {
                let started = manifest.started_from;
                claimed =
                    claimed.or(started.filter(|started| started.taken_over_as == *checkpoint));
                complete.push(*checkpoint);
            }
        }
        for checkpoint in &checkpoints {
            self.blobs.delete(&self.paths.manifest(*checkpoint)).await?;
            let folder = self.paths.checkpoint_folder(*checkpoint);
            self.blobs.sync_folder(&folder).await?;
        }
        if let Some(ledger) = self.ledger() {
            ledger.removed(&checkpoints);
        }
        // No power cut can bring a manifest back now, so what they referred to can go.
        let mut is_all_gone = true;
        if let Some((_, older)) = checkpoints.split_last() {
            for checkpoint in older {
                is_all_gone &= self.remove_folder(*checkpoint).await;
            }
        }
        if let Some(highest) = checkpoints.last() {
            self.empty_folder(*highest).await?;
        }
        let objects = self.objects().await?;
        is_all_gone &= self.remove_objects(objects).await.is_empty();
        if let Some(started) = claimed {
            self.dispose_claimed(&started).await;
        }
        match is_all_gone {
            true => Ok(complete),
            false => Err(Error::new(
                ErrorKind::Environment,
                "not everything could be deleted, the log says what",
            )),
        }
    }
}

#[cfg(test)]
mod tests;
