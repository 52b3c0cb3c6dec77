//! The paths of one snapshot, in the folder of its job or anywhere else.

use super::object_name::ObjectName;
use super::paths::{BlobPath, MANIFEST_FILE, PENDING_MANIFEST_FILE, checkpoint_folder_name};
use crate::model::CheckpointId;

const SAVEPOINT_NOTE_FILE: &str = "savepoint.json";

/// The paths of one snapshot, relative to the root of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPaths {
    /// The folder with the manifest; empty when it is the root.
    folder: String,
    /// The folder that the names of its objects start from; empty when it is the root.
    objects: String,
}

impl SnapshotPaths {
    /// A snapshot in `folder` whose objects are named from `objects`.
    pub(super) fn new(folder: impl Into<String>, objects: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            objects: objects.into(),
        }
    }

    /// A checkpoint, relative to the folder of its job.
    pub fn of_checkpoint(checkpoint: CheckpointId) -> Self {
        Self::new(checkpoint_folder_name(checkpoint), "")
    }

    /// A checkpoint whose job has its folder here.
    pub fn of_checkpoint_in(job_folder: &BlobPath, checkpoint: CheckpointId) -> Self {
        let folder = job_folder.join(&checkpoint_folder_name(checkpoint));
        Self::new(folder.as_str(), job_folder.as_str())
    }

    /// A self-contained snapshot: the names of its objects start from its own folder.
    pub fn self_contained(folder: impl Into<String>) -> Self {
        let folder = folder.into();
        Self::new(folder.clone(), folder)
    }

    /// The snapshot's folder.
    pub fn folder(&self) -> BlobPath {
        BlobPath(self.folder.clone())
    }

    /// The manifest.
    pub fn manifest(&self) -> BlobPath {
        below(&self.folder, MANIFEST_FILE)
    }

    /// What becomes the manifest when it is written.
    pub fn pending_manifest(&self) -> BlobPath {
        below(&self.folder, PENDING_MANIFEST_FILE)
    }

    /// A file that was found in the snapshot's folder.
    pub fn file(&self, file_name: &str) -> BlobPath {
        below(&self.folder, file_name)
    }

    /// Where it is noted that a savepoint is being written with this checkpoint's id.
    pub fn savepoint_note(&self) -> BlobPath {
        below(&self.folder, SAVEPOINT_NOTE_FILE)
    }

    /// An object.
    pub fn object(&self, name: &ObjectName) -> BlobPath {
        below(&self.objects, name.as_str())
    }
}

fn below(folder: &str, name: &str) -> BlobPath {
    BlobPath(folder.to_owned()).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_start_from_the_root_or_from_a_folder_below_it() {
        let name = ObjectName::try_from("shared/1-a-0.base".to_owned()).unwrap();
        let of_checkpoint = SnapshotPaths::of_checkpoint(CheckpointId(7));
        assert_eq!(of_checkpoint.manifest().as_str(), "chk-7/manifest.json");
        assert_eq!(of_checkpoint.object(&name).as_str(), "shared/1-a-0.base");
        let own = ObjectName::try_from("1-a-0.base".to_owned()).unwrap();
        let moved = SnapshotPaths::self_contained("");
        assert_eq!(moved.manifest().as_str(), "manifest.json");
        assert_eq!(moved.object(&own).as_str(), "1-a-0.base");
        let savepoint = SnapshotPaths::self_contained("savepoint-flights-7");
        assert_eq!(
            savepoint.object(&own).as_str(),
            "savepoint-flights-7/1-a-0.base"
        );
    }
}
