//! Where a snapshot lies that somebody names by its path or address.

use std::path::Path;

use super::location::StoreLocation;
use super::paths::{MANIFEST_FILE, checkpoint_of_folder_name};
use crate::config::S3Section;
use crate::error::{Error, ErrorKind, Result};

/// The folder of a snapshot: a savepoint's, or the `chk-<id>` of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotLocation {
    folder: StoreLocation,
}

impl SnapshotLocation {
    /// Finds the snapshot at `text`: a path or address of its folder, or of the `manifest.json` in it. A relative path is
    /// taken from `working_directory`, which must be absolute. Whether there is one in a bucket only reading it can tell.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is none.
    pub fn find(text: &str, working_directory: &Path) -> Result<Self> {
        let location = StoreLocation::parse(text, working_directory)?;
        let folder = folder_of(location.clone());
        if folder.name().is_none() && folder.folder().is_none() {
            return Err(no_snapshot(
                &location,
                "it is a whole bucket, name the folder of a snapshot in it",
            ));
        }
        let manifest = folder.join(MANIFEST_FILE);
        if manifest.folder().is_none_or(Path::is_file) {
            return Ok(Self { folder });
        }
        let path = location.folder().unwrap_or(Path::new(""));
        Err(no_snapshot(&location, why(path)))
    }

    /// A place for a new snapshot, at a path or address where nothing is yet. Whether something is in a bucket only
    /// writing it can tell.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when something is there, or the text is no path that a folder can have.
    pub fn of_new(text: &str, working_directory: &Path) -> Result<Self> {
        let folder = StoreLocation::parse(text, working_directory)?;
        let wrong = |reason: &str| {
            let message = format!("{folder}: {reason}: name a new folder");
            Err(Error::new(ErrorKind::Configuration, message))
        };
        match folder.name() {
            _ if folder.folder().is_some_and(Path::exists) => wrong("it is there already"),
            Some(name) if name.trim() == name => Ok(Self { folder }),
            _ => wrong("a folder of a store cannot have this name"),
        }
    }

    /// The folder of the snapshot at `text`, whether there is one or not.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the text is no path and no address.
    pub fn folder_of(text: &str, working_directory: &Path) -> Result<StoreLocation> {
        StoreLocation::parse(text, working_directory).map(folder_of)
    }

    /// The same place; if it lies on S3, it is reached as this says.
    #[must_use]
    pub fn with_s3(self, s3: &S3Section) -> Self {
        Self {
            folder: self.folder.with_s3(s3),
        }
    }

    /// The folder above: there a checkpoint's job has its objects.
    pub fn above(&self) -> StoreLocation {
        self.folder.parent().unwrap_or_else(|| self.folder.clone())
    }

    /// The folder.
    pub fn folder(&self) -> &StoreLocation {
        &self.folder
    }

    /// The folder's name.
    pub fn folder_name(&self) -> &str {
        self.folder.name().unwrap_or_default()
    }
}

fn no_snapshot(location: &StoreLocation, why: &str) -> Error {
    let message = format!("there is no snapshot at {location}: {why}");
    Error::new(ErrorKind::Configuration, message)
}

/// The folder, if it is the place of a manifest.
fn folder_of(location: StoreLocation) -> StoreLocation {
    match location.name() {
        Some(MANIFEST_FILE) => location.parent().unwrap_or(location),
        _ => location,
    }
}

/// Why there is no snapshot at a path, and what to name instead.
fn why(path: &Path) -> &'static str {
    if !path.exists() {
        return "the path does not exist";
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_job = names.any(|name| checkpoint_of_folder_name(&name).is_some());
    if is_job {
        "it is the folder of a job's checkpoints, name one of the chk-<id> in it"
    } else {
        "it holds no manifest.json, name the folder of a savepoint or the chk-<id> of a checkpoint"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_found_by_its_folder_its_address_and_its_manifest() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("savepoint-flights-7");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("manifest.json"), "{}").unwrap();
        for text in [
            "savepoint-flights-7".to_owned(),
            "savepoint-flights-7/".to_owned(),
            "./savepoint-flights-7/manifest.json".to_owned(),
            format!("file://{}", folder.display()),
        ] {
            let found = SnapshotLocation::find(&text, root.path()).unwrap();
            assert_eq!(found.folder().folder(), Some(&*folder), "{text}");
            assert_eq!(found.above(), StoreLocation::of_folder(root.path()));
            assert_eq!(found.folder_name(), "savepoint-flights-7");
        }
    }

    #[test]
    fn what_is_no_snapshot_is_refused_with_what_to_name_instead() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("flights/chk-3")).unwrap();
        let check = |text: &str, expected: &str| {
            let error = SnapshotLocation::find(text, root.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
            assert!(error.to_string().contains(expected), "{text}: {error}");
        };
        check("nowhere", "the path does not exist");
        check("flights", "name one of the chk-<id> in it");
        check("flights/chk-3", "it holds no manifest.json");
        check("hdfs://name/savepoint", "the scheme hdfs:// is not known");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_snapshot_in_a_bucket_is_named_by_its_folder_or_its_manifest() {
        let find = |text: &str| SnapshotLocation::find(text, Path::new("/"));
        for text in [
            "s3://bucket/a/savepoint-1",
            "s3://bucket/a/savepoint-1/manifest.json",
        ] {
            let found = find(text).unwrap();
            assert_eq!(found.folder().to_string(), "s3://bucket/a/savepoint-1");
            assert_eq!(found.above().to_string(), "s3://bucket/a");
        }
        let error = find("s3://bucket").unwrap_err();
        assert!(
            error.to_string().contains("it is a whole bucket"),
            "{error}"
        );
    }
}
