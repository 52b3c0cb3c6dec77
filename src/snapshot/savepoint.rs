//! Savepoints: self-contained copies of a checkpoint, in a folder of their own.
//!
//! Before anything is written, the savepoint's place is noted in the folder of its id, in the job's own store. As long as
//! the note is there, the savepoint may be half written; whoever comes upon it deletes what is not complete, and then
//! the note. So a crash leaves nothing behind for good, in whatever directory.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::bucket::entomb;
use super::copy::Copied;
use super::manifest::{Manifest, SnapshotKind};
use super::manifest_file;
use super::objects::SnapshotObjects;
use super::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::{BlobPath, BlobStore, SnapshotPaths, StorageError, StoreLocation};

/// How many savepoints of one job and id a directory can hold: ids begin anew when a store is deleted.
const SAME_NAME_MAX: usize = 100;

/// A savepoint that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenSavepoint {
    /// Its folder.
    pub folder: StoreLocation,
    /// How many bytes it has, with its manifest.
    pub bytes: u64,
    /// How many bytes its manifest has.
    pub manifest_bytes: u64,
}

/// Where a savepoint is being written.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The directory with the savepoint's folder: an absolute path, or an address.
    directory: String,
    /// The folder's name.
    folder: String,
}

impl CheckpointStore {
    /// Makes sure that there is a directory for savepoints: makes it if need be.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when it cannot be made.
    pub async fn prepare_savepoints(&self, directory: &StoreLocation) -> Result<()> {
        self.blobs.reach(directory).await.map(drop)
    }

    /// Writes a savepoint of what `manifest`, of a checkpoint of this job, refers to. Its folder is made in `directory`
    /// as `savepoint-<job>-<id>`; when that is taken, with a number after it. Every byte is verified on the way. All that the manifest refers to must be kept until this is over.
    ///
    /// After an error, and when this is given up half way, [`CheckpointStore::clear_savepoint`] is to be called.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when something is damaged, [`ErrorKind::Environment`] when a store refuses.
    pub async fn write_savepoint(
        &self,
        manifest: &Manifest,
        directory: &StoreLocation,
    ) -> Result<WrittenSavepoint> {
        let checkpoint = manifest.checkpoint;
        let (blobs, directory_path) = self.blobs.reach(directory).await?;
        let folder = self
            .note_folder(&blobs, &directory_path, directory, checkpoint)
            .await?;
        let target = SnapshotObjects {
            paths: SnapshotPaths::self_contained(directory_path.join(&folder).as_str()),
            blobs: blobs.clone(),
        };
        let taker = format!("{} {checkpoint} {}", self.paths.job(), self.generation());
        let (path, mark) = (target.paths.folder(), target.paths.pending_manifest());
        if !blobs.take_folder(&path, &mark, &taker).await? {
            // Somebody else has made it since: it is not to be cleared.
            self.forget_note(checkpoint).await?;
            let shown = directory.join(&folder).to_string();
            return Err(StorageError::AlreadyExists { path: shown }.into());
        }
        let filled = self.fill(manifest, &target).await;
        // Then a new owner may have come upon the note before anything of the savepoint was there.
        if filled.is_err()
            && self.ensure_owner().await.is_err()
            && let Err(error) = remove_folder(&blobs, &target.paths).await
        {
            let folder = directory.join(&folder);
            warn!(%error, %folder, "what is left of a savepoint could not be deleted");
        }
        let (bytes, manifest_bytes) = filled?;
        blobs.sync_folder(&directory_path).await?;
        self.forget_note(checkpoint).await?;
        Ok(WrittenSavepoint {
            folder: directory.join(&folder),
            bytes: bytes + manifest_bytes,
            manifest_bytes,
        })
    }

    /// Writes a savepoint into its folder. Gives how many bytes were copied, and how many its manifest has.
    async fn fill(&self, manifest: &Manifest, target: &SnapshotObjects) -> Result<(u64, u64)> {
        let source = self.objects_of(manifest.checkpoint);
        let Copied { manifest, bytes } = source
            .copy(manifest, target, |object, _| object.in_savepoint())
            .await?;
        let manifest_bytes = complete_savepoint(manifest, bytes, target, Some(self)).await?;
        Ok((bytes, manifest_bytes))
    }

    /// Deletes what is left of a savepoint that did not come to its end, if there was one with this id. One that is
    /// complete stays.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when a store refuses; it is to be tried again then.
    pub async fn clear_savepoint(&self, checkpoint: CheckpointId) -> Result<()> {
        let content = match self.blobs.read(&self.note_path(checkpoint)).await {
            Ok(content) => content,
            Err(StorageError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Half a note is from a crash before anything else was written.
        if let Ok(note) = serde_json::from_slice::<Note>(&content) {
            self.clear_noted(&note).await?;
        }
        self.forget_note(checkpoint).await
    }

    /// The same for every id; failures are logged only, and the next start tries again.
    pub(super) async fn clear_savepoints(&self, checkpoints: &[CheckpointId]) {
        let checkpoints = checkpoints.iter().copied();
        let clearing = checkpoints.map(|checkpoint| async move {
            if let Err(error) = self.clear_savepoint(checkpoint).await {
                let reason = error.full_message();
                warn!(%checkpoint, reason, "what is left of a savepoint could not be deleted");
            }
        });
        self.blobs.do_all(clearing).await;
    }

    async fn clear_noted(&self, note: &Note) -> Result<()> {
        let directory = StoreLocation::parse(&note.directory, Path::new("/"))?;
        let Some((blobs, directory)) = self.blobs.reach_existing(&directory).await? else {
            return Ok(());
        };
        let found = blobs.list(&directory).await?;
        if found.iter().all(|entry| entry.name != note.folder) {
            // Its removal may have been cut short before it was durable, and once the note is gone nobody looks again.
            return Ok(blobs.sync_folder(&directory).await?);
        }
        let paths = SnapshotPaths::self_contained(directory.join(&note.folder).as_str());
        if blobs.is_bucket() {
            let is_complete = !entomb(&blobs, &paths.manifest()).await?;
            blobs.delete(&paths.pending_manifest()).await?;
            return match is_complete {
                true => Ok(()),
                false => Ok(remove_folder(&blobs, &paths).await?),
            };
        }
        blobs.delete(&paths.pending_manifest()).await?;
        if is_there(&blobs, &paths.manifest()).await? {
            return Ok(());
        }
        remove_folder(&blobs, &paths).await?;
        Ok(blobs.sync_folder(&directory).await?)
    }

    /// Finds a name for the folder that is not taken, and notes it.
    async fn note_folder(
        &self,
        blobs: &BlobStore,
        directory_path: &BlobPath,
        directory: &StoreLocation,
        checkpoint: CheckpointId,
    ) -> Result<String> {
        let taken = blobs.list(directory_path).await?;
        let name = format!("savepoint-{}-{checkpoint}", self.paths.job());
        let mut names = (1..=SAME_NAME_MAX).map(|number| match number {
            1 => name.clone(),
            _ => format!("{name}-{number}"),
        });
        let is_free = |name: &String| taken.iter().all(|entry| entry.name != *name);
        let folder = names.find(is_free).ok_or_else(|| {
            let message = format!(
                "{directory} holds {SAME_NAME_MAX} savepoints named {name}: choose another directory"
            );
            Error::new(ErrorKind::Environment, message)
        })?;
        let note = Note {
            directory: directory.to_string(),
            folder: folder.clone(),
        };
        let content = serde_json::to_vec(&note).map_err(|error| {
            Error::new(ErrorKind::Bug, "cannot write where a savepoint lies").with_source(error)
        })?;
        let path = self.note_path(checkpoint);
        self.blobs.put(&path, &[vec![content.into()]]).await?;
        let own = self.paths.checkpoint_folder(checkpoint);
        self.blobs.sync_folder(&own).await?;
        Ok(folder)
    }

    async fn forget_note(&self, checkpoint: CheckpointId) -> Result<()> {
        Ok(self.blobs.delete(&self.note_path(checkpoint)).await?)
    }

    fn note_path(&self, checkpoint: CheckpointId) -> BlobPath {
        self.paths.snapshot(checkpoint).savepoint_note()
    }
}

/// Writes the manifest of a savepoint whose objects, of so many bytes, are written; gives the manifest's bytes. Of a job
/// that runs it is written by the `owner` of that.
///
/// # Errors
/// [`ErrorKind::Environment`] when the store refuses, [`ErrorKind::Conflict`] when the owner has lost the job.
pub(super) async fn complete_savepoint(
    mut manifest: Manifest,
    bytes: u64,
    target: &SnapshotObjects,
    owner: Option<&CheckpointStore>,
) -> Result<u64> {
    manifest.kind = SnapshotKind::Savepoint;
    manifest.uploaded_bytes = bytes;
    let content = manifest_file::encode(&manifest)?;
    let manifest_bytes = content.len() as u64;
    let SnapshotObjects { blobs, paths } = target;
    let (path, pending) = (paths.manifest(), paths.pending_manifest());
    if blobs.is_bucket() {
        let created = blobs.create(&path, content).await;
        if let (Err(_), Some(owner)) = (&created, owner) {
            // A tombstone of the new owner may be the reason, and then that is to be said.
            owner.ensure_owner().await?;
        }
        created?;
        // The folder was taken with it.
        blobs.delete(&pending).await?;
        return Ok(manifest_bytes);
    }
    // The order counts: no manifest may survive a power cut that its objects do not.
    blobs.sync_folder(&paths.folder()).await?;
    // The order counts here as well: whoever takes the job over first says so, then deletes the pending manifest, and then
    // looks whether the savepoint is complete.
    blobs.put(&pending, &[vec![content]]).await?;
    if let Some(owner) = owner {
        owner.ensure_owner().await?;
    }
    let named = blobs.name_if_absent(&path, &pending).await;
    if let (Err(_), Some(owner)) = (&named, owner) {
        // The new owner may have deleted it just now, and then that is the reason.
        owner.ensure_owner().await?;
    }
    named?;
    blobs.sync_folder(&paths.folder()).await?;
    Ok(manifest_bytes)
}

/// Deletes the folder of a savepoint that is not complete, and all files in it; in a bucket all but a tombstone, without
/// which it might still be completed.
pub(super) async fn remove_folder(
    blobs: &BlobStore,
    paths: &SnapshotPaths,
) -> Result<(), StorageError> {
    let folder = paths.folder();
    let files = blobs.list(&folder).await?;
    let files = files.iter().map(|file| paths.file(&file.name));
    let stays = |path: &BlobPath| blobs.is_bucket() && *path == paths.manifest();
    let files: Vec<BlobPath> = files.filter(|path| !stays(path)).collect();
    blobs.delete_all(&files).await?;
    blobs.delete_folder(&folder).await
}

async fn is_there(blobs: &BlobStore, path: &BlobPath) -> Result<bool> {
    match blobs.length(path).await {
        Ok(_) => Ok(true),
        Err(StorageError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
