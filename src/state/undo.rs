//! The undo log: what records were before an epoch first touched them.
//!
//! It never leaves the machine. When the process is killed, the next one takes back the epochs that no checkpoint
//! covers: what was created is removed, and then what was changed or deleted gets its former value. A record is in the
//! log of an epoch at most once as changed; so the order within an epoch does not matter, and the epochs are taken
//! back newest first.
//!
//! A chunk of the log starts with 40 bytes, of which the last eight are kept up to date with every record:
//!
//! ```text
//! offset  size  content
//! 0       8     "FMundolg"; zeros when it is not in use
//! 8       8     epoch
//! 16      4     0 for records that were created, 1 for those that were changed
//! 20      4     number: no two chunks of a log that are in use have the same
//! 24      8     XXH3 of the bytes before
//! 32      4     check of all records
//! 36      4     bytes that are written, these 40 included, as a number of 8 bytes each
//! ```
//!
//! Records lie as in deltas; of one that was created only the key counts. The ledger has the sum of the chunks in use, so
//! that one that is missing is noticed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{Ordering, compiler_fence};

use super::chunk::{Chunk, ChunkPool};
use super::ledger::{Owner, sum_of};
use super::piece::corrupt;
use super::segment::{Region, SegmentPool};
use super::table::record_check;
use crate::error::{Error, ErrorKind, Result};
use crate::model::hash_key;

const MAGIC: [u8; 8] = *b"FMundolg";
const HEADER_BYTES: usize = 40;
const CHECKSUM: usize = 24;
const PROGRESS: usize = 32;
const CHUNK_BYTES: usize = 64 << 10;

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UndoKind {
    /// It was not there before.
    Created = 0,
    /// It had another value before.
    Changed = 1,
}

/// The undo log of one state.
pub(super) struct UndoLog {
    pool: ChunkPool,
    segments: Rc<RefCell<SegmentPool>>,
    owner: Owner,
    epoch: u64,
    /// That of the next chunk.
    next_number: u32,
    /// The epoch at hand, by kind.
    current: [Vec<Chunk>; 2],
    /// Epochs before it, oldest first, that no complete checkpoint covers as far as is known.
    kept: VecDeque<(u64, [Vec<Chunk>; 2])>,
}

/// What an earlier process had noted of one epoch: the records' bytes by kind, chunk after chunk.
#[derive(Default)]
pub(super) struct SurvivingEpoch<'a> {
    pub(super) records: [Vec<&'a [u8]>; 2],
}

impl UndoLog {
    /// The empty log of the state with this number, at the start of `epoch`.
    pub(super) fn new(segments: Rc<RefCell<SegmentPool>>, state: u32, epoch: u64) -> Self {
        let owner = Owner::Undo(state);
        Self {
            pool: ChunkPool::new(Rc::clone(&segments), owner),
            segments,
            owner,
            epoch,
            next_number: 0,
            current: [Vec::new(), Vec::new()],
            kept: VecDeque::new(),
        }
    }

    /// What an earlier process left in `regions` of the epochs after `barrier`, newest first. `sum` is what the ledger says of
    /// all chunks in use; `record_bytes` says how long the record is that some bytes begin with.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub(super) fn surviving(
        regions: &[Region],
        barrier: u64,
        sum: u64,
        record_bytes: impl Fn(&[u8]) -> Result<usize>,
    ) -> Result<Vec<SurvivingEpoch<'_>>> {
        let damaged = || corrupt("an undo log is damaged");
        let mut epochs: BTreeMap<u64, SurvivingEpoch<'_>> = BTreeMap::new();
        let mut found_sum = 0;
        for region in regions {
            let content = region.as_slice();
            if content.starts_with(&[0; MAGIC.len()]) {
                continue;
            }
            let checksum = word(content, CHECKSUM);
            if !content.starts_with(&MAGIC) || hash_key(&content[..CHECKSUM]) != checksum {
                return Err(damaged());
            }
            found_sum ^= checksum;
            let epoch = word(content, 8);
            if epoch <= barrier {
                continue;
            }
            let progress = word(content, PROGRESS);
            let used = (progress >> 32) as usize * 8;
            let written = content.get(HEADER_BYTES..used).ok_or_else(damaged)?;
            let mut rest = written;
            let mut check = checksum as u32;
            while !rest.is_empty() {
                let record = rest.get(..record_bytes(rest)?).ok_or_else(damaged)?;
                check = next_check(check, record);
                rest = &rest[record.len()..];
            }
            if check != progress as u32 {
                return Err(damaged());
            }
            let kind = word(content, 16) as u32 as usize;
            let epoch = epochs.entry(epoch).or_default();
            epoch
                .records
                .get_mut(kind)
                .ok_or_else(damaged)?
                .push(written);
        }
        if sum_of(found_sum) != sum {
            return Err(corrupt(
                "chunks of an undo log are missing, or there are too many",
            ));
        }
        Ok(epochs.into_values().rev().collect())
    }

    /// Takes over the chunks of an earlier process, whose content is of no use any more.
    pub(super) fn reuse(&mut self, mut regions: Vec<Region>) {
        let mut sum = 0;
        for region in &mut regions {
            if region.as_slice().starts_with(&MAGIC) {
                sum ^= word(region.as_slice(), CHECKSUM);
                region.as_mut_slice()[..MAGIC.len()].fill(0);
            }
        }
        self.change_sum(sum);
        self.pool.add(regions);
    }

    /// Notes what a record was; `fill` writes `bytes` bytes. From when this returns the record may be changed.
    #[inline]
    pub(super) fn append(
        &mut self,
        kind: UndoKind,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let chunks = &self.current[kind as usize];
        if chunks.last().is_none_or(|chunk| chunk.room() < bytes) {
            self.add_chunk(kind, bytes)?;
        }
        let Some(chunk) = self.current[kind as usize].last_mut() else {
            return Err(Error::new(
                ErrorKind::Bug,
                "an undo log has no chunk to write to",
            ));
        };
        fill(&mut chunk.rest_mut()[..bytes])?;
        let start = chunk.used();
        chunk.advance(bytes);
        let written = chunk.written_from_mut(0);
        let check = next_check(word(written, PROGRESS) as u32, &written[start..]);
        let progress = u64::from(check) | (written.len() as u64 / 8) << 32;
        compiler_fence(Ordering::SeqCst);
        written[PROGRESS..HEADER_BYTES].copy_from_slice(&progress.to_le_bytes());
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }

    /// The barrier: the next epoch begins.
    pub(super) fn end_epoch(&mut self) {
        let ended = std::mem::take(&mut self.current);
        self.kept.push_back((self.epoch, ended));
        self.epoch += 1;
    }

    /// A checkpoint of the barrier that ended `epoch` is complete: nothing before it will be taken back.
    pub(super) fn release(&mut self, epoch: u64) {
        while self.kept.front().is_some_and(|(kept, _)| *kept <= epoch) {
            if let Some((_, chunks)) = self.kept.pop_front() {
                let regions = chunks.into_iter().flatten().map(Chunk::into_region);
                self.reuse(regions.collect());
            }
        }
    }

    #[cold]
    fn add_chunk(&mut self, kind: UndoKind, bytes: usize) -> Result<()> {
        let mut chunk = self.pool.take((HEADER_BYTES + bytes).max(CHUNK_BYTES))?;
        let header = &mut chunk.rest_mut()[..HEADER_BYTES];
        let mut named = [0; CHECKSUM];
        named[..8].copy_from_slice(&MAGIC);
        named[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        named[16..20].copy_from_slice(&(kind as u32).to_le_bytes());
        named[20..].copy_from_slice(&self.next_number.to_le_bytes());
        self.next_number = self.next_number.wrapping_add(1);
        let checksum = hash_key(&named);
        let progress = checksum & 0xffff_ffff | (HEADER_BYTES as u64 / 8) << 32;
        header[CHECKSUM..PROGRESS].copy_from_slice(&checksum.to_le_bytes());
        header[PROGRESS..].copy_from_slice(&progress.to_le_bytes());
        header[8..CHECKSUM].copy_from_slice(&named[8..]);
        compiler_fence(Ordering::SeqCst);
        header[..8].copy_from_slice(&MAGIC);
        chunk.advance(HEADER_BYTES);
        self.current[kind as usize].push(chunk);
        self.change_sum(checksum);
        Ok(())
    }

    fn change_sum(&self, by: u64) {
        if let Ok(mut pool) = self.segments.try_borrow_mut()
            && let Some(ledger) = pool.ledger()
        {
            ledger.change_sum(self.owner, by);
        }
    }
}

/// The check of a chunk's records with one more.
#[inline]
fn next_check(check: u32, record: &[u8]) -> u32 {
    record_check(&check.to_le_bytes(), &hash_key(record).to_le_bytes())
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes.get(offset..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
