//! Every path in the store, in one place.

use std::fmt;

use super::object_name::{ObjectName, SHARED_FOLDER};
use super::snapshot_paths::SnapshotPaths;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;

const CHECKPOINT_PREFIX: &str = "chk-";
pub(super) const MANIFEST_FILE: &str = "manifest.json";
pub(super) const PENDING_MANIFEST_FILE: &str = "manifest.json.pending";
const PENDING_SUFFIX: &str = ".pending";
const OWNER_FILE: &str = "owner.json";
const PENDING_OWNER_FILE: &str = "owner.json.pending";
const LEDGER_FOLDER: &str = "ledger";
const HEARTBEAT_FILE: &str = "heartbeat.json";
const PENDING_HEARTBEAT_FILE: &str = "heartbeat.json.pending";
const PROBE_FILE: &str = "probe.json";
const HISTORY_FILE: &str = "history.json";
const PENDING_HISTORY_FILE: &str = "history.json.pending";
pub(super) const ADDRESS_FILE: &str = "server.json";
const JOB_NAME_LENGTH_MAX: usize = 128;

/// A path relative to the root of the store. Only [`StoragePaths`] and [`super::SnapshotPaths`] make them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPath(pub(super) String);

impl BlobPath {
    /// The path as text, without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What lies under this name in the folder.
    pub(crate) fn join(&self, name: &str) -> Self {
        Self(match self.0.as_str() {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        })
    }

    /// The folder that it lies in.
    pub(crate) fn parent(&self) -> Self {
        let (parent, _) = self.0.rsplit_once('/').unwrap_or_default();
        Self(parent.to_owned())
    }
}

impl fmt::Display for BlobPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The paths of one job.
#[derive(Clone, Debug)]
pub struct StoragePaths {
    job: String,
}

impl StoragePaths {
    /// The paths of the job with this name.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the name cannot be a folder's: it may hold ASCII letters, digits, `-`, `_` and
    /// `.`, must not start with a dot, and is at most 128 long.
    pub fn new(job: &str) -> Result<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_safe = (1..=JOB_NAME_LENGTH_MAX).contains(&job.len())
            && !job.starts_with('.')
            && job.bytes().all(allowed);
        if !is_safe {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the job name \"{job}\" cannot name a folder: use up to {JOB_NAME_LENGTH_MAX} letters, digits, \
                     '-', '_' and '.', not starting with '.'"
                ),
            ));
        }
        Ok(Self {
            job: job.to_owned(),
        })
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The job's folder.
    pub fn job_folder(&self) -> BlobPath {
        BlobPath(self.job.clone())
    }

    /// The folder of all objects that checkpoints share.
    pub fn shared_folder(&self) -> BlobPath {
        BlobPath(format!("{}/{SHARED_FOLDER}", self.job))
    }

    /// An object.
    pub fn object(&self, name: &ObjectName) -> BlobPath {
        BlobPath(format!("{}/{name}", self.job))
    }

    /// A checkpoint's folder.
    pub fn checkpoint_folder(&self, checkpoint: CheckpointId) -> BlobPath {
        let folder = checkpoint_folder_name(checkpoint);
        BlobPath(format!("{}/{folder}", self.job))
    }

    /// All paths of a checkpoint.
    pub fn snapshot(&self, checkpoint: CheckpointId) -> SnapshotPaths {
        let folder = checkpoint_folder_name(checkpoint);
        SnapshotPaths::new(format!("{}/{folder}", self.job), &self.job)
    }

    /// A checkpoint's manifest.
    pub fn manifest(&self, checkpoint: CheckpointId) -> BlobPath {
        self.file(&self.checkpoint_folder(checkpoint), MANIFEST_FILE)
    }

    /// A file that was found in a folder.
    pub fn file(&self, folder: &BlobPath, file_name: &str) -> BlobPath {
        BlobPath(format!("{folder}/{file_name}"))
    }

    /// What becomes a checkpoint's manifest when the owner of this generation writes it. Owners do not meet there.
    pub fn pending_manifest(&self, checkpoint: CheckpointId, generation: u64) -> BlobPath {
        let name = format!("{MANIFEST_FILE}.{generation}{PENDING_SUFFIX}");
        self.file(&self.checkpoint_folder(checkpoint), &name)
    }

    /// The generation of the owner that was about to make this file of a checkpoint's folder the manifest; nothing when
    /// the file is something else.
    pub fn generation_of_pending_manifest(&self, file_name: &str) -> Option<u64> {
        let rest = file_name.strip_prefix(MANIFEST_FILE)?.strip_prefix('.')?;
        rest.strip_suffix(PENDING_SUFFIX)?.parse().ok()
    }

    /// The record of this number in the ledger of a job in a bucket.
    pub fn ledger_record(&self, number: u64) -> BlobPath {
        BlobPath(format!("{}/{LEDGER_FOLDER}/{number}.json", self.job))
    }

    /// What shows other machines that the owner of a job in a bucket lives.
    pub fn heartbeat(&self) -> BlobPath {
        self.file(&self.job_folder(), HEARTBEAT_FILE)
    }

    /// What becomes that when it is written.
    pub fn pending_heartbeat(&self) -> BlobPath {
        self.file(&self.job_folder(), PENDING_HEARTBEAT_FILE)
    }

    /// An object that means nothing: with it is found out what a bucket can do.
    pub fn probe(&self) -> BlobPath {
        self.file(&self.job_folder(), PROBE_FILE)
    }

    /// Who owns the job; in a bucket, where the ledger says it.
    pub fn owner(&self) -> BlobPath {
        self.file(&self.job_folder(), OWNER_FILE)
    }

    /// What becomes the owner's record when it is written.
    pub fn pending_owner(&self) -> BlobPath {
        self.file(&self.job_folder(), PENDING_OWNER_FILE)
    }

    /// What became of the job's last checkpoints.
    pub fn history(&self) -> BlobPath {
        self.file(&self.job_folder(), HISTORY_FILE)
    }

    /// What becomes the history when it is written.
    pub fn pending_history(&self) -> BlobPath {
        self.file(&self.job_folder(), PENDING_HISTORY_FILE)
    }

    /// The checkpoint whose folder has this name, if it is the name of a checkpoint's folder.
    pub fn checkpoint_of_folder(&self, folder_name: &str) -> Option<CheckpointId> {
        checkpoint_of_folder_name(folder_name)
    }
}

/// The name of a checkpoint's folder.
pub(super) fn checkpoint_folder_name(checkpoint: CheckpointId) -> String {
    format!("{CHECKPOINT_PREFIX}{checkpoint}")
}

/// The checkpoint whose folder has this name, if it is the name of a checkpoint's folder.
pub(super) fn checkpoint_of_folder_name(folder_name: &str) -> Option<CheckpointId> {
    let digits = folder_name.strip_prefix(CHECKPOINT_PREFIX)?;
    let id = digits.parse().ok()?;
    // "chk-007" or "chk-+7" is not a name that this version gives.
    (u64::to_string(&id) == digits).then_some(CheckpointId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_name_must_be_safe_as_a_folder_name() {
        for name in ["flights", "job-1", "A_b.c", &"x".repeat(128)] {
            assert_eq!(StoragePaths::new(name).unwrap().job(), name);
        }
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a b",
            "ü",
            &"x".repeat(129),
        ] {
            let error = StoragePaths::new(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{name}");
        }
    }

    #[test]
    fn paths_follow_the_layout() {
        let paths = StoragePaths::new("flights").unwrap();
        let object = ObjectName::from_file_name("1-a-0.base").unwrap();
        assert_eq!(paths.object(&object).as_str(), "flights/shared/1-a-0.base");
        let pending = paths.pending_manifest(CheckpointId(7), 3);
        assert_eq!(pending.as_str(), "flights/chk-7/manifest.json.3.pending");
        for (name, expected) in [
            ("manifest.json.3.pending", Some(3)),
            ("manifest.json.pending", None),
            ("manifest.json", None),
            ("sum-0.state", None),
        ] {
            let generation = paths.generation_of_pending_manifest(name);
            assert_eq!(generation, expected, "{name}");
        }
        assert_eq!(
            paths.manifest(CheckpointId(7)).as_str(),
            "flights/chk-7/manifest.json"
        );
        assert_eq!(paths.history().as_str(), "flights/history.json");
    }

    #[test]
    fn a_checkpoint_folder_is_recognised_by_its_exact_name() {
        let paths = StoragePaths::new("flights").unwrap();
        let check = |name: &str, expected: Option<u64>| {
            let found = paths.checkpoint_of_folder(name);
            assert_eq!(found, expected.map(CheckpointId), "{name}");
        };
        check("chk-7", Some(7));
        check("chk-0", Some(0));
        check("chk-007", None);
        check("chk-+7", None);
        check("chk-", None);
        check("chk-7x", None);
        check("shared", None);
    }
}
