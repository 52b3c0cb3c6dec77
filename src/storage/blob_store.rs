//! The store itself: bytes in, bytes out, through OpenDAL.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use opendal::Operator;
use opendal::layers::{RetryLayer, TimeoutLayer};
use opendal::services::Fs;
use tracing::warn;

use self::bucket::Bucket;
pub(super) use self::bucket::{Uploads, upload_options};
pub(super) use self::retries::Retries;
pub use self::section_writer::SectionWriter;
use super::checksum::Checksum;
use super::error::StorageError;
use super::folder::{self, Folders, LocalFolders};
use super::location::{Place, StoreLocation};
use super::paths::BlobPath;
use crate::error::Result;

mod bucket;
mod copy;
mod create;
#[cfg(any(test, feature = "testing"))]
mod observed;
mod reach;
mod retries;
mod section_writer;

/// A section of a stored object: where it lies, and what proves that it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSection {
    /// Its first byte in the object.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// Its checksum.
    pub checksum: Checksum,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderEntry {
    /// The name, without the folder's own.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_folder: bool,
}

/// A store of blobs below one root. Clones share it. All functions must run on a tokio runtime with timers.
#[derive(Clone, Debug)]
pub struct BlobStore {
    /// Tries again by itself what only looks or deletes.
    operator: Operator,
    /// Tries nothing again: it would sync the same file a second time after the first sync has lost its bytes, and be
    /// told that all is well.
    writing: Operator,
    retries: Retries,
    medium: Medium,
    root: StoreLocation,
}

/// What a store does besides reading and writing depends on what it is.
#[derive(Clone, Debug)]
enum Medium {
    /// A file system: it has folders, which must be synced, and gives files other names.
    Disk(Arc<dyn Folders>),
    /// A bucket: it has neither, but what it has taken it keeps, whole, and it can create an object only if there is none.
    Bucket(Bucket),
}

impl BlobStore {
    /// Opens the store; makes its root if there is none and it is a folder. Of a bucket it only sees to it that it can be
    /// asked: whether it is there shows when it is.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when a root cannot be made or is not a folder,
    /// [`crate::error::ErrorKind::Configuration`] when it is not said how to reach a bucket.
    pub fn open(location: &StoreLocation) -> Result<Self> {
        Self::open_beside(location, &Uploads::default())
    }

    /// Opens a store whose uploads count among these.
    fn open_beside(location: &StoreLocation, uploads: &Uploads) -> Result<Self> {
        match location.place() {
            Place::Folder(folder) => {
                // OpenDAL would make the root as well, but a power cut could take it away again.
                let shown = folder.display().to_string();
                folder::create_durably(folder).map_err(|source| StorageError::Failed {
                    action: "open",
                    path: shown.clone(),
                    source,
                })?;
                let opened = Operator::new(Fs::default().root(&shown));
                let operator = opened
                    .map_err(|error| StorageError::from_opendal("open", shown.clone(), error))?;
                let folders = LocalFolders::below(folder.clone());
                Ok(Self::on_disk(
                    operator,
                    Arc::new(folders),
                    location.clone(),
                    Retries::DISK,
                ))
            }
            Place::Bucket { .. } => {
                let operator = bucket::operator(location)?;
                Ok(Self::in_bucket(
                    operator,
                    location.clone(),
                    uploads.clone(),
                    bucket::retries(location),
                ))
            }
        }
    }

    /// A store of these parts; both must lead to the same root.
    pub(super) fn on_disk(
        operator: Operator,
        folders: Arc<dyn Folders>,
        root: StoreLocation,
        retries: Retries,
    ) -> Self {
        Self::assemble(operator, Medium::Disk(folders), root, retries)
    }

    /// A store of objects in a bucket.
    pub(super) fn in_bucket(
        operator: Operator,
        root: StoreLocation,
        uploads: Uploads,
        retries: Retries,
    ) -> Self {
        let bucket = Bucket::new(uploads);
        Self::assemble(operator, Medium::Bucket(bucket), root, retries)
    }

    fn assemble(operator: Operator, medium: Medium, root: StoreLocation, retries: Retries) -> Self {
        let retry = RetryLayer::new()
            .with_jitter()
            .with_min_delay(retries.pause)
            .with_max_delay(retries.pause_max)
            .with_max_times(retries.max)
            .with_notify(retries::log);
        let timeout = TimeoutLayer::new()
            .with_timeout(retries.timeout)
            .with_io_timeout(retries.timeout);
        let writing = operator.layer(timeout);
        Self {
            // The timeout lies inside: from outside it could cut a retry in half.
            operator: writing.clone().layer(retry),
            writing,
            retries,
            medium,
            root,
        }
    }

    /// What reaches it, and tries again by itself.
    pub(super) fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Where its root lies.
    pub fn root(&self) -> &StoreLocation {
        &self.root
    }

    /// Does all of this, and gives what came of it, in its order: in a bucket many at once, on a disk one after the other,
    /// since there it would not be faster.
    pub async fn do_all<T>(
        &self,
        work: impl IntoIterator<Item = impl Future<Output = T>>,
    ) -> Vec<T> {
        if self.is_bucket() {
            let work = stream::iter(work).buffered(bucket::REQUESTS_MAX);
            return work.collect().await;
        }
        let mut done = Vec::new();
        for work in work {
            done.push(work.await);
        }
        done
    }

    /// Whether it is a bucket, as opposed to a file system.
    pub fn is_bucket(&self) -> bool {
        matches!(self.medium, Medium::Bucket(_))
    }

    /// Writes a new object of several sections, one after the other, and syncs its content. Each section is a list of
    /// chunks; nothing is copied together. After an error nothing is left at the path, which only this process may know.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] when the path is taken; what is there stays.
    pub async fn put(
        &self,
        path: &BlobPath,
        sections: &[Vec<Bytes>],
    ) -> Result<Vec<StoredSection>, StorageError> {
        let mut attempt = 0;
        loop {
            let written = self.write_new(path, sections).await;
            match &written {
                Err(error) if self.tries_again(path, error, attempt).await => attempt += 1,
                _ => return written,
            }
        }
    }

    /// After an error in creating a file: takes away what is there of it, and waits, if it is worth while to try again.
    async fn tries_again(&self, path: &BlobPath, error: &StorageError, attempt: usize) -> bool {
        let StorageError::Failed { source, .. } = error else {
            return false;
        };
        let is_last = match self.medium {
            // The next attempt needs a new file, and after the last one nothing may stay.
            Medium::Disk(_) => !self.discard(path).await || attempt == self.retries.max,
            // A part that fails is tried again by itself; what is left is an upload that the store has forgotten.
            Medium::Bucket(_) => attempt == bucket::UPLOAD_RETRIES_MAX,
        };
        if is_last || !error.may_pass() {
            return false;
        }
        warn!(%path, attempt, reason = %source, "the store failed and will be tried again");
        tokio::time::sleep(self.retries.pause_after(attempt)).await;
        true
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is none.
    pub async fn read(&self, path: &BlobPath) -> Result<Bytes, StorageError> {
        let read = self.operator.read(path.as_str()).await;
        read.map(|buffer| buffer.to_bytes())
            .map_err(|error| self.error("read", path, error))
    }

    /// Reads `length` bytes from `offset` on.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is no such file, [`StorageError::Failed`] when it ends before.
    pub async fn read_range(
        &self,
        path: &BlobPath,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StorageError> {
        let end = offset.saturating_add(length);
        let failed = |error| self.error("read", path, error);
        // Straight into one buffer: to collect all and then put it together would take the memory twice.
        let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        let options = self.reader_options();
        let reader = self.operator.reader_options(path.as_str(), options).await;
        let reader = reader.map_err(failed)?;
        let read = reader.read_into(&mut bytes, offset..end).await;
        read.map_err(failed)?;
        if bytes.len() as u64 == length {
            Ok(bytes.freeze())
        } else {
            let early = io::Error::from(io::ErrorKind::UnexpectedEof);
            Err(self.failed("read", path, early))
        }
    }

    /// How many bytes a file has.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is none.
    pub async fn length(&self, path: &BlobPath) -> Result<u64, StorageError> {
        let stat = self.operator.stat(path.as_str()).await;
        stat.map(|metadata| metadata.content_length())
            .map_err(|error| self.error("look at", path, error))
    }

    /// Deletes a file. One that is not there counts as deleted.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn delete(&self, path: &BlobPath) -> Result<(), StorageError> {
        match self.operator.delete(path.as_str()).await {
            // Another process can have deleted it at the same moment.
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(()),
            deleted => deleted.map_err(|error| self.error("delete", path, error)),
        }
    }

    /// How many files are deleted with one request.
    pub fn batch_max(&self) -> usize {
        match self.medium {
            Medium::Disk(_) => 1,
            Medium::Bucket(_) => bucket::DELETIONS_MAX,
        }
    }

    /// Deletes files, of a bucket many with one request. Those that are not there count as deleted. After an error any of
    /// them may be there.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn delete_all(&self, paths: &[BlobPath]) -> Result<(), StorageError> {
        match (&self.medium, paths) {
            (Medium::Bucket(_), [first, _, ..]) => {
                let deleted = self
                    .operator
                    .delete_iter(paths.iter().map(BlobPath::as_str));
                deleted
                    .await
                    .map_err(|error| self.error("delete, with others,", first, error))
            }
            _ => {
                for path in paths {
                    self.delete(path).await?;
                }
                Ok(())
            }
        }
    }

    /// Deletes a folder, which must be empty. One that is not there counts as deleted.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn delete_folder(&self, folder: &BlobPath) -> Result<(), StorageError> {
        if self.is_bucket() {
            return Ok(());
        }
        let deleted = self.operator.delete(&format!("{folder}/")).await;
        deleted.map_err(|error| self.error("delete", folder, error))
    }

    /// What lies in a folder, by name. A folder that is not there holds nothing.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn list(&self, folder: &BlobPath) -> Result<Vec<FolderEntry>, StorageError> {
        let own = match folder.as_str() {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let listed = self.operator.list(&own).await;
        let listed = listed.map_err(|error| self.error("list", folder, error))?;
        let mut entries: Vec<FolderEntry> = listed
            .iter()
            .filter_map(|entry| entry.path().strip_prefix(&own))
            .filter(|name| !name.trim_end_matches('/').is_empty())
            .map(|name| FolderEntry {
                name: name.trim_end_matches('/').to_owned(),
                is_folder: name.ends_with('/'),
            })
            .collect();
        entries.sort();
        Ok(entries)
    }

    /// Makes a folder, and what is missing above it, so that a power cut does not take it away.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn create_folder(&self, folder: &BlobPath) -> Result<(), StorageError> {
        let Medium::Disk(folders) = &self.medium else {
            return Ok(());
        };
        let path = folder.as_str();
        let ends = path.match_indices('/').map(|(end, _)| end);
        let mut parent = "";
        for end in ends.chain([path.len()]) {
            let made = folders.make(&path[..end]).await;
            if made.map_err(|error| self.failed("make the folder", folder, error))? {
                self.sync(parent).await?;
            }
            parent = &path[..end];
        }
        Ok(())
    }

    /// Makes sure that a power cut takes away neither a folder nor those above it, whoever made them.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn keep_folder(&self, folder: &BlobPath) -> Result<(), StorageError> {
        let path = folder.as_str();
        self.sync("").await?;
        for (end, _) in path.match_indices('/') {
            self.sync(&path[..end]).await?;
        }
        Ok(())
    }

    /// Makes sure that a power cut does not take away the names in a folder: what was created there and what was
    /// deleted there stays so.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn sync_folder(&self, folder: &BlobPath) -> Result<(), StorageError> {
        self.sync(folder.as_str()).await
    }

    /// The path as the user would look for it.
    pub fn full_path(&self, path: &BlobPath) -> StoreLocation {
        self.root.join(path.as_str())
    }

    async fn write_new(
        &self,
        path: &BlobPath,
        sections: &[Vec<Bytes>],
    ) -> Result<Vec<StoredSection>, StorageError> {
        let chunks = sections.iter().flatten();
        let length = chunks.map(|chunk| chunk.len() as u64).sum();
        let mut writer = self.section_writer(path, length).await?;
        for section in sections {
            for chunk in section {
                writer.push(chunk.clone()).await?;
            }
            writer.end_section();
        }
        writer.close().await
    }

    /// Deletes what nobody refers to; whether it is gone.
    async fn discard(&self, path: &BlobPath) -> bool {
        let deleted = self.delete(path).await;
        if let Err(error) = &deleted {
            // It is deleted with what it belongs to, or swept away by the next start.
            warn!(%error, "a half-written file stays behind");
        }
        deleted.is_ok()
    }

    async fn sync(&self, folder: &str) -> Result<(), StorageError> {
        let Medium::Disk(folders) = &self.medium else {
            return Ok(());
        };
        let synced = folders.sync(folder).await;
        synced.map_err(|source| StorageError::Failed {
            action: "sync the folder",
            path: self.root.join(folder).to_string(),
            source,
        })
    }

    fn failed(&self, action: &'static str, path: &BlobPath, source: io::Error) -> StorageError {
        StorageError::Failed {
            action,
            path: self.full_path(path).to_string(),
            source,
        }
    }

    fn error(&self, action: &'static str, path: &BlobPath, error: opendal::Error) -> StorageError {
        let path = self.full_path(path).to_string();
        StorageError::from_opendal(action, path, error)
    }
}

#[cfg(test)]
mod bucket_tests;
#[cfg(test)]
mod tests;
