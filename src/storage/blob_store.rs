//! The store itself: bytes in, bytes out, through OpenDAL.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use opendal::Operator;
use opendal::layers::{RetryEvent, RetryLayer, TimeoutLayer};
use opendal::services::Fs;
use tracing::warn;

use super::checksum::Checksum;
use super::error::StorageError;
use super::folder::{self, Folders, LocalFolders};
use super::location::StoreLocation;
use super::paths::BlobPath;
use crate::error::Result;

mod copy;
mod reach;
mod section_writer;

/// How long one step of reading or writing may take. Syncing a base of gigabytes to a slow disk is one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(300);

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
    folders: Arc<dyn Folders>,
    root: PathBuf,
}

/// How often one operation is tried again when the trouble may pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retries {
    pub(super) max: usize,
    /// The pause before the first of them; each further one is twice as long.
    pub(super) pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            max: 3,
            pause: Duration::from_millis(100),
        }
    }
}

impl BlobStore {
    /// Opens the store; makes its root if there is none.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when the root cannot be made or is not a folder.
    pub fn open(location: &StoreLocation) -> Result<Self> {
        let root = location.root();
        let shown = root.display().to_string();
        // OpenDAL would make the root as well, but a power cut could take it away again.
        folder::create_durably(root).map_err(|source| StorageError::Failed {
            action: "open",
            path: shown.clone(),
            source,
        })?;
        let opened = Operator::new(Fs::default().root(&shown));
        let operator =
            opened.map_err(|error| StorageError::from_opendal("open", shown.clone(), error))?;
        let folders = LocalFolders::below(root.to_path_buf());
        Ok(Self::assemble(
            operator,
            Arc::new(folders),
            root,
            Retries::default(),
        ))
    }

    /// A store of these parts; both must lead to the same root.
    pub(super) fn assemble(
        operator: Operator,
        folders: Arc<dyn Folders>,
        root: &Path,
        retries: Retries,
    ) -> Self {
        let retry = RetryLayer::new()
            .with_jitter()
            .with_min_delay(retries.pause)
            .with_max_times(retries.max)
            .with_notify(log_retry);
        let timeout = TimeoutLayer::new()
            .with_timeout(STEP_TIMEOUT)
            .with_io_timeout(STEP_TIMEOUT);
        let writing = operator.layer(timeout);
        Self {
            // The timeout lies inside: from outside it could cut a retry in half.
            operator: writing.clone().layer(retry),
            writing,
            retries,
            folders,
            root: root.to_path_buf(),
        }
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
        // The next attempt needs a new file, and after the last one nothing may stay.
        let is_gone = self.discard(path).await;
        if !is_gone || !error.may_pass() || attempt == self.retries.max {
            return false;
        }
        warn!(%path, attempt, reason = %source, "the store failed and will be tried again");
        tokio::time::sleep(self.retries.pause * (1 << attempt)).await;
        true
    }

    /// Creates a file that is there whole or not at all, whatever happens, unless there is one already. Its name is
    /// not safe from a power cut before [`BlobStore::sync_folder`].
    ///
    /// The content is written and synced under the name `pending`, which only one process can create, and then gets its
    /// own. Whoever holds `pending` looks for `path` before that, so nobody replaces what another has created.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] when one of the two paths is taken; what is there stays.
    pub async fn create_if_absent(
        &self,
        path: &BlobPath,
        pending: &BlobPath,
        content: Bytes,
    ) -> Result<(), StorageError> {
        self.put(pending, &[vec![content]]).await?;
        self.name_if_absent(path, pending).await
    }

    /// Gives the file `pending` its own name, unless there is one of that name; then it is deleted. It is the second half
    /// of [`BlobStore::create_if_absent`].
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] when the path is taken, [`StorageError::NotFound`] when somebody has deleted
    /// `pending`.
    pub async fn name_if_absent(
        &self,
        path: &BlobPath,
        pending: &BlobPath,
    ) -> Result<(), StorageError> {
        let named = match self.length(path).await {
            Ok(_) => Err(StorageError::AlreadyExists {
                path: self.full_path(path).display().to_string(),
            }),
            Err(StorageError::NotFound { .. }) => self.rename(pending, path).await,
            Err(error) => Err(error),
        };
        if named.is_err() {
            self.discard(pending).await;
        }
        named
    }

    /// Writes a file, whatever was there by its name: a reader finds the old content or the new one, and either is
    /// whole. There must be one writer. A power cut can bring the old content back.
    ///
    /// # Errors
    /// [`StorageError::Failed`]; the old content is still there.
    pub async fn replace(
        &self,
        path: &BlobPath,
        pending: &BlobPath,
        content: Bytes,
    ) -> Result<(), StorageError> {
        // A process that was killed may have left its own.
        self.delete(pending).await?;
        self.put(pending, &[vec![content]]).await?;
        let renamed = self.rename(pending, path).await;
        if renamed.is_err() {
            self.discard(pending).await;
        }
        renamed
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
        let reader = self.operator.reader(path.as_str()).await.map_err(failed)?;
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

    /// Deletes a folder, which must be empty. One that is not there counts as deleted.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn delete_folder(&self, folder: &BlobPath) -> Result<(), StorageError> {
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
        let path = folder.as_str();
        let ends = path.match_indices('/').map(|(end, _)| end);
        let mut parent = "";
        for end in ends.chain([path.len()]) {
            let made = self.folders.make(&path[..end]).await;
            if made.map_err(|error| self.failed("make the folder", folder, error))? {
                self.sync(parent).await?;
            }
            parent = &path[..end];
        }
        Ok(())
    }

    /// Makes a folder in one that is there, unless it is there itself; whether it was made. A power cut can take it away
    /// until the folder above is synced.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn create_new_folder(&self, folder: &BlobPath) -> Result<bool, StorageError> {
        let made = self.folders.make(folder.as_str()).await;
        made.map_err(|error| self.failed("make the folder", folder, error))
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
    pub fn full_path(&self, path: &BlobPath) -> PathBuf {
        self.root.join(path.as_str())
    }

    async fn write_new(
        &self,
        path: &BlobPath,
        sections: &[Vec<Bytes>],
    ) -> Result<Vec<StoredSection>, StorageError> {
        let mut writer = self.section_writer(path).await?;
        for section in sections {
            for chunk in section {
                writer.push(chunk.clone()).await?;
            }
            writer.end_section();
        }
        writer.close().await
    }

    /// Gives a file another name, whatever was there by that.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is no such file.
    pub async fn rename(&self, from: &BlobPath, to: &BlobPath) -> Result<(), StorageError> {
        let renamed = self.writing.rename(from.as_str(), to.as_str()).await;
        renamed.map_err(|error| self.error("put in place", to, error))
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
        let synced = self.folders.sync(folder).await;
        synced.map_err(|source| StorageError::Failed {
            action: "sync the folder",
            path: self.root.join(folder).display().to_string(),
            source,
        })
    }

    fn failed(&self, action: &'static str, path: &BlobPath, source: io::Error) -> StorageError {
        StorageError::Failed {
            action,
            path: self.full_path(path).display().to_string(),
            source,
        }
    }

    fn error(&self, action: &'static str, path: &BlobPath, error: opendal::Error) -> StorageError {
        let path = self.full_path(path).display().to_string();
        StorageError::from_opendal(action, path, error)
    }
}

fn log_retry(event: RetryEvent<'_>) {
    warn!(
        operation = ?event.op,
        attempt = event.attempt,
        error = %event.err,
        "the store failed and will be tried again"
    );
}

#[cfg(test)]
mod tests;
