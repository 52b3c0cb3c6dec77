//! Where a snapshot lies that somebody names by its path.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::location::StoreLocation;
use super::paths::{MANIFEST_FILE, checkpoint_of_folder_name};
use crate::error::{Error, ErrorKind, Result};

/// The folder of a snapshot: a savepoint's, or the `chk-<id>` of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotLocation {
    folder: PathBuf,
}

impl SnapshotLocation {
    /// Finds the snapshot at `text`: a path or `file://` address of its folder, or of the `manifest.json` in it. A
    /// relative path is taken from `working_directory`, which must be absolute.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is none.
    pub fn find(text: &str, working_directory: &Path) -> Result<Self> {
        let location = StoreLocation::parse(text, working_directory)?;
        let path = location.root();
        let folder = folder_of(path);
        if folder.join(MANIFEST_FILE).is_file() {
            let folder = folder.to_path_buf();
            return Ok(Self { folder });
        }
        Err(Error::new(
            ErrorKind::Configuration,
            format!("there is no snapshot at {}: {}", path.display(), why(path)),
        ))
    }

    /// A place for a new snapshot, at a path or `file://` address where nothing is yet.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when something is there, or the text is no path that a folder can have.
    pub fn of_new(text: &str, working_directory: &Path) -> Result<Self> {
        let location = StoreLocation::parse(text, working_directory)?;
        let folder = location.root().to_path_buf();
        let wrong = |reason: &str| {
            let message = format!("{}: {reason}: name a new folder", folder.display());
            Err(Error::new(ErrorKind::Configuration, message))
        };
        let name = folder.file_name().and_then(OsStr::to_str);
        match name {
            _ if folder.exists() => wrong("it is there already"),
            Some(name) if name.trim() == name => Ok(Self { folder }),
            _ => wrong("a folder of a store cannot have this name"),
        }
    }

    /// The folder of the snapshot at `text`, whether there is one or not.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the text is no path.
    pub fn folder_of(text: &str, working_directory: &Path) -> Result<PathBuf> {
        let location = StoreLocation::parse(text, working_directory)?;
        Ok(folder_of(location.root()).to_path_buf())
    }

    /// The folder, as a store of its own.
    pub fn store(&self) -> StoreLocation {
        StoreLocation::of_folder(self.folder.clone())
    }

    /// The folder above, as a store of its own: there a checkpoint's job has its objects.
    pub fn store_above(&self) -> StoreLocation {
        let above = self.folder.parent().unwrap_or(&self.folder);
        StoreLocation::of_folder(above.to_path_buf())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder's name.
    pub fn folder_name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// The folder, if the path is that of a manifest.
fn folder_of(path: &Path) -> &Path {
    match path.file_name() {
        Some(name) if name == MANIFEST_FILE => path.parent().unwrap_or(path),
        _ => path,
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
            assert_eq!(found.folder(), folder, "{text}");
            assert_eq!(found.store_above().root(), root.path());
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
        check("s3://bucket/savepoint", "there is only file://");
    }
}
