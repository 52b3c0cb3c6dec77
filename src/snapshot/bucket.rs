//! Checkpoints in a bucket: how they are completed, and how it is settled that one never will be.
//!
//! Why this keeps owners apart stands in the documentation of the ledger, in `storage::ownership`.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::manifest_file::TOMBSTONE;
use super::store::CheckpointStore;
use crate::error::Result;
use crate::model::CheckpointId;
use crate::storage::{BlobPath, BlobStore, Ledger, StorageError};

impl CheckpointStore {
    /// Creates the manifest of a checkpoint. After an error other than a conflict it may be there all the same: the ledger
    /// keeps the id as unsettled.
    pub(super) async fn commit_in_bucket(
        &self,
        checkpoint: CheckpointId,
        content: Bytes,
    ) -> Result<()> {
        self.ensure_owner().await?;
        let path = self.paths.manifest(checkpoint);
        if let Err(error) = self.blobs.create(&path, content).await {
            // A tombstone of the new owner may be the reason, and then that is to be said.
            self.ensure_owner().await?;
            return Err(error.into());
        }
        if let Some(ledger) = self.ledger() {
            ledger.completed(checkpoint);
        }
        Ok(())
    }

    /// Sees to it that of each id that former owners, or former attempts of this process, can have used there is a manifest
    /// or a tombstone, so that nothing of theirs becomes complete any more.
    pub(super) async fn settle(&self, ledger: &Ledger) -> Result<()> {
        let unsettled: BTreeSet<CheckpointId> = ledger.unsettled();
        let settling = unsettled.clone().into_iter().map(|checkpoint| async move {
            let path = self.paths.manifest(checkpoint);
            let is_complete = !entomb(&self.blobs, &path).await?;
            Ok::<_, StorageError>(is_complete.then_some(checkpoint))
        });
        let settled = self.blobs.do_all(settling).await;
        let complete: Vec<Option<CheckpointId>> = settled.into_iter().collect::<Result<_, _>>()?;
        ledger.settle(&unsettled, complete.into_iter().flatten());
        Ok(())
    }

    /// The ledger of a job in a bucket that this process owns.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.fence()?.ledger()
    }
}

/// Puts a tombstone in the place of a manifest, unless one is there; whether there is a tombstone now.
pub(super) async fn entomb(blobs: &BlobStore, manifest: &BlobPath) -> Result<bool, StorageError> {
    match blobs.create(manifest, Bytes::from_static(TOMBSTONE)).await {
        Ok(()) => Ok(true),
        Err(StorageError::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
