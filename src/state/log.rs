//! The record log: what deltas and bases are written to, in its final form, chunk after chunk.

use std::cell::RefCell;
use std::rc::Rc;

use super::chunk::{Chunk, ChunkPool};
use super::piece::{FOOTER_BYTES, Footer};
use super::sealed::SealedBytes;
use crate::error::{Error, ErrorKind, Result};

/// Where a record lies in its log.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordPlace {
    /// Which chunk.
    pub(super) chunk: u32,
    /// Where in the chunk it starts.
    pub(super) position: u32,
}

/// An append-only log of records, which can still be patched until it is sealed.
pub(super) struct RecordLog {
    pool: Rc<RefCell<ChunkPool>>,
    chunks: Vec<Chunk>,
    /// The bytes of all chunks but the last.
    bytes_before_last: u64,
}

impl RecordLog {
    /// An empty log, without a chunk.
    pub(super) fn new(pool: Rc<RefCell<ChunkPool>>) -> Self {
        Self {
            pool,
            chunks: Vec::new(),
            bytes_before_last: 0,
        }
    }

    /// Another empty log on the same pool.
    pub(super) fn another(&self) -> Self {
        Self::new(Rc::clone(&self.pool))
    }

    /// How many bytes were appended.
    pub(super) fn len(&self) -> u64 {
        self.bytes_before_last + self.chunks.last().map_or(0, |chunk| chunk.used() as u64)
    }

    /// Appends a record of `bytes` bytes, which lies in one chunk. The caller fills all of them.
    #[inline]
    pub(super) fn append(&mut self, bytes: usize) -> Result<(RecordPlace, &mut [u8])> {
        if self.chunks.last().is_none_or(|chunk| chunk.room() < bytes) {
            self.add_chunk(bytes)?;
        }
        let number = self.chunks.len() as u32 - 1;
        let Some(chunk) = self.chunks.last_mut() else {
            return Err(Error::new(ErrorKind::Bug, "a log has no chunk to write to"));
        };
        let place = RecordPlace {
            chunk: number,
            position: chunk.used() as u32,
        };
        Ok((place, chunk.append(bytes)))
    }

    /// What is written from `place` to the end of its chunk.
    #[inline]
    pub(super) fn written_from(&self, place: RecordPlace) -> &[u8] {
        &self.chunks[place.chunk as usize].written()[place.position as usize..]
    }

    /// What is written from `place` to the end of its chunk, to be patched.
    #[inline]
    pub(super) fn written_from_mut(&mut self, place: RecordPlace) -> &mut [u8] {
        &mut self.chunks[place.chunk as usize].written_mut()[place.position as usize..]
    }

    /// Writes the trailer and the footer, gives all of it away, and starts again with nothing.
    ///
    /// `trailer` is padded to a multiple of 8 bytes.
    pub(super) fn seal(
        &mut self,
        trailer: &[u32],
        footer: impl FnOnce(u64) -> Footer,
    ) -> Result<SealedBytes> {
        let footer = footer(self.len());
        for numbers in trailer.chunks(1024) {
            let (_, bytes) = self.append(numbers.len() * 4)?;
            for (target, number) in bytes.chunks_exact_mut(4).zip(numbers) {
                target.copy_from_slice(&number.to_le_bytes());
            }
        }
        if !trailer.len().is_multiple_of(2) {
            self.append(4)?.1.fill(0);
        }
        self.append(FOOTER_BYTES)?
            .1
            .copy_from_slice(&footer.to_bytes());
        self.bytes_before_last = 0;
        Ok(SealedBytes {
            chunks: self.chunks.drain(..).map(Chunk::seal).collect(),
        })
    }

    #[cold]
    fn add_chunk(&mut self, bytes: usize) -> Result<()> {
        let chunk = self
            .pool
            .try_borrow_mut()
            .map_err(|_| Error::new(ErrorKind::Bug, "the chunk pool is used twice at once"))?
            .take(bytes)?;
        self.bytes_before_last = self.len();
        self.chunks.push(chunk);
        Ok(())
    }
}
