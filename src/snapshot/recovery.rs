//! Finding the checkpoint to go on from, and reading it whole.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::damage::Damage;
use super::deferred::{Deferral, DeferredCheckpoint};
use super::manifest::{Manifest, Piece};
use super::objects::{LoadedObjects, section};
use super::retention::FoundCheckpoint;
use super::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::{Ledger, ObjectName};

/// What a job starts from.
#[derive(Debug)]
pub struct Recovery {
    /// The newest checkpoint of which every byte is right, or nothing: the job starts fresh.
    pub checkpoint: Option<LoadedCheckpoint>,
    /// The newer ones that were passed over, newest first.
    pub damaged: Vec<DamagedCheckpoint>,
    /// Everything that was found, for [`super::Retention`].
    pub found: Vec<FoundCheckpoint>,
    /// The highest id that was ever used, as far as the store knows.
    pub highest_id: Option<CheckpointId>,
}

/// A checkpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedCheckpoint {
    /// Its id.
    pub checkpoint: CheckpointId,
    /// Its folder, as the user would look for it.
    pub folder: String,
    /// What is wrong.
    pub damage: Damage,
}

/// A checkpoint in memory, every byte of it verified; or one of which some keyed states are read when they turn out to be
/// needed.
#[derive(Clone, Debug)]
pub struct LoadedCheckpoint {
    manifest: Manifest,
    objects: LoadedObjects,
    pub(super) deferred: Option<DeferredCheckpoint>,
}

type ReadManifest = (CheckpointId, Result<Manifest, Damage>);

impl Recovery {
    /// The id of the next checkpoint: no id is ever used twice.
    pub fn next_id(&self) -> CheckpointId {
        self.highest_id.unwrap_or_default().next()
    }
}

impl CheckpointStore {
    /// Reads the newest checkpoint of which every byte is right. Each byte is read once and handed on.
    ///
    /// # Errors
    /// - [`ErrorKind::Corrupt`] when there are checkpoints and all are damaged.
    /// - [`ErrorKind::Configuration`] when a newer version of Floodmark wrote the newest one, or another build: it may
    ///   be whole, and to go on from an older one would repeat what is committed outside.
    /// - [`ErrorKind::Environment`] when the store refuses to hand one out.
    pub async fn load_newest_valid(&self) -> Result<Recovery> {
        self.load_newest(None, CheckpointId::default()).await
    }

    /// The same; keyed states for which `deferral` allows it are not read yet, and checkpoints from
    /// before `since` are passed over.
    ///
    /// # Errors
    /// As for [`CheckpointStore::load_newest_valid`].
    pub async fn load_newest(
        &self,
        deferral: Option<&Deferral>,
        since: CheckpointId,
    ) -> Result<Recovery> {
        let manifests = self.read_manifests().await?;
        let mut damaged = Vec::new();
        let mut loaded = None;
        let candidates = manifests
            .iter()
            .filter(|(checkpoint, _)| *checkpoint >= since);
        for (checkpoint, read) in candidates.rev() {
            let outcome = match read {
                Ok(manifest) => self.load_needed(manifest, deferral).await,
                Err(damage) => Err(damage.clone()),
            };
            match outcome {
                Ok(found) => {
                    self.keep(*checkpoint).await?;
                    loaded = Some(found);
                    break;
                }
                Err(Damage::Incomplete) => {}
                Err(damage) => damaged.push(DamagedCheckpoint {
                    checkpoint: *checkpoint,
                    folder: self.shown_folder(*checkpoint),
                    damage,
                }),
            }
            if let Some(newest) = damaged.last().filter(|newest| newest.damage.may_be_whole()) {
                return Err(cannot_pass_over(newest));
            }
        }
        if loaded.is_none() && !damaged.is_empty() {
            return Err(all_damaged(&damaged));
        }
        self.recovery(loaded, damaged, manifests).await
    }

    /// Makes sure that a power cut does not take a checkpoint away. The process that committed it may have been killed
    /// before it came to that; and when this one has gone on from it, it is too late to lose it.
    async fn keep(&self, checkpoint: CheckpointId) -> Result<()> {
        let folder = self.paths.checkpoint_folder(checkpoint);
        self.blobs.sync_folder(&folder).await?;
        Ok(self.blobs.sync_folder(&self.paths.job_folder()).await?)
    }

    /// Starts fresh whatever the store holds. The old checkpoints stay until new ones supersede them, and their ids
    /// are not used again.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`].
    pub async fn start_fresh(&self) -> Result<Recovery> {
        let manifests = self.read_manifests().await?;
        self.recovery(None, Vec::new(), manifests).await
    }

    async fn recovery(
        &self,
        checkpoint: Option<LoadedCheckpoint>,
        damaged: Vec<DamagedCheckpoint>,
        manifests: Vec<ReadManifest>,
    ) -> Result<Recovery> {
        let objects = self.objects().await?;
        let of_objects = objects.iter().filter_map(ObjectName::checkpoint).max();
        let of_folders = manifests.last().map(|(checkpoint, _)| *checkpoint);
        let of_ledger = self.ledger().map(Ledger::highest);
        let is_damaged = |id: CheckpointId| damaged.iter().any(|damaged| damaged.checkpoint == id);
        let referred = |id: CheckpointId, read: &Result<Manifest, Damage>| match read {
            Ok(manifest) => manifest.objects(),
            Err(Damage::Incomplete) => BTreeSet::new(),
            // It might refer to anything that was there, and whatever it was goes with it.
            Err(_) => {
                let was_there = |object: &&ObjectName| object.checkpoint() <= Some(id);
                objects.iter().filter(was_there).cloned().collect()
            }
        };
        let found = manifests
            .iter()
            .map(|(id, read)| FoundCheckpoint {
                checkpoint: *id,
                usable: read.is_ok() && !is_damaged(*id),
                objects: referred(*id, read),
            })
            .collect();
        Ok(Recovery {
            checkpoint,
            damaged,
            found,
            highest_id: of_objects.max(of_folders).max(of_ledger),
        })
    }

    /// All manifests, oldest first.
    async fn read_manifests(&self) -> Result<Vec<ReadManifest>> {
        let ids = self.checkpoint_ids().await?;
        let reads = ids.into_iter().map(|checkpoint| async move {
            let read = self.read_manifest(checkpoint).await;
            (checkpoint, read.map(|(manifest, _)| manifest))
        });
        Ok(self.blobs.do_all(reads).await)
    }

    /// Reads and verifies all that a manifest refers to.
    pub(super) async fn load(&self, manifest: &Manifest) -> Result<LoadedCheckpoint, Damage> {
        let objects = self.objects_of(manifest.checkpoint);
        let objects = objects.load(manifest, |_| true).await?;
        Ok(LoadedCheckpoint::new(manifest, objects, None))
    }

    /// Reads what must be read at once, and looks whether the rest is there.
    async fn load_needed(
        &self,
        manifest: &Manifest,
        deferral: Option<&Deferral>,
    ) -> Result<LoadedCheckpoint, Damage> {
        let deferred = deferral.map(|deferral| (deferral, deferral.objects(manifest)));
        let Some((deferral, deferred)) = deferred.filter(|(_, objects)| !objects.is_empty()) else {
            return self.load(manifest).await;
        };
        let objects = self.objects_of(manifest.checkpoint);
        let is_needed = |object: &ObjectName| !deferred.contains(object);
        let objects = objects.load(manifest, is_needed).await?;
        let deferred = DeferredCheckpoint::new(manifest, deferral, objects.clone());
        Ok(LoadedCheckpoint::new(manifest, objects, Some(deferred)))
    }
}

impl LoadedCheckpoint {
    /// A checkpoint of which these objects were read; `deferred` reads the others.
    pub(super) fn new(
        manifest: &Manifest,
        objects: LoadedObjects,
        deferred: Option<DeferredCheckpoint>,
    ) -> Self {
        Self {
            manifest: manifest.clone(),
            objects,
            deferred,
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its objects, as far as they were read.
    pub(super) fn objects(&self) -> &LoadedObjects {
        &self.objects
    }

    /// The same, given away.
    pub(super) fn into_objects(self) -> LoadedObjects {
        self.objects
    }

    /// Whether some of its keyed states are read only when they turn out to be needed.
    pub fn is_deferred(&self) -> bool {
        self.deferred.is_some()
    }

    /// The bytes of a piece of this checkpoint, without a copy; none of a piece that is not in it.
    pub(super) fn bytes(&self, piece: &Piece) -> Bytes {
        section(&self.objects, piece)
    }
}

fn cannot_pass_over(newest: &DamagedCheckpoint) -> Error {
    let DamagedCheckpoint {
        checkpoint,
        folder,
        damage,
    } = newest;
    let (kind, remedy) = match damage {
        Damage::Unreadable { .. } => (ErrorKind::Environment, "mend that and start again"),
        _ => (
            ErrorKind::Configuration,
            "use the version that wrote it, or start with --fresh to leave all state behind",
        ),
    };
    Error::new(
        kind,
        format!("checkpoint {checkpoint} in {folder}: {damage}; {remedy}"),
    )
}

fn all_damaged(damaged: &[DamagedCheckpoint]) -> Error {
    let list: Vec<String> = damaged
        .iter()
        .map(|damaged| {
            let DamagedCheckpoint {
                checkpoint,
                folder,
                damage,
            } = damaged;
            format!("checkpoint {checkpoint} in {folder}: {damage}")
        })
        .collect();
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "every checkpoint is damaged: {}; start with --fresh to leave all state behind",
            list.join("; ")
        ),
    )
}

#[cfg(test)]
mod tests;
