//! Folders that survive a power cut: OpenDAL syncs files, never the folder that names them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Makes sure that the names in `folder` are on the disk.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes `folder` and what is missing above it, and makes sure that all of it is on the disk.
pub(super) fn create_durably(folder: &Path) -> io::Result<()> {
    let missing: Vec<PathBuf> = folder
        .ancestors()
        .take_while(|ancestor| !ancestor.exists())
        .map(Path::to_path_buf)
        .collect();
    fs::create_dir_all(folder)?;
    for created in missing.iter().rev() {
        if let Some(parent) = created.parent() {
            sync(parent)?;
        }
    }
    Ok(())
}
