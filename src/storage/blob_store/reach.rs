//! Folders anywhere, as a store reaches them: below its own root, or as the root of another.

use std::path::Path;

use super::BlobStore;
use crate::error::Result;
use crate::storage::location::StoreLocation;
use crate::storage::paths::BlobPath;

impl BlobStore {
    /// A folder, made if there is none, as a store and the path in it. `folder` must be absolute.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when it cannot be made.
    pub async fn reach(&self, folder: &Path) -> Result<(Self, BlobPath)> {
        match self.below_root(folder) {
            Some(path) => {
                if !path.as_str().is_empty() {
                    self.create_folder(&path).await?;
                }
                Ok((self.clone(), path))
            }
            None => {
                let store = Self::open(&StoreLocation::of_folder(folder.to_path_buf()))?;
                Ok((store, BlobPath(String::new())))
            }
        }
    }

    /// A folder as a store and the path in it; nothing when there is no such folder.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when it cannot be opened.
    pub async fn reach_existing(&self, folder: &Path) -> Result<Option<(Self, BlobPath)>> {
        match self.below_root(folder) {
            Some(path) => Ok(Some((self.clone(), path))),
            None if folder.is_dir() => self.reach(folder).await.map(Some),
            None => Ok(None),
        }
    }

    /// The path of a folder in this store; nothing when it does not lie below the store's root. `folder` must be
    /// absolute.
    pub fn below_root(&self, folder: &Path) -> Option<BlobPath> {
        let path = folder.strip_prefix(&self.root).ok()?;
        // Anything else could name a folder that OpenDAL takes for another.
        let parts = path.components().map(|part| part.as_os_str().to_str());
        let parts: Option<Vec<&str>> = parts.collect();
        let is_plain = |part: &&str| part.trim() == *part && *part != "..";
        let parts = parts.filter(|parts| parts.iter().all(is_plain))?;
        Some(BlobPath(parts.join("/")))
    }
}
