//! The record log: what deltas and bases are written to, in its final form, chunk after chunk.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::chunk::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Chunk, ChunkPool};
use super::piece::{FOOTER_BYTES, Footer};
use super::sealed::SealedBytes;
use crate::error::{Error, ErrorKind, Result};

/// An append-only log of records.
pub(super) struct RecordLog {
    pool: Rc<RefCell<ChunkPool>>,
    /// The full chunks.
    full: Vec<Chunk>,
    /// The chunk that is being written.
    last: Option<Chunk>,
    full_bytes: u64,
    next_chunk_bytes: usize,
    /// How many of the bytes were given away.
    given_bytes: u64,
    /// How many records were appended.
    records: u64,
}

impl RecordLog {
    /// An empty log, without a chunk.
    pub(super) fn new(pool: Rc<RefCell<ChunkPool>>) -> Self {
        Self {
            pool,
            full: Vec::new(),
            last: None,
            full_bytes: 0,
            next_chunk_bytes: CHUNK_BYTES_MIN,
            given_bytes: 0,
            records: 0,
        }
    }

    /// Another empty log on the same pool.
    pub(super) fn another(&self) -> Self {
        Self::new(Rc::clone(&self.pool))
    }

    /// How many bytes were appended.
    pub(super) fn len(&self) -> u64 {
        self.full_bytes + self.last.as_ref().map_or(0, |chunk| chunk.used() as u64)
    }

    /// How many of them are still here.
    pub(super) fn held_bytes(&self) -> u64 {
        self.len() - self.given_bytes
    }

    /// Appends a record of `bytes` bytes, which lies in one chunk. The caller fills all of them.
    #[inline]
    pub(super) fn append(&mut self, bytes: usize) -> Result<&mut [u8]> {
        self.records += 1;
        self.append_bytes(bytes)
    }

    /// Appends up to `records_max` records of `stride` bytes each: `write` fills them from the start on, and says how
    /// many it has written.
    #[inline]
    pub(super) fn append_many(
        &mut self,
        stride: usize,
        records_max: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        let bytes_max = stride * records_max;
        let chunk = self.chunk_with_room(bytes_max)?;
        let records = write(&mut chunk.rest_mut()[..bytes_max])?;
        chunk.advance(records * stride);
        self.records += records as u64;
        Ok(())
    }

    /// Gives away what is complete of it; the rest follows with [`RecordLog::seal`].
    pub(super) fn take_full(&mut self) -> impl Iterator<Item = Bytes> {
        self.given_bytes = self.full_bytes;
        std::mem::take(&mut self.full).into_iter().map(Chunk::seal)
    }

    /// Writes the footer and gives all of it away. A log without a record gives no bytes at all, not even a footer.
    pub(super) fn seal(mut self, footer: impl FnOnce(u64, u64) -> Footer) -> Result<SealedBytes> {
        if self.records == 0 {
            return Ok(SealedBytes::default());
        }
        let footer = footer(self.len(), self.records).to_bytes();
        self.append_bytes(FOOTER_BYTES)?.copy_from_slice(&footer);
        let chunks = self.full.into_iter().chain(self.last);
        Ok(SealedBytes {
            chunks: chunks.map(Chunk::seal).collect(),
        })
    }

    #[inline]
    fn append_bytes(&mut self, bytes: usize) -> Result<&mut [u8]> {
        let chunk = self.chunk_with_room(bytes)?;
        let start = chunk.used();
        chunk.advance(bytes);
        Ok(chunk.written_from_mut(start))
    }

    #[inline]
    fn chunk_with_room(&mut self, bytes: usize) -> Result<&mut Chunk> {
        if self.last.as_ref().is_none_or(|chunk| chunk.room() < bytes) {
            self.add_chunk(bytes)?;
        }
        self.last
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Bug, "a log has no chunk to write to"))
    }

    #[cold]
    fn add_chunk(&mut self, bytes: usize) -> Result<()> {
        let chunk = self
            .pool
            .try_borrow_mut()
            .map_err(|_| Error::new(ErrorKind::Bug, "the chunk pool is used twice at once"))?
            .take(bytes.max(self.next_chunk_bytes))?;
        self.next_chunk_bytes = (self.next_chunk_bytes * 2).min(CHUNK_BYTES_MAX);
        self.full_bytes = self.len();
        self.full.extend(self.last.replace(chunk));
        Ok(())
    }
}
