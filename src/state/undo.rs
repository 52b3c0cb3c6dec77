//! The undo log: what records were before an epoch first touched them.
//!
//! It never leaves the machine. When the process is killed, the next one takes back the epochs that no checkpoint
//! covers: what was created is removed, and then what was changed or deleted gets its former value. A record is in the
//! log of an epoch at most once as changed; so the order within an epoch does not matter, and the epochs are taken
//! back newest first.
//!
//! A chunk of the log starts with 32 bytes, which are kept up to date with every record:
//!
//! ```text
//! offset  size  content
//! 0       8     "FMundolg"
//! 8       8     epoch
//! 16      8     bytes that are written, these 32 included
//! 24      8     0 for records that were created, 1 for those that were changed
//! ```
//!
//! Records lie as in deltas; of one that was created only the key counts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{Ordering, compiler_fence};

use super::chunk::{Chunk, ChunkPool};
use super::ledger::Owner;
use super::piece::corrupt;
use super::segment::{Region, SegmentPool};
use crate::error::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"FMundolg";
const HEADER_BYTES: usize = 32;
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
    epoch: u64,
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
        Self {
            pool: ChunkPool::new(segments, Owner::Undo(state)),
            epoch,
            current: [Vec::new(), Vec::new()],
            kept: VecDeque::new(),
        }
    }

    /// What an earlier process left in `regions` of the epochs after `barrier`, newest first.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    pub(super) fn surviving(regions: &[Region], barrier: u64) -> Result<Vec<SurvivingEpoch<'_>>> {
        let mut epochs: BTreeMap<u64, SurvivingEpoch<'_>> = BTreeMap::new();
        for region in regions {
            let content = region.as_slice();
            if !content.starts_with(&MAGIC) || word(content, 8) <= barrier {
                continue;
            }
            let used = word(content, 16) as usize;
            let kind = word(content, 24) as usize;
            if !(HEADER_BYTES..=content.len()).contains(&used) || kind > 1 {
                return Err(corrupt("an undo log is damaged"));
            }
            let epoch = epochs.entry(word(content, 8)).or_default();
            epoch.records[kind].push(&content[HEADER_BYTES..used]);
        }
        Ok(epochs.into_values().rev().collect())
    }

    /// Takes over the chunks of an earlier process, whose content is of no use any more.
    pub(super) fn reuse(&mut self, mut regions: Vec<Region>) {
        for region in &mut regions {
            region.as_mut_slice()[..MAGIC.len()].fill(0);
        }
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
        let start = chunk.used();
        fill(&mut chunk.rest_mut()[..bytes])?;
        chunk.advance(bytes);
        compiler_fence(Ordering::SeqCst);
        let used = (start + bytes) as u64;
        chunk.written_from_mut(0)[16..24].copy_from_slice(&used.to_le_bytes());
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
        header[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        header[16..24].copy_from_slice(&(HEADER_BYTES as u64).to_le_bytes());
        header[24..32].copy_from_slice(&(kind as u64).to_le_bytes());
        compiler_fence(Ordering::SeqCst);
        header[..8].copy_from_slice(&MAGIC);
        chunk.advance(HEADER_BYTES);
        self.current[kind as usize].push(chunk);
        Ok(())
    }
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes.get(offset..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
