//! The checkpoints of one job in the store: begin, commit, list, remove.

use std::collections::BTreeSet;

use bytes::Bytes;
use tracing::warn;

use super::damage::Damage;
use super::manifest::Manifest;
use super::manifest_file;
use super::objects::SnapshotObjects;
use super::recovery::LoadedCheckpoint;
use super::retention::Removal;
use super::summary::{CheckpointSummary, ListedCheckpoint};
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::{
    BlobPath, BlobStore, Fence, ObjectName, StorageError, StoragePaths, StoreLocation,
    StoredSection,
};

/// The checkpoints of one job. Clones share the store.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    pub(super) blobs: BlobStore,
    pub(super) paths: StoragePaths,
    /// What is looked at before anything is committed; nothing when the store is only looked at.
    pub(super) fence: Option<Fence>,
}

impl CheckpointStore {
    /// Opens the checkpoints of `job`. Nothing is made but the root of the store.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the job's name cannot name a folder, [`ErrorKind::Environment`] when the root
    /// cannot be made.
    pub fn open(location: &StoreLocation, job: &str) -> Result<Self> {
        Ok(Self {
            paths: StoragePaths::new(job)?,
            blobs: BlobStore::open(location)?,
            fence: None,
        })
    }

    /// The checkpoints of `job` in a store that is open already.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the job's name cannot name a folder.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn over(blobs: BlobStore, job: &str) -> Result<Self> {
        Ok(Self {
            paths: StoragePaths::new(job)?,
            blobs,
            fence: None,
        })
    }

    /// The same checkpoints, in a store that tells `observer` of each of its steps.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn observed(self, observer: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            blobs: self.blobs.observed(observer),
            ..self
        }
    }

    /// Makes the job's folders, and keeps former owners from completing what they have begun. To be called before anything
    /// is read or written, so that a store that cannot be written
    /// to is noticed at the start and not at the first checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the job belongs to another process by now; [`ErrorKind::Environment`].
    pub async fn prepare(&self) -> Result<()> {
        self.ensure_owner().await?;
        let shared = self.paths.shared_folder();
        self.blobs.create_folder(&shared).await?;
        // Whoever locked the job has made its folder, and a process that was killed did not come to sync it.
        self.blobs.keep_folder(&shared).await?;
        self.refuse_former_owners().await
    }

    /// Makes the folder of a checkpoint that is about to be triggered. From then on the id counts as used, whatever
    /// becomes of the checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the job belongs to another process by now; [`ErrorKind::Environment`].
    pub async fn begin(&self, checkpoint: CheckpointId) -> Result<()> {
        if let Some(fence) = &self.fence {
            fence.begin(checkpoint).await?;
        }
        let folder = self.paths.checkpoint_folder(checkpoint);
        Ok(self.blobs.create_folder(&folder).await?)
    }

    /// Commits a checkpoint: makes sure that its objects cannot be lost, then creates its manifest. All its objects
    /// must have been stored. Returns the size of the manifest in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the job belongs to another process by now, or the checkpoint has a manifest already.
    /// [`ErrorKind::Environment`] when the store refuses; the checkpoint is then not complete, and its id must not be
    /// used again.
    pub async fn commit(&self, manifest: &Manifest) -> Result<u64> {
        let checkpoint = manifest.checkpoint;
        let content = manifest_file::encode(manifest)?;
        let length = content.len() as u64;
        if self.blobs.is_bucket() {
            self.commit_in_bucket(checkpoint, content).await?;
            return Ok(length);
        }
        // The order counts: no manifest may survive a power cut that its objects do not.
        self.blobs.sync_folder(&self.paths.shared_folder()).await?;
        let folder = self.paths.checkpoint_folder(checkpoint);
        if manifest.pieces().any(|piece| !piece.object.is_shared()) {
            self.blobs.sync_folder(&folder).await?;
        }
        self.commit_manifest(checkpoint, content).await?;
        self.blobs.sync_folder(&folder).await?;
        self.blobs.sync_folder(&self.paths.job_folder()).await?;
        Ok(length)
    }

    /// The order counts: a process that takes the job over first says so, and then deletes the pending manifest. So
    /// either this look finds that out, or the pending manifest is gone when it is to get its name, or the other process
    /// finds the checkpoint.
    async fn commit_manifest(&self, checkpoint: CheckpointId, content: Bytes) -> Result<()> {
        let path = self.paths.manifest(checkpoint);
        let pending = self.paths.pending_manifest(checkpoint, self.generation());
        if let Err(error) = self.blobs.put(&pending, &[vec![content]]).await {
            self.ensure_owner().await?;
            return Err(error.into());
        }
        if let Err(lost) = self.ensure_owner().await {
            // Nobody would give it its name any more.
            _ = self.blobs.delete(&pending).await;
            return Err(lost);
        }
        let named = self.blobs.name_if_absent(&path, &pending).await;
        if named.is_err() {
            // The new owner may have deleted it just now, and then that is the reason.
            self.ensure_owner().await?;
        }
        Ok(named?)
    }

    /// Reads and verifies some of the objects that a manifest refers to. What is given holds no more than these.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when one is damaged, or is not there any more; [`ErrorKind::Environment`] when the store does not
    /// hand it out.
    pub async fn load_objects(
        &self,
        manifest: &Manifest,
        objects: &BTreeSet<ObjectName>,
    ) -> Result<LoadedCheckpoint> {
        let snapshot = self.objects_of(manifest.checkpoint);
        let read = snapshot.read(manifest, |object| objects.contains(object));
        let loaded = read.await;
        let loaded = loaded.map(|objects| LoadedCheckpoint::new(manifest, objects, None));
        loaded.map_err(|damage| {
            let (kind, remedy) = match damage.may_be_whole() {
                true => (ErrorKind::Environment, "mend that and start again"),
                false => (
                    ErrorKind::Corrupt,
                    "start again, and the one before it is used",
                ),
            };
            let folder = self.shown_folder(manifest.checkpoint);
            let checkpoint = manifest.checkpoint;
            Error::new(
                kind,
                format!("checkpoint {checkpoint} in {folder}: {damage}; {remedy}"),
            )
        })
    }

    /// Every checkpoint that has a folder, oldest first; in a bucket, where folders are nothing but names that may be listed
    /// long after what was there is gone, every one that has a manifest. Looks whether the objects are there and long enough,
    /// but not at their bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when the job's folder cannot be read.
    pub async fn list(&self) -> Result<Vec<ListedCheckpoint>> {
        let ids = self.checkpoint_ids().await?.into_iter();
        let looks = ids.map(|checkpoint| async move {
            let summary = match self.read_manifest(checkpoint).await {
                Ok((manifest, manifest_bytes)) => self
                    .objects_of(checkpoint)
                    .check(&manifest)
                    .await
                    .map(|()| CheckpointSummary::of(&manifest, manifest_bytes)),
                Err(damage) => Err(damage),
            };
            ListedCheckpoint {
                checkpoint,
                summary,
            }
        });
        let mut listed = self.blobs.do_all(looks).await;
        let is_there = |listed: &ListedCheckpoint| listed.summary != Err(Damage::Incomplete);
        listed.retain(|listed| is_there(listed) || !self.blobs.is_bucket());
        Ok(listed)
    }

    /// The manifest of one checkpoint, for inspection.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when there is none, or it is damaged.
    pub async fn manifest(&self, checkpoint: CheckpointId) -> Result<Manifest> {
        let read = self.read_manifest(checkpoint).await;
        read.map(|(manifest, _)| manifest).map_err(|damage| {
            let folder = self.shown_folder(checkpoint);
            Error::new(
                ErrorKind::Corrupt,
                format!("checkpoint {checkpoint} in {folder} cannot be used: {damage}"),
            )
        })
    }

    /// Deletes what nobody needs any more: the manifests, and when no power cut can bring them back, the objects.
    /// Failures are logged; what could not be deleted is given back, to be tried again with the next removal. The next
    /// start sweeps up what is left even then.
    pub async fn remove(&self, removal: Removal) -> Removal {
        if let Err(error) = self.ensure_owner().await {
            let reason = error.full_message();
            warn!(
                reason,
                "superseded checkpoints are left to the owner of the job"
            );
            return removal;
        }
        if let Err(error) = self.remove_checkpoints(&removal.checkpoints).await {
            let reason = Error::from(error).full_message();
            warn!(reason, "superseded checkpoints could not be deleted");
            // A manifest that stays still needs its objects, so they must stay as well.
            return removal;
        }
        if let Some(ledger) = self.ledger() {
            ledger.removed(&removal.checkpoints);
        }
        Removal {
            objects: self.remove_objects(removal.objects).await,
            ..Removal::default()
        }
    }

    async fn remove_checkpoints(&self, checkpoints: &[CheckpointId]) -> Result<(), StorageError> {
        for checkpoint in checkpoints {
            let manifest = self.paths.manifest(*checkpoint);
            self.blobs.delete(&manifest).await?;
            if !self.remove_folder(*checkpoint).await {
                let folder = self.paths.checkpoint_folder(*checkpoint);
                self.blobs.sync_folder(&folder).await?;
            }
        }
        match checkpoints {
            [] => Ok(()),
            _ => self.blobs.sync_folder(&self.paths.job_folder()).await,
        }
    }

    /// Stores an object; see [`BlobStore::put`].
    pub(super) async fn put_object(
        &self,
        object: &ObjectName,
        sections: &[Vec<Bytes>],
    ) -> Result<Vec<StoredSection>, StorageError> {
        self.blobs.put(&self.paths.object(object), sections).await
    }

    /// Deletes objects, as many at once as the store takes. Gives those that may be there still.
    pub(super) async fn remove_objects(&self, objects: Vec<ObjectName>) -> Vec<ObjectName> {
        let mut left = Vec::new();
        for batch in objects.chunks(self.blobs.batch_max()) {
            let paths: Vec<BlobPath> = batch
                .iter()
                .map(|object| self.paths.object(object))
                .collect();
            if let Err(error) = self.blobs.delete_all(&paths).await {
                let (object, reason) = (&batch[0], Error::from(error).full_message());
                warn!(%object, reason, "objects that nobody needs could not be deleted");
                left.extend_from_slice(batch);
            }
        }
        left
    }

    /// Deletes a checkpoint's folder, which must have no manifest any more, and all objects in it; whether it is gone.
    pub(super) async fn remove_folder(&self, checkpoint: CheckpointId) -> bool {
        match self.try_remove_folder(checkpoint).await {
            Ok(()) => true,
            Err(error) => {
                let reason = error.full_message();
                warn!(%checkpoint, reason, "the folder of a checkpoint could not be deleted");
                false
            }
        }
    }

    async fn try_remove_folder(&self, checkpoint: CheckpointId) -> Result<()> {
        self.empty_folder(checkpoint).await?;
        let folder = self.paths.checkpoint_folder(checkpoint);
        Ok(self.blobs.delete_folder(&folder).await?)
    }

    /// Deletes all that is in a checkpoint's folder, which must have no manifest any more.
    pub(super) async fn empty_folder(&self, checkpoint: CheckpointId) -> Result<()> {
        let folder = self.paths.checkpoint_folder(checkpoint);
        self.clear_savepoint(checkpoint).await?;
        let objects = self.blobs.list(&folder).await?;
        if !objects.is_empty() {
            // The order counts: no power cut may bring the manifest back and not what it refers to.
            self.blobs.sync_folder(&folder).await?;
        }
        let objects = objects.iter();
        let mut paths: Vec<BlobPath> = objects
            .map(|object| self.paths.file(&folder, &object.name))
            .collect();
        if self.blobs.is_bucket() {
            // A tombstone, which a list may not show.
            paths.push(self.paths.manifest(checkpoint));
        }
        Ok(self.blobs.delete_all(&paths).await?)
    }

    /// The ids of all checkpoints that have a folder, or that the ledger knows, in order.
    pub(super) async fn checkpoint_ids(&self) -> Result<Vec<CheckpointId>> {
        let entries = self.blobs.list(&self.paths.job_folder()).await?;
        let listed = entries
            .iter()
            .filter(|entry| entry.is_folder)
            .filter_map(|entry| self.paths.checkpoint_of_folder(&entry.name));
        let mut ids: BTreeSet<CheckpointId> = listed.collect();
        if let Some(ledger) = self.ledger() {
            ids.extend(ledger.complete());
        }
        Ok(ids.into_iter().collect())
    }

    /// All objects in the shared folder.
    pub(super) async fn objects(&self) -> Result<Vec<ObjectName>> {
        let entries = self.blobs.list(&self.paths.shared_folder()).await?;
        Ok(entries
            .iter()
            .filter_map(|entry| ObjectName::from_file_name(&entry.name))
            .collect())
    }

    /// A manifest, and the size of its file in bytes.
    pub(super) async fn read_manifest(
        &self,
        checkpoint: CheckpointId,
    ) -> Result<(Manifest, u64), Damage> {
        let (manifest, bytes) = self.objects_of(checkpoint).read_manifest().await?;
        // A folder that someone copied or renamed must not be taken for what it is not.
        if manifest.checkpoint != checkpoint || manifest.job != self.paths.job() {
            return Err(Damage::InvalidManifest {
                reason: format!(
                    "it is the one of checkpoint {} of job {}",
                    manifest.checkpoint, manifest.job
                ),
            });
        }
        Ok((manifest, bytes))
    }

    /// The objects of a checkpoint.
    pub(super) fn objects_of(&self, checkpoint: CheckpointId) -> SnapshotObjects {
        SnapshotObjects {
            blobs: self.blobs.clone(),
            paths: self.paths.snapshot(checkpoint),
        }
    }

    /// The newest manifest that can be read, if there is any.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when the job's folder cannot be read.
    pub async fn newest_manifest(&self) -> Result<Option<Manifest>> {
        for checkpoint in self.checkpoint_ids().await?.into_iter().rev() {
            if let Ok((manifest, _)) = self.read_manifest(checkpoint).await {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// Whether a checkpoint has a manifest, sound or not.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when the store cannot be read.
    pub async fn has_manifest(&self, checkpoint: CheckpointId) -> Result<bool> {
        match self.blobs.read(&self.paths.manifest(checkpoint)).await {
            Ok(content) => Ok(content != manifest_file::TOMBSTONE),
            Err(StorageError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder of a checkpoint as the user would look for it.
    pub fn folder(&self, checkpoint: CheckpointId) -> StoreLocation {
        let folder = self.paths.checkpoint_folder(checkpoint);
        self.blobs.full_path(&folder)
    }

    /// The same as text.
    pub fn shown_folder(&self, checkpoint: CheckpointId) -> String {
        self.folder(checkpoint).to_string()
    }
}

#[cfg(test)]
mod tests;
