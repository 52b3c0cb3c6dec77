//! Writes the sections of a new object, one after the other.

use std::io;

use bytes::Bytes;
use opendal::{Writer, options};

use super::{BlobStore, StoredSection};
use crate::storage::checksum::ChecksumBuilder;
use crate::storage::error::StorageError;
use crate::storage::paths::BlobPath;

/// How many bytes are handed to the store in one step, at most one chunk more.
pub(super) const STEP_BYTES: u64 = 8 << 20;

/// An object that is being written. Dropped before [`SectionWriter::close`], it leaves a file that means nothing.
pub(super) struct SectionWriter<'store> {
    store: &'store BlobStore,
    path: &'store BlobPath,
    writer: Writer,
    stored: Vec<StoredSection>,
    offset: u64,
    checksum: ChecksumBuilder,
    step: Vec<Bytes>,
    step_bytes: u64,
}

impl BlobStore {
    /// Creates the file at the path, which must not exist.
    pub(super) async fn section_writer<'store>(
        &'store self,
        path: &'store BlobPath,
    ) -> Result<SectionWriter<'store>, StorageError> {
        let exclusive = options::WriteOptions {
            if_not_exists: true,
            ..Default::default()
        };
        let writer = self.writing.writer_options(path.as_str(), exclusive).await;
        Ok(SectionWriter {
            store: self,
            path,
            writer: writer.map_err(|error| self.error("write", path, error))?,
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
    pub(super) async fn push(&mut self, chunk: Bytes) -> Result<(), StorageError> {
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
    pub(super) fn end_section(&mut self) {
        let checksum = std::mem::take(&mut self.checksum);
        self.stored.push(StoredSection {
            offset: self.offset,
            length: checksum.length(),
            checksum: checksum.finish(),
        });
        self.offset += checksum.length();
    }

    /// Syncs the content, and says where each section lies.
    pub(super) async fn close(mut self) -> Result<Vec<StoredSection>, StorageError> {
        self.write_step().await?;
        let closed = self.writer.close().await;
        let metadata = closed.map_err(|error| self.store.error("write", self.path, error))?;
        if metadata.content_length() == self.offset {
            return Ok(self.stored);
        }
        let message = format!(
            "{} bytes arrived of {}",
            metadata.content_length(),
            self.offset
        );
        let error = io::Error::other(message);
        Err(self.store.failed("write", self.path, error))
    }

    async fn write_step(&mut self) -> Result<(), StorageError> {
        self.step_bytes = 0;
        let chunks = std::mem::take(&mut self.step);
        let written = self.writer.write(chunks).await;
        written.map_err(|error| self.store.error("write", self.path, error))
    }
}
