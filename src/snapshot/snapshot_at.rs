//! A snapshot that somebody names by its path: a checkpoint or a savepoint.

use std::path::Path;

use super::damage::Damage;
use super::manifest::{Manifest, SnapshotKind};
use super::objects::SnapshotObjects;
use super::recovery::LoadedCheckpoint;
use super::store::CheckpointStore;
use super::summary::CheckpointSummary;
use crate::config::S3Section;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::{BlobPath, BlobStore, SnapshotLocation, SnapshotPaths, StoreLocation};

/// A snapshot that was opened by its path. Its manifest is read and sound; of its objects nothing is known yet.
#[derive(Clone, Debug)]
pub struct SnapshotAt {
    folder: StoreLocation,
    /// The store that the folder lies in, and its path there.
    pub(super) home: (BlobStore, BlobPath),
    pub(super) objects: SnapshotObjects,
    manifest: Manifest,
    manifest_bytes: u64,
}

impl SnapshotAt {
    /// Opens the snapshot at `text`: a path or address of a savepoint, of the `chk-<id>` of a checkpoint, or of
    /// the `manifest.json` in one of them. A relative path is taken from `working_directory`, which must be absolute.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is none, or another version of Floodmark wrote it;
    /// [`ErrorKind::Corrupt`] when its manifest is damaged; [`ErrorKind::Environment`] when it cannot be read.
    pub async fn open(text: &str, working_directory: &Path) -> Result<Self> {
        Self::open_with(text, working_directory, &S3Section::default()).await
    }

    /// The same; if it lies on S3, it is reached as `s3` says.
    ///
    /// # Errors
    /// As for [`SnapshotAt::open`].
    pub async fn open_with(text: &str, working_directory: &Path, s3: &S3Section) -> Result<Self> {
        let location = SnapshotLocation::find(text, working_directory)?.with_s3(s3);
        let own = SnapshotObjects {
            blobs: BlobStore::open(location.folder())?,
            paths: SnapshotPaths::self_contained(""),
        };
        let above = BlobStore::open(&location.above())?;
        let folder = SnapshotPaths::self_contained(location.folder_name()).folder();
        let of_checkpoint = |checkpoint| SnapshotObjects {
            blobs: above.clone(),
            paths: SnapshotPaths::of_checkpoint(checkpoint),
        };
        let home = (above.clone(), folder);
        Self::read(location.folder(), home, own, of_checkpoint).await
    }

    /// Reads the manifest, and finds out by its kind where the objects lie.
    async fn read(
        folder: &StoreLocation,
        home: (BlobStore, BlobPath),
        own: SnapshotObjects,
        of_checkpoint: impl FnOnce(CheckpointId) -> SnapshotObjects,
    ) -> Result<Self> {
        let read = own.read_manifest().await;
        let (manifest, manifest_bytes) = read.map_err(|damage| cannot_use(folder, &damage))?;
        let objects = match manifest.kind {
            SnapshotKind::Savepoint => own,
            SnapshotKind::Checkpoint => of_checkpoint(manifest.checkpoint),
        };
        let expected = objects.paths.folder();
        let is_at_home = manifest.kind == SnapshotKind::Savepoint
            || expected.as_str().rsplit('/').next() == folder.name();
        if !is_at_home {
            let reason = format!(
                "it is the one of checkpoint {}; a checkpoint cannot be moved, take a savepoint to have one that can",
                manifest.checkpoint
            );
            let damage = Damage::InvalidManifest { reason };
            return Err(cannot_use(folder, &damage));
        }
        Ok(Self {
            folder: folder.clone(),
            home,
            objects,
            manifest,
            manifest_bytes,
        })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The snapshot's folder.
    pub fn folder(&self) -> &StoreLocation {
        &self.folder
    }

    /// The snapshot in a few figures; looks whether the objects are there and long enough, but not at their bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub async fn summary(&self) -> Result<CheckpointSummary, Damage> {
        self.objects.check(&self.manifest).await?;
        Ok(CheckpointSummary::of(&self.manifest, self.manifest_bytes))
    }

    /// Reads and verifies every byte that the manifest refers to.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when something is missing or altered, [`ErrorKind::Environment`] when something cannot be
    /// read.
    pub async fn load(&self) -> Result<LoadedCheckpoint> {
        let loaded = self.objects.load(&self.manifest, |_| true).await;
        let objects = loaded.map_err(|damage| cannot_use(self.folder(), &damage))?;
        Ok(LoadedCheckpoint::new(&self.manifest, objects, None))
    }
}

impl CheckpointStore {
    /// Opens a snapshot as [`SnapshotAt::open`] does; through this store, when it lies there.
    ///
    /// # Errors
    /// As for [`SnapshotAt::open`].
    pub async fn open_snapshot(&self, text: &str, working_directory: &Path) -> Result<SnapshotAt> {
        let folder = SnapshotLocation::folder_of(text, working_directory)?;
        let above = folder
            .parent()
            .and_then(|above| self.blobs.below_root(&above));
        let (Some(path), Some(above)) = (self.blobs.below_root(&folder), above) else {
            return self.open_elsewhere(text, working_directory).await;
        };
        let own = SnapshotObjects {
            blobs: self.blobs.clone(),
            paths: SnapshotPaths::self_contained(path.as_str()),
        };
        match self.blobs.length(&own.paths.manifest()).await {
            Ok(_) => {}
            // It knows how to say what else may be there.
            Err(_) => return self.open_elsewhere(text, working_directory).await,
        }
        let of_checkpoint = |checkpoint| SnapshotObjects {
            blobs: self.blobs.clone(),
            paths: SnapshotPaths::of_checkpoint_in(&above, checkpoint),
        };
        let home = (self.blobs.clone(), path);
        SnapshotAt::read(&folder, home, own, of_checkpoint).await
    }

    /// Opens a snapshot in a store of its own, reached as this one is.
    async fn open_elsewhere(&self, text: &str, working_directory: &Path) -> Result<SnapshotAt> {
        SnapshotAt::open_with(text, working_directory, self.blobs.root().s3()).await
    }
}

fn no_snapshot(folder: &StoreLocation) -> Error {
    Error::new(
        ErrorKind::Configuration,
        format!(
            "there is no snapshot at {folder}: it holds no manifest.json, name the folder of a savepoint or the chk-<id> \
             of a checkpoint"
        ),
    )
}

/// The error of a snapshot that is damaged, or that only this process cannot read.
fn cannot_use(folder: &StoreLocation, damage: &Damage) -> Error {
    let kind = match damage {
        Damage::Unreadable { .. } => ErrorKind::Environment,
        Damage::UnknownVersion { .. } | Damage::UnknownEncoding { .. } => ErrorKind::Configuration,
        // In a bucket only the look at the manifest shows that the address is wrong.
        Damage::Incomplete => return no_snapshot(folder),
        _ => ErrorKind::Corrupt,
    };
    Error::new(
        kind,
        format!("the snapshot in {folder} cannot be used: {damage}"),
    )
}

#[cfg(test)]
mod tests;
