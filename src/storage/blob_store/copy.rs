//! Copies sections of one object into another, in another store perhaps.

use super::section_writer::STEP_BYTES;
use super::{BlobStore, StoredSection};
use crate::storage::error::StorageError;
use crate::storage::paths::BlobPath;

impl BlobStore {
    /// Writes a new object of these sections of `from` in the store `source`, one after the other, and syncs its content.
    /// Says where each section lies in it, and what the checksum of the bytes was that were read. It never has more in
    /// memory than two steps of writing. After an error nothing is left at the path, which only this process may know.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is no such object, [`StorageError::AlreadyExists`] when the path is taken;
    /// what is there stays.
    pub async fn copy(
        &self,
        path: &BlobPath,
        source: &Self,
        from: &BlobPath,
        sections: &[StoredSection],
    ) -> Result<Vec<StoredSection>, StorageError> {
        let mut attempt = 0;
        loop {
            let copied = self.copy_new(path, source, from, sections).await;
            match &copied {
                Err(error) if self.tries_again(path, error, attempt).await => attempt += 1,
                Err(StorageError::NotFound { .. }) => {
                    // The file was begun before the other one was looked for.
                    self.discard(path).await;
                    return copied;
                }
                _ => return copied,
            }
        }
    }

    async fn copy_new(
        &self,
        path: &BlobPath,
        source: &Self,
        from: &BlobPath,
        sections: &[StoredSection],
    ) -> Result<Vec<StoredSection>, StorageError> {
        let length = sections.iter().map(|section| section.length).sum();
        let mut writer = self.section_writer(path, length).await?;
        for section in sections {
            let mut done = 0;
            while done < section.length {
                let length = STEP_BYTES.min(section.length - done);
                let offset = section.offset.saturating_add(done);
                let chunk = source.read_range(from, offset, length).await?;
                writer.push(chunk).await?;
                done += length;
            }
            writer.end_section();
        }
        writer.close().await
    }
}
