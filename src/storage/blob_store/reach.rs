//! Folders anywhere, as a store reaches them: below its own root, or as the root of another.

use super::{BlobStore, Medium};
use crate::error::Result;
use crate::storage::location::StoreLocation;
use crate::storage::paths::BlobPath;

impl BlobStore {
    /// A folder, made if there is none, as a store and the path in it. On S3 it is reached as this store is.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when it cannot be made.
    pub async fn reach(&self, folder: &StoreLocation) -> Result<(Self, BlobPath)> {
        match self.below_root(folder) {
            Some(path) => {
                if !path.as_str().is_empty() {
                    self.create_folder(&path).await?;
                }
                Ok((self.clone(), path))
            }
            None => {
                let location = folder.clone().with_s3(self.root.s3());
                let store = match &self.medium {
                    Medium::Disk(_) => Self::open(&location)?,
                    Medium::Bucket(bucket) => Self::open_beside(&location, &bucket.uploads)?,
                };
                Ok((store, BlobPath(String::new())))
            }
        }
    }

    /// A folder as a store and the path in it; nothing when there is no such folder. One in a bucket is always there.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when it cannot be opened.
    pub async fn reach_existing(&self, folder: &StoreLocation) -> Result<Option<(Self, BlobPath)>> {
        match self.below_root(folder) {
            Some(path) => Ok(Some((self.clone(), path))),
            None if folder.folder().is_some_and(|folder| !folder.is_dir()) => Ok(None),
            None => self.reach(folder).await.map(Some),
        }
    }

    /// The path of a folder in this store; nothing when it does not lie below the store's root.
    pub fn below_root(&self, folder: &StoreLocation) -> Option<BlobPath> {
        folder.below(&self.root).map(BlobPath)
    }
}
