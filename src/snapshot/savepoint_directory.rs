//! Savepoints as their owners see them: listed in a directory, and disposed of.

use std::collections::BTreeSet;
use std::path::Path;

use super::damage::Damage;
use super::manifest::{Manifest, SnapshotKind};
use super::objects::SnapshotObjects;
use super::snapshot_at::SnapshotAt;
use super::summary::CheckpointSummary;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::{BlobPath, BlobStore, ObjectName, SnapshotPaths, StorageError, StoreLocation};

/// A savepoint that was found in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSavepoint {
    /// Its folder.
    pub folder: StoreLocation,
    /// The job that it was taken of, and its id there; nothing when its manifest cannot be read.
    pub job: Option<(String, CheckpointId)>,
    /// What it holds, or why no job can be started from it.
    pub summary: Result<CheckpointSummary, Damage>,
}

/// The savepoints in a directory, by name: of each folder in it with a manifest, but those of a job's checkpoints. Looks
/// whether the objects are there and long enough, but not at their bytes. A relative path is taken from
/// `working_directory`, which must be absolute.
///
/// # Errors
/// [`ErrorKind::Configuration`] when there is no such directory, [`ErrorKind::Environment`] when it cannot be read.
pub async fn list_savepoints(
    directory: &str,
    working_directory: &Path,
) -> Result<Vec<ListedSavepoint>> {
    let location = StoreLocation::parse(directory, working_directory)?;
    if location.folder().is_some_and(|folder| !folder.is_dir()) {
        let message = format!("there is no directory {location}");
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    let blobs = BlobStore::open(&location)?;
    let mut listed = Vec::new();
    for entry in blobs
        .list(&root_folder())
        .await?
        .iter()
        .filter(|entry| entry.is_folder)
    {
        let objects = SnapshotObjects {
            blobs: blobs.clone(),
            paths: SnapshotPaths::self_contained(entry.name.as_str()),
        };
        let read = objects.read_manifest().await;
        let (job, summary) = match read {
            // Nobody's snapshot, or a savepoint that is being written.
            Err(Damage::Incomplete) => continue,
            Ok((manifest, _)) if manifest.kind != SnapshotKind::Savepoint => continue,
            Ok((manifest, bytes)) => {
                let sound = objects.check(&manifest).await;
                let summary = sound.map(|()| CheckpointSummary::of(&manifest, bytes));
                (Some((manifest.job, manifest.checkpoint)), summary)
            }
            Err(damage) => (None, Err(damage)),
        };
        listed.push(ListedSavepoint {
            folder: location.join(&entry.name),
            job,
            summary,
        });
    }
    Ok(listed)
}

impl SnapshotAt {
    /// Deletes the savepoint: first nobody can start from it any more, then its objects go, then the folder unless something
    /// else lies in it. Gives the folder.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when it is not a savepoint, or when its folder holds something else and stays;
    /// [`ErrorKind::Environment`] when the store refuses.
    pub async fn dispose(&self) -> Result<StoreLocation> {
        let folder = self.folder().clone();
        if self.manifest().kind != SnapshotKind::Savepoint {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "{folder} is a checkpoint of job {}, not a savepoint: the job deletes it itself",
                    self.manifest().job
                ),
            ));
        }
        if dispose_of(&self.objects, &self.home, self.manifest()).await? {
            return Ok(folder);
        }
        Err(Error::new(
            ErrorKind::Configuration,
            format!(
                "the savepoint in {folder} is deleted, but its folder holds other files and stays"
            ),
        ))
    }
}

/// Deletes the savepoint with this manifest, or what is left of it: the manifest is withdrawn first and deleted last, so
/// that a disposal that was cut short can be taken up. Whether the folder is gone; it stays when something else lies in it.
pub(super) async fn dispose_of(
    objects: &SnapshotObjects,
    (above, own): &(BlobStore, BlobPath),
    manifest: &Manifest,
) -> Result<bool> {
    let SnapshotObjects { blobs, paths } = objects;
    match blobs.length(&paths.manifest()).await {
        Ok(_) => {
            let withdrawn = paths.pending_manifest();
            blobs.rename(&paths.manifest(), &withdrawn).await?;
        }
        Err(StorageError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    blobs.sync_folder(&paths.folder()).await?;
    // What is gone counts as deleted.
    let objects: BTreeSet<&ObjectName> = manifest.pieces().map(|piece| &piece.object).collect();
    let objects: Vec<BlobPath> = objects
        .into_iter()
        .map(|object| paths.object(object))
        .collect();
    blobs.delete_all(&objects).await?;
    blobs.delete(&paths.pending_manifest()).await?;
    if !blobs.list(&paths.folder()).await?.is_empty() {
        return Ok(false);
    }
    above.delete_folder(own).await?;
    above.sync_folder(&own.parent()).await?;
    Ok(true)
}

/// The root of a store as a folder.
fn root_folder() -> BlobPath {
    SnapshotPaths::self_contained("").folder()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::snapshot::test_support::{
        StoreFixture, block_on, manifest_of, sealed_operator, sealed_state,
    };

    /// A job with checkpoint 5, and a savepoint of it.
    fn fixture() -> (StoreFixture, PathBuf) {
        let fixture = StoreFixture::new();
        let folder = block_on(async {
            let state = sealed_state("sums", 1, "delta", None);
            let sealed = [sealed_operator("sum", vec![state])];
            let mut writer = fixture.writer(0, 1);
            let snapshot = writer.write(CheckpointId(5), &sealed).await.unwrap();
            let manifest = manifest_of(5, vec![snapshot]);
            fixture.store.begin(CheckpointId(5)).await.unwrap();
            fixture.store.commit(&manifest).await.unwrap();
            let directory = fixture.folder.path().join("savepoints");
            let written = fixture
                .store
                .write_savepoint(&manifest, &StoreLocation::of_folder(&directory))
                .await;
            written.unwrap().folder.folder().unwrap().to_path_buf()
        });
        (fixture, folder)
    }

    fn list(fixture: &StoreFixture, directory: &str) -> Result<Vec<ListedSavepoint>> {
        block_on(list_savepoints(directory, fixture.folder.path()))
    }

    fn dispose(path: &Path) -> Result<StoreLocation> {
        block_on(async {
            let path = path.to_string_lossy();
            SnapshotAt::open(&path, Path::new("/"))
                .await?
                .dispose()
                .await
        })
    }

    #[test]
    fn savepoints_are_listed_with_what_is_wrong_with_them() {
        let (fixture, folder) = fixture();
        std::fs::create_dir(folder.with_file_name("notes")).unwrap();
        let listed = list(&fixture, "savepoints").unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].folder.folder(), Some(&*folder));
        assert_eq!(listed[0].job, Some(("job".to_owned(), CheckpointId(5))));
        assert_eq!(listed[0].summary.as_ref().unwrap().referred_bytes, 5);
        let file = |suffix: &str| {
            let mut files = std::fs::read_dir(&folder)
                .unwrap()
                .map(|file| file.unwrap().path());
            files
                .find(|path| path.to_string_lossy().ends_with(suffix))
                .unwrap()
        };
        std::fs::remove_file(file(".delta")).unwrap();
        let listed = list(&fixture, "savepoints").unwrap();
        let damage = listed[0].summary.as_ref().unwrap_err();
        assert!(matches!(damage, Damage::MissingObject { .. }), "{damage}");
        let error = list(&fixture, "nowhere").unwrap_err();
        assert!(
            error.to_string().contains("there is no directory"),
            "{error}"
        );
    }

    /// Whoever comes upon half of it must find no manifest.
    #[test]
    fn the_manifest_goes_before_the_objects() {
        let (_fixture, folder) = fixture();
        let files = std::fs::read_dir(&folder).unwrap();
        let object = files
            .map(|file| file.unwrap().path())
            .find(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "delta")
            })
            .unwrap();
        // A folder in its place, which cannot be deleted as a file.
        std::fs::remove_file(&object).unwrap();
        std::fs::create_dir(&object).unwrap();
        std::fs::write(object.join("file"), "").unwrap();
        let error = dispose(&folder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment, "{error}");
        assert!(!folder.join("manifest.json").exists());
        assert!(object.exists());
    }

    #[test]
    fn a_savepoint_is_disposed_of_whole() {
        let (fixture, folder) = fixture();
        // What a crash can leave beside the manifest goes as well.
        std::fs::write(folder.join("manifest.json.pending"), "half").unwrap();
        assert_eq!(dispose(&folder).unwrap().folder(), Some(&*folder));
        assert!(!folder.exists());
        assert_eq!(list(&fixture, "savepoints").unwrap(), []);
        let error = dispose(&folder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }

    #[test]
    fn a_checkpoint_is_not_disposed_of_and_neither_are_files_of_others() {
        let (fixture, folder) = fixture();
        let error = dispose(&fixture.path("chk-5")).unwrap_err();
        assert!(error.to_string().contains("not a savepoint"), "{error}");
        assert!(fixture.path("chk-5/manifest.json").exists());
        std::fs::write(folder.join("notes.txt"), "mine").unwrap();
        let error = dispose(&folder).unwrap_err();
        assert!(error.to_string().contains("holds other files"), "{error}");
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
        assert_eq!(left.len(), 1);
    }
}
