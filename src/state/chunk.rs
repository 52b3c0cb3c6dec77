//! Chunks: the pieces of memory that deltas and bases are written into, shared out once they are sealed, and taken up
//! again when nobody needs the sealed bytes any more.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::ledger::Owner;
use super::segment::{Region, SegmentPool};
use crate::error::{Error, ErrorKind, Result};

/// The size of a log's first chunk; each further one is twice as large, up to [`CHUNK_BYTES_MAX`].
pub(super) const CHUNK_BYTES_MIN: usize = 16 << 10;

/// The size at which chunks stop growing, unless one record is larger: few enough of them are to be given away at a
/// barrier, and reserving one takes the kernel well under a millisecond.
pub(super) const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Gives out chunks. All states of a subtask share one.
pub(super) struct ChunkPool {
    segments: Rc<RefCell<SegmentPool>>,
    owner: Owner,
    /// By size, which is a power of two.
    free: BTreeMap<usize, Vec<Region>>,
    /// Where sealed chunks come back to, on whichever thread the last of their bytes is dropped.
    returned: Returned,
}

type Returned = Arc<Mutex<Vec<Region>>>;

impl ChunkPool {
    /// A pool that has no chunk yet.
    pub(super) fn new(segments: Rc<RefCell<SegmentPool>>, owner: Owner) -> Self {
        Self {
            segments,
            owner,
            free: BTreeMap::new(),
            returned: Returned::default(),
        }
    }

    /// Gives chunks that nobody uses to the pool.
    pub(super) fn add(&mut self, regions: Vec<Region>) {
        for region in regions {
            self.free.entry(region.len()).or_default().push(region);
        }
    }

    /// An empty chunk with room for at least `bytes`.
    pub(super) fn take(&mut self, bytes: usize) -> Result<Chunk> {
        let bytes = bytes.max(CHUNK_BYTES_MIN).next_power_of_two();
        let region = match self.recycled(bytes) {
            Some(region) => region,
            None => self
                .segments
                .try_borrow_mut()
                .map_err(|_| Error::new(ErrorKind::Bug, "the segment pool is used twice at once"))?
                .region(bytes, self.owner)?,
        };
        Ok(Chunk {
            region,
            used: 0,
            returned: Arc::clone(&self.returned),
        })
    }

    fn recycled(&mut self, bytes: usize) -> Option<Region> {
        if let Some(region) = self.free.get_mut(&bytes).and_then(Vec::pop) {
            return Some(region);
        }
        let returned =
            mem::take(&mut *self.returned.lock().unwrap_or_else(PoisonError::into_inner));
        self.add(returned);
        self.free.get_mut(&bytes).and_then(Vec::pop)
    }
}

/// A chunk that is being written.
pub(super) struct Chunk {
    region: Region,
    used: usize,
    returned: Returned,
}

impl Chunk {
    /// How many bytes are written.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// How many more fit.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.region.len() - self.used
    }

    /// The room that is left, to be written from its start on: it holds whatever lay there before.
    #[inline]
    pub(super) fn rest_mut(&mut self) -> &mut [u8] {
        &mut self.region.as_mut_slice()[self.used..]
    }

    /// The first `bytes` of the room that was left are written.
    ///
    /// # Panics
    /// When there was less.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.room(), "a chunk is written beyond its end");
        self.used += bytes;
    }

    /// What is written from `start` on, to be changed.
    #[inline]
    pub(super) fn written_from_mut(&mut self, start: usize) -> &mut [u8] {
        &mut self.region.as_mut_slice()[start..self.used]
    }

    /// The region, for another use; nothing that was written is shared out.
    pub(super) fn into_region(self) -> Region {
        self.region
    }

    /// What is written becomes bytes that never change again; the chunk goes back to its pool with the last of them.
    pub(super) fn seal(self) -> Bytes {
        Bytes::from_owner(SealedChunk {
            region: Some(self.region),
            used: self.used,
            returned: self.returned,
        })
    }
}

/// A chunk that is shared out and written no more.
struct SealedChunk {
    /// Taken out when it is dropped.
    region: Option<Region>,
    used: usize,
    returned: Returned,
}

impl AsRef<[u8]> for SealedChunk {
    fn as_ref(&self) -> &[u8] {
        self.region
            .as_ref()
            .map_or(&[], |region| &region.as_slice()[..self.used])
    }
}

impl Drop for SealedChunk {
    fn drop(&mut self) {
        if let Some(region) = self.region.take() {
            self.returned
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(region);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(folder: &tempfile::TempDir) -> ChunkPool {
        let segments = SegmentPool::open(folder.path(), None).unwrap();
        ChunkPool::new(Rc::new(RefCell::new(segments)), Owner::Chunks)
    }

    #[test]
    fn a_sealed_chunk_comes_back_when_its_bytes_are_dropped_on_another_thread() {
        let folder = tempfile::tempdir().unwrap();
        let mut pool = pool(&folder);
        let mut chunk = pool.take(1).unwrap();
        chunk.rest_mut()[..3].copy_from_slice(b"abc");
        chunk.advance(3);
        let address = chunk.region.as_slice().as_ptr();
        let sealed = chunk.seal();
        assert_eq!(&sealed[..], b"abc");
        let second = pool.take(1).unwrap();
        assert_ne!(second.region.pointer(0).as_ptr().cast_const(), address);
        std::thread::scope(|scope| {
            scope.spawn(move || drop(sealed));
        });
        let third = pool.take(1).unwrap();
        assert_eq!(third.region.pointer(0).as_ptr().cast_const(), address);
        assert_eq!(third.used(), 0);
    }

    #[test]
    fn a_record_larger_than_a_chunk_gets_a_larger_chunk() {
        let folder = tempfile::tempdir().unwrap();
        let mut pool = pool(&folder);
        let chunk = pool.take(CHUNK_BYTES_MIN + 1).unwrap();
        assert_eq!(chunk.room(), 2 * CHUNK_BYTES_MIN);
        drop(chunk.seal());
        let small = pool.take(1).unwrap();
        assert_eq!(small.room(), CHUNK_BYTES_MIN);
    }
}
