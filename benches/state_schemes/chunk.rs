//! The buffers of what is written, cut from large mappings and used again and again.

use std::ptr::NonNull;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::memory::{Mapped, Plain};

/// Records in a full chunk; 256 KiB.
pub(crate) const CHUNK_RECORDS: usize = 1 << 14;
/// Bytes of a record, in memory and on the disk.
pub(crate) const RECORD_BYTES: usize = size_of::<Record>();
const SLAB_CHUNKS: usize = 64;
/// Records in a page of 4 KiB.
const PAGE_RECORDS: usize = 256;
/// The key of records that fill up a page.
pub(crate) const PADDING: u64 = u64::MAX;
/// Room for the chunks that the writer gives back, for more than any run has.
const RETURNS_MAX: usize = 1 << 16;

/// What snapshots and logs consist of.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Record {
    pub(crate) key: u64,
    pub(crate) value: i64,
}

// SAFETY: two numbers of 8 bytes, and nothing between them.
unsafe impl Plain for Record {}

/// A buffer of records.
pub(crate) struct Chunk {
    records: NonNull<Record>,
    used: usize,
    /// What `records` points into.
    _slab: Arc<Mapped<Record>>,
}

// SAFETY: a chunk is the only one that points to its records (see `Pool::add_slab`).
unsafe impl Send for Chunk {}
// SAFETY: a shared chunk gives out shared slices only.
unsafe impl Sync for Chunk {}

impl Chunk {
    #[inline]
    pub(crate) fn records(&self) -> &[Record] {
        // SAFETY: the chunk owns CHUNK_RECORDS records, and `used` is never more.
        unsafe { std::slice::from_raw_parts(self.records.as_ptr(), self.used) }
    }

    #[inline]
    pub(crate) fn records_mut(&mut self) -> &mut [Record] {
        // SAFETY: as above, and `&mut self` makes the slice the only one.
        unsafe { std::slice::from_raw_parts_mut(self.records.as_ptr(), self.used) }
    }

    /// The records' bytes; whole pages if the chunk was padded.
    pub(crate) fn bytes(&self) -> &[u8] {
        let records = self.records();
        // SAFETY: a record is 16 bytes without padding, so each of its bytes is initialised.
        unsafe { std::slice::from_raw_parts(records.as_ptr().cast(), size_of_val(records)) }
    }

    /// Fills the last page up: a file that is written past the page cache takes whole pages only.
    pub(crate) fn pad(&mut self) {
        while !self.used.is_multiple_of(PAGE_RECORDS) {
            self.push(Record {
                key: PADDING,
                value: 0,
            });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// How many more records there is room for.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        CHUNK_RECORDS - self.used
    }

    /// Appends the record, or, if `counts` is false, writes it where the next one will be. There must be room.
    #[inline]
    pub(crate) fn push_if(&mut self, counts: bool, record: Record) {
        assert!(self.used < CHUNK_RECORDS);
        // SAFETY: the chunk owns CHUNK_RECORDS records, and `used` is less.
        unsafe { self.records.add(self.used).write(record) };
        self.used += usize::from(counts);
    }

    #[inline]
    pub(crate) fn push(&mut self, record: Record) {
        self.push_if(true, record);
    }
}

/// The free chunks of one partition.
pub(crate) struct Pool {
    free: Vec<Chunk>,
    returned: Receiver<Chunk>,
    returns: Sender<Chunk>,
    huge_pages: bool,
}

impl Pool {
    /// A pool that has room for `records` at once, and takes more memory when that is not enough.
    pub(crate) fn new(records: usize, huge_pages: bool) -> Self {
        let (returns, returned) = bounded(RETURNS_MAX);
        let mut pool = Self {
            free: Vec::new(),
            returned,
            returns,
            huge_pages,
        };
        while pool.free.len() * CHUNK_RECORDS < records {
            pool.add_slab();
        }
        pool
    }

    /// An empty chunk.
    pub(crate) fn take(&mut self) -> Chunk {
        if self.free.is_empty() {
            self.free.extend(self.returned.try_iter());
        }
        if self.free.is_empty() {
            self.add_slab();
        }
        let mut chunk = self.free.pop().unwrap();
        chunk.used = 0;
        chunk
    }

    pub(crate) fn put_back(&mut self, chunks: &mut Vec<Chunk>) {
        self.free.append(chunks);
    }

    /// Where another thread puts chunks back.
    pub(crate) fn returns(&self) -> Sender<Chunk> {
        self.returns.clone()
    }

    fn add_slab(&mut self) {
        let mut slab = Mapped::<Record>::new(SLAB_CHUNKS * CHUNK_RECORDS, self.huge_pages);
        let start = NonNull::from(&mut slab[..]).cast::<Record>();
        let slab = Arc::new(slab);
        // Each chunk gets records of its own, and nobody uses the slab itself any more.
        self.free.extend((0..SLAB_CHUNKS).map(|number| Chunk {
            // SAFETY: the slab has SLAB_CHUNKS times CHUNK_RECORDS records.
            records: unsafe { start.add(number * CHUNK_RECORDS) },
            used: 0,
            _slab: Arc::clone(&slab),
        }));
    }
}

/// A growing list of records, in chunks that are all full but the last.
#[derive(Default)]
pub(crate) struct RecordLog {
    chunks: Vec<Chunk>,
}

impl RecordLog {
    pub(crate) fn len(&self) -> usize {
        self.chunks
            .last()
            .map_or(0, |last| self.chunks.len() * CHUNK_RECORDS - last.room())
    }

    #[inline]
    pub(crate) fn push(&mut self, record: Record, pool: &mut Pool) {
        match self.chunks.last_mut() {
            Some(last) if last.room() > 0 => last.push(record),
            _ => {
                let mut chunk = pool.take();
                chunk.push(record);
                self.chunks.push(chunk);
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, number: usize) -> &Record {
        &self.chunks[number / CHUNK_RECORDS].records()[number % CHUNK_RECORDS]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: usize) -> &mut Record {
        &mut self.chunks[number / CHUNK_RECORDS].records_mut()[number % CHUNK_RECORDS]
    }

    /// Takes all chunks out, and leaves the list empty.
    pub(crate) fn take(&mut self) -> Vec<Chunk> {
        std::mem::take(&mut self.chunks)
    }
}
