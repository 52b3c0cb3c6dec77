//! Folders that survive a power cut: OpenDAL syncs files, never the folder that names them.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;

/// What a store needs of its file system beyond OpenDAL. Paths are relative to the store's root; the root's own is
/// empty.
pub(super) trait Folders: fmt::Debug + Send + Sync {
    /// Makes a folder, unless it is there; whether it was made. The folder above it must be there.
    fn make(&self, folder: &str) -> BoxFuture<'static, io::Result<bool>>;

    /// Makes sure that the names in a folder are on the disk.
    fn sync(&self, folder: &str) -> BoxFuture<'static, io::Result<()>>;
}

/// The folders of this machine, below a root.
#[derive(Debug)]
pub(super) struct LocalFolders {
    root: PathBuf,
}

impl LocalFolders {
    pub(super) fn below(root: PathBuf) -> Self {
        Self { root }
    }
}

impl Folders for LocalFolders {
    fn make(&self, folder: &str) -> BoxFuture<'static, io::Result<bool>> {
        let path = self.root.join(folder);
        in_background(move || make(&path))
    }

    fn sync(&self, folder: &str) -> BoxFuture<'static, io::Result<()>> {
        let path = self.root.join(folder);
        in_background(move || sync(&path))
    }
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

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn make(folder: &Path) -> io::Result<bool> {
    match fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(false),
        Err(error) => Err(error),
    }
}

fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, io::Result<T>> {
    spawn_blocking(work)
        .map(|done| done.unwrap_or_else(|panicked| Err(io::Error::other(panicked))))
        .boxed()
}
