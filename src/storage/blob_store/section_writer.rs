//! Writes the sections of a new object, one after the other.

use std::io;

use bytes::Bytes;
use opendal::{Writer, options};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::bucket::{PARTS_AT_ONCE, STREAM_PARTS_AT_ONCE};
use super::{BlobStore, Medium, StoredSection};
use crate::storage::checksum::ChecksumBuilder;
use crate::storage::error::StorageError;
use crate::storage::location::StoreLocation;
use crate::storage::paths::BlobPath;

/// How many bytes are handed to the store in one step, at most one chunk more.
pub(super) const STEP_BYTES: u64 = 8 << 20;

/// An object that is being written. Dropped before [`SectionWriter::close`], it leaves a file that means nothing; in a
/// bucket it takes back what was uploaded.
pub struct SectionWriter<'store> {
    store: &'store BlobStore,
    path: &'store BlobPath,
    /// Nothing when the object is complete.
    writer: Option<Writer>,
    /// Counts among the uploads of a bucket as long as this is here.
    _upload: Option<OwnedSemaphorePermit>,
    stored: Vec<StoredSection>,
    offset: u64,
    checksum: ChecksumBuilder,
    step: Vec<Bytes>,
    step_bytes: u64,
}

impl BlobStore {
    /// Creates the object at the path, which must not exist, and will have so many bytes. In a bucket it waits until there
    /// are not too many others under way.
    pub(super) async fn section_writer<'store>(
        &'store self,
        path: &'store BlobPath,
        length: u64,
    ) -> Result<SectionWriter<'store>, StorageError> {
        let upload = match &self.medium {
            Medium::Disk(_) => None,
            Medium::Bucket(bucket) => bucket.uploads.begin().await,
        };
        let options = self.writer_options(length, PARTS_AT_ONCE);
        let mut writer = self.open_writer(path, options).await?;
        writer._upload = upload;
        Ok(writer)
    }

    /// Creates the object at the path, which must not exist and which only this process may know, and will have about so many
    /// bytes, to be written as they come. It does not count among the uploads of a bucket, which could wait for it long.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] when the path is taken; what is there stays.
    pub async fn stream_to<'store>(
        &'store self,
        path: &'store BlobPath,
        length: u64,
    ) -> Result<SectionWriter<'store>, StorageError> {
        let options = self.writer_options(length, STREAM_PARTS_AT_ONCE);
        self.open_writer(path, options).await
    }

    async fn open_writer<'store>(
        &'store self,
        path: &'store BlobPath,
        options: options::WriteOptions,
    ) -> Result<SectionWriter<'store>, StorageError> {
        let operator = match &self.medium {
            Medium::Disk(_) => &self.writing,
            // A part can be sent again without harm.
            Medium::Bucket(_) => &self.operator,
        };
        let writer = operator.writer_options(path.as_str(), options).await;
        Ok(SectionWriter {
            store: self,
            path,
            writer: Some(writer.map_err(|error| self.error("write", path, error))?),
            _upload: None,
            stored: Vec::new(),
            offset: 0,
            checksum: ChecksumBuilder::default(),
            step: Vec::new(),
            step_bytes: 0,
        })
    }
}

impl SectionWriter<'_> {
    /// Adds a chunk to the section.
    ///
    /// # Errors
    /// [`StorageError::Failed`]: the object is lost then.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        // A writer of files waits for ever for an empty chunk in front of others to be written.
        if chunk.is_empty() {
            return Ok(());
        }
        self.checksum.update(&chunk);
        self.step_bytes += chunk.len() as u64;
        self.step.push(chunk);
        if self.step_bytes >= STEP_BYTES {
            self.write_step().await?;
        }
        Ok(())
    }

    /// The section is complete, and another one can begin.
    pub fn end_section(&mut self) {
        let checksum = std::mem::take(&mut self.checksum);
        self.stored.push(StoredSection {
            offset: self.offset,
            length: checksum.length(),
            checksum: checksum.finish(),
        });
        self.offset += checksum.length();
    }

    /// Syncs the content, and says where each section lies.
    ///
    /// # Errors
    /// [`StorageError::Failed`]: the object is lost then, but it may be there.
    pub async fn close(mut self) -> Result<Vec<StoredSection>, StorageError> {
        self.write_step().await?;
        let Some(writer) = &mut self.writer else {
            return Ok(std::mem::take(&mut self.stored));
        };
        let closed = writer.close().await;
        let metadata = closed.map_err(|error| self.failed(error))?;
        self.writer = None;
        // A bucket does not say it; it has checked each part.
        if self.store.is_bucket() || metadata.content_length() == self.offset {
            return Ok(std::mem::take(&mut self.stored));
        }
        let message = format!(
            "{} bytes arrived of {}",
            metadata.content_length(),
            self.offset
        );
        let error = io::Error::other(message);
        Err(self.store.failed("write", self.path, error))
    }

    /// Gives the object up: of a bucket what was uploaded is taken back; of a disk the file stays.
    pub async fn abort(mut self) {
        if let (Some(writer), true) = (self.writer.take(), self.store.is_bucket()) {
            let path = self.store.full_path(self.path);
            take_back(writer, path).await;
        }
    }

    async fn write_step(&mut self) -> Result<(), StorageError> {
        self.step_bytes = 0;
        let chunks = std::mem::take(&mut self.step);
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let written = writer.write(chunks).await;
        written.map_err(|error| self.failed(error))
    }

    /// The error of an upload that the store has forgotten is not that of an object which is not there.
    fn failed(&self, error: opendal::Error) -> StorageError {
        match error.kind() {
            opendal::ErrorKind::NotFound => {
                let forgotten = io::Error::other(error.message().to_owned());
                self.store.failed("write", self.path, forgotten)
            }
            _ => self.store.error("write", self.path, error),
        }
    }
}

impl Drop for SectionWriter<'_> {
    fn drop(&mut self) {
        let (Some(writer), true) = (self.writer.take(), self.store.is_bucket()) else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        runtime.spawn(take_back(writer, self.store.full_path(self.path)));
    }
}

/// Takes back what was uploaded to a bucket of an object that is given up.
async fn take_back(mut writer: Writer, path: StoreLocation) {
    if let Err(error) = writer.abort().await {
        let reason = error.message();
        tracing::warn!(%path, reason, "the parts of an upload that was given up stay in the bucket");
    }
}
