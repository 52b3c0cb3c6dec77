//! A snapshot that somebody names by its path: a checkpoint or a savepoint.

use std::path::Path;

use super::damage::Damage;
use super::manifest::{Manifest, SnapshotKind};
use super::objects::SnapshotObjects;
use super::recovery::LoadedCheckpoint;
use super::summary::CheckpointSummary;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{BlobStore, SnapshotLocation, SnapshotPaths};

/// A snapshot that was opened by its path. Its manifest is read and sound; of its objects nothing is known yet.
#[derive(Clone, Debug)]
pub struct SnapshotAt {
    location: SnapshotLocation,
    pub(super) objects: SnapshotObjects,
    manifest: Manifest,
    manifest_bytes: u64,
}

impl SnapshotAt {
    /// Opens the snapshot at `text`: a path or `file://` address of a savepoint, of the `chk-<id>` of a checkpoint, or of
    /// the `manifest.json` in one of them. A relative path is taken from `working_directory`, which must be absolute.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is none, or another version of Floodmark wrote it;
    /// [`ErrorKind::Corrupt`] when its manifest is damaged; [`ErrorKind::Environment`] when it cannot be read.
    pub async fn open(text: &str, working_directory: &Path) -> Result<Self> {
        let location = SnapshotLocation::find(text, working_directory)?;
        let own = SnapshotObjects {
            blobs: BlobStore::open(&location.store())?,
            paths: SnapshotPaths::self_contained(""),
        };
        let read = own.read_manifest().await;
        let (manifest, manifest_bytes) =
            read.map_err(|damage| cannot_use(location.folder(), &damage))?;
        let objects = match manifest.kind {
            SnapshotKind::Savepoint => own,
            SnapshotKind::Checkpoint => SnapshotObjects {
                blobs: BlobStore::open(&location.store_above())?,
                paths: SnapshotPaths::of_checkpoint(manifest.checkpoint),
            },
        };
        let is_at_home = manifest.kind == SnapshotKind::Savepoint
            || objects.paths.folder().as_str() == location.folder_name();
        if !is_at_home {
            let reason = format!(
                "it is the one of checkpoint {}; a checkpoint cannot be moved, take a savepoint to have one that can",
                manifest.checkpoint
            );
            let damage = Damage::InvalidManifest { reason };
            return Err(cannot_use(location.folder(), &damage));
        }
        Ok(Self {
            location,
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
    pub fn folder(&self) -> &Path {
        self.location.folder()
    }

    pub(super) fn location(&self) -> &SnapshotLocation {
        &self.location
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

/// The error of a snapshot that is damaged, or that only this process cannot read.
fn cannot_use(folder: &Path, damage: &Damage) -> Error {
    let kind = match damage {
        Damage::Unreadable { .. } => ErrorKind::Environment,
        Damage::UnknownVersion { .. } | Damage::UnknownEncoding { .. } => ErrorKind::Configuration,
        _ => ErrorKind::Corrupt,
    };
    let folder = folder.display();
    Error::new(
        kind,
        format!("the snapshot in {folder} cannot be used: {damage}"),
    )
}

#[cfg(test)]
mod tests;
