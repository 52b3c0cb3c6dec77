//! Starting a job from a snapshot: it is taken over as a checkpoint of the job, and the job goes on from that.
//!
//! Everything is copied into the job's own store before anything runs. So the job never refers to what it was started
//! from; a crash before the copy is complete leaves nothing that counts, and after that the job goes on from its own
//! newest checkpoint, as after any other crash.

use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::copy::Copied;
use super::damage::Damage;
use super::manifest::{Manifest, SnapshotKind};
use super::objects::SnapshotObjects;
use super::savepoint_directory::dispose_of;
use super::snapshot_at::SnapshotAt;
use super::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, OperatorId, SubtaskId};
use crate::storage::{ObjectName, SnapshotPaths, StoreLocation};

/// What becomes of the snapshot that a job is started from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimMode {
    /// It stays whose it was, and the job never touches it again.
    #[default]
    NoClaim,
    /// It belongs to the job, which deletes it when the checkpoint that it was taken over as is superseded.
    Claim,
}

/// What a job is to be started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFrom {
    /// The snapshot: a path or address of a savepoint, or of the `chk-<id>` of a checkpoint.
    pub path: String,
    /// What becomes of it.
    pub claim_mode: ClaimMode,
}

impl StartFrom {
    /// To be started from the snapshot at this path, which stays whose it is.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            claim_mode: ClaimMode::default(),
        }
    }
}

impl FromStr for ClaimMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "no-claim" => Ok(Self::NoClaim),
            "claim" => Ok(Self::Claim),
            _ => Err("expected no-claim or claim".to_owned()),
        }
    }
}

/// What a job was started from, as all its later manifests say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedFrom {
    /// The snapshot's folder: an absolute path, or an address.
    pub path: String,
    /// What it is. Manifests from before this was noted are taken to mean a savepoint.
    #[serde(default = "StartedFrom::kind_unless_noted")]
    pub kind: SnapshotKind,
    /// The id that it had in the job that took it.
    pub checkpoint: CheckpointId,
    /// When it was completed, in milliseconds since the Unix epoch: by that and its id it is known again.
    pub completed_unix_millis: i64,
    /// The checkpoint of this job that it was taken over as.
    pub taken_over_as: CheckpointId,
    /// Whether the job deletes it.
    pub claimed: bool,
}

impl StartedFrom {
    fn kind_unless_noted() -> SnapshotKind {
        SnapshotKind::Savepoint
    }

    /// Whether the job was started from this snapshot.
    pub fn is(&self, manifest: &Manifest) -> bool {
        self.checkpoint == manifest.checkpoint
            && self.completed_unix_millis == manifest.completed_unix_millis
    }
}

impl CheckpointStore {
    /// Takes a snapshot over as a checkpoint of this job, whose newest it is then. Only the operators in `kept` come
    /// with it. `nonce` is a number that no other process of this job has drawn.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a checkpoint is to be claimed; [`ErrorKind::Corrupt`] when something of the
    /// snapshot is damaged; [`ErrorKind::Environment`] when a store refuses.
    pub async fn take_over(
        &self,
        source: &SnapshotAt,
        claim: ClaimMode,
        kept: impl Fn(&OperatorId) -> bool,
        nonce: u64,
    ) -> Result<CheckpointId> {
        let taken = source.manifest();
        if claim == ClaimMode::Claim && taken.kind == SnapshotKind::Checkpoint {
            return Err(cannot_be_claimed(source.folder()));
        }
        let next = self.start_fresh().await?.next_id();
        // Sinks know what they have promised by the id it was promised with, so ids go on where they were.
        let id = next.max(taken.checkpoint);
        let mut wanted = taken.clone();
        wanted.operators.retain(|operator, _| kept(operator));
        self.begin(id).await?;
        let mut ordinal = 0;
        let name_of = |object: &ObjectName, subtask: &SubtaskId| {
            ordinal += 1;
            object.in_job(id, subtask, nonce, ordinal)
        };
        let own = self.objects_of(id);
        let copied = source.objects.copy(&wanted, &own, name_of).await;
        let Copied { manifest, bytes } = copied
            .map_err(|error| error.context(format!("the snapshot in {}", source.folder())))?;
        let manifest = Manifest {
            job: self.paths.job().to_owned(),
            checkpoint: id,
            kind: SnapshotKind::Checkpoint,
            uploaded_bytes: bytes,
            started_from: Some(StartedFrom {
                path: source.folder().to_string(),
                kind: taken.kind,
                checkpoint: taken.checkpoint,
                completed_unix_millis: taken.completed_unix_millis,
                taken_over_as: id,
                claimed: claim == ClaimMode::Claim,
            }),
            ..manifest
        };
        self.commit(&manifest).await?;
        Ok(id)
    }

    /// Deletes the snapshot that the job was started from, if it was claimed and is still there. To be called when the
    /// checkpoint that it was taken over as is superseded. Failures are logged only; the next start tries again.
    pub async fn dispose_claimed(&self, started: &StartedFrom) {
        if !started.claimed {
            return;
        }
        match self.dispose(started).await {
            Ok(false) => {}
            Ok(true) => info!(
                path = started.path,
                "the claimed savepoint is superseded and deleted"
            ),
            Err(error) => {
                let (path, reason) = (&started.path, error.full_message());
                warn!(
                    path,
                    reason, "the claimed savepoint is superseded and could not be deleted"
                );
            }
        }
    }

    /// Whether there was anything to delete: the savepoint, or what is left of it after a disposal that was cut short.
    async fn dispose(&self, started: &StartedFrom) -> Result<bool> {
        let folder = StoreLocation::parse(&started.path, Path::new("/"))?;
        let above = folder.parent().unwrap_or_else(|| folder.clone());
        let Some((blobs, path)) = self.blobs.reach_existing(&folder).await? else {
            return Ok(false);
        };
        let Some((home, above)) = self.blobs.reach_existing(&above).await? else {
            return Ok(false);
        };
        let home = (home, above.join(folder.name().unwrap_or_default()));
        let objects = SnapshotObjects {
            paths: SnapshotPaths::self_contained(path.as_str()),
            blobs,
        };
        let read = match objects.read_manifest().await {
            Ok((manifest, _)) => Ok(manifest),
            Err(Damage::Incomplete) => objects.read_withdrawn_manifest().await,
            Err(damage) => Err(damage),
        };
        let manifest = match read {
            Ok(manifest) => manifest,
            Err(Damage::Incomplete) if objects.blobs.list(&path).await?.is_empty() => {
                home.0.delete_folder(&home.1).await?;
                return Ok(false);
            }
            Err(damage) => return Err(Error::new(ErrorKind::Corrupt, damage.to_string())),
        };
        if !started.is(&manifest) {
            let message = "another snapshot lies there now";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        dispose_of(&objects, &home, &manifest).await
    }
}

fn cannot_be_claimed(folder: &StoreLocation) -> Error {
    Error::new(
        ErrorKind::Configuration,
        format!(
            "{folder} is a checkpoint, which shares its objects with others and cannot be claimed: start from it with \
             --claim-mode no-claim, or from a savepoint"
        ),
    )
}

#[cfg(test)]
mod tests;
