//! The folder that the files of a subtask's segments lie in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The folder of a subtask's segments. It is removed with the last of them.
pub(super) struct SegmentFolder {
    pub(super) directory: PathBuf,
}

impl SegmentFolder {
    /// Makes the folder if it is missing, and removes the segments that an earlier run left.
    pub(super) fn prepare(directory: &Path) -> Result<Self> {
        let folder = Self {
            directory: directory.to_path_buf(),
        };
        if let Err(source) = fs::create_dir_all(directory) {
            return Err(Error::io(
                format!("create state folder {}", directory.display()),
                source,
            ));
        }
        folder.remove_all_but(&[])?;
        Ok(folder)
    }

    /// Removes the segments of other names.
    pub(super) fn remove_all_but(&self, names: &[String]) -> Result<()> {
        let fail = |what: &str, path: &Path, source| {
            Err(Error::io(format!("{what} {}", path.display()), source))
        };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(source) => return fail("read state folder", &self.directory, source),
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(source) => return fail("read state folder", &self.directory, source),
            };
            // Only what a segment pool made is removed: the folder may be somebody's home by mistake.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("segment-")
                && !names.iter().any(|kept| *kept == *name)
                && let Err(source) = fs::remove_file(&path)
            {
                return fail("remove old segment", &path, source);
            }
        }
        Ok(())
    }
}

impl Drop for SegmentFolder {
    fn drop(&mut self) {
        // Best effort, and only when it is empty.
        _ = fs::remove_dir(&self.directory);
    }
}
