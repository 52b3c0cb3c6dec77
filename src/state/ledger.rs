//! The ledger: what a later process must know to take up the working segments of one that was killed.
//!
//! It is a file beside the segments, written as things happen, and never synced: it is of use only as long as the
//! machine has not been started anew.
//!
//! ```text
//! offset  size  content
//! 0       8     "FMledger"
//! 8       8     version of this format: 2
//! 16      8     lineage: drawn anew by each run that begins with empty segments
//! 24      8     hash of the machine's boot id
//! 32      8     number of key groups of the job, first and last-but-one of the subtask's, 0: two bytes each
//! 40      8     XXH3 of the bytes before
//! 64      8     the epoch at hand
//! 72      8     the oldest barrier that can be gone back to: the number of the epoch that it ended
//! 80      8     1 while the structure is changed
//! 88      8     number of entries
//! 96      8     number of states
//! 128     ...   for each state: XXH3 of its name and types
//! 4096    ...   for each state: the sum of its sub-tables in use, the sum of its chunks of undo logs in use, 8 bytes each
//! 12288   ...   entries, 24 bytes each
//! ```
//!
//! From 64 to 104, and in the sums, the lower six bytes are the number, and the upper two the check of it and of where it
//! lies. A sum is the exclusive or of the lower six bytes of the checksums that the headers of sub-tables and chunks end
//! with: whatever is missing, or there without having been made, is noticed.
//!
//! An entry is the number of a segment, an owner, the first page and the number of pages, 4 bytes each, and the XXH3 of
//! these. An owner is a kind in the topmost byte (0 a new segment, 1 a table, 2 a heap, 3 undo logs, 4 chunks) and the
//! number of a state in the others.

use std::sync::atomic::{Ordering, compiler_fence};

use super::piece::corrupt;
use super::segment::Region;
use crate::error::Result;
use crate::model::{KeyGroupRange, hash_key};

const MAGIC: [u8; 8] = *b"FMledger";
const LABEL_MAGIC: [u8; 8] = *b"FMsegmnt";
const VERSION: u64 = 2;
const PAGE_BYTES: usize = 4096;
const EPOCH: usize = 64;
const FLOOR: usize = 72;
const CHANGING: usize = 80;
const ENTRIES: usize = 88;
const STATES: usize = 96;
const STATE_HASHES: usize = 128;
const STATES_MAX: usize = (PAGE_BYTES - STATE_HASHES) / 8;
const SUMS: usize = PAGE_BYTES;
const ENTRIES_START: usize = SUMS + 2 * PAGE_BYTES;
const ENTRY_BYTES: usize = 24;
const NUMBER_BITS: u32 = 48;

/// Whose segments they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LedgerIdentity {
    /// Drawn anew by each run that begins with empty segments.
    pub(super) lineage: u64,
    /// The hash of the machine's boot id: what lies in segments is not synced.
    pub(super) boot: u64,
    /// The number of key groups of the job.
    pub(super) max_parallelism: u16,
    /// Those of the subtask.
    pub(super) key_groups: KeyGroupRange,
}

/// Who a region belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The table of the state with this number.
    Table(u32),
    /// The heap of the state with this number.
    Heap(u32),
    /// The undo logs of the state with this number.
    Undo(u32),
    /// Deltas and bases on their way out, which a later process has no use for.
    Chunks,
}

/// A region that was cut out of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RegionEntry {
    pub(super) segment: u32,
    pub(super) owner: Owner,
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

/// The first page of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentLabel {
    pub(super) lineage: u64,
    pub(super) number: u32,
    pub(super) bytes: usize,
}

/// The ledger of one operator subtask.
pub(super) struct Ledger {
    region: Region,
    lineage: u64,
    /// There was no room for an entry or a state: no later process may use the segments.
    is_full: bool,
}

impl Ledger {
    /// The size of its file.
    pub(super) const BYTES: usize = 256 << 10;

    /// A new ledger, in a region of [`Ledger::BYTES`] zeros.
    pub(super) fn begin(region: Region, identity: LedgerIdentity) -> Self {
        let mut ledger = Self {
            region,
            lineage: identity.lineage,
            is_full: false,
        };
        ledger.set(EPOCH, 1);
        for offset in [FLOOR, CHANGING, ENTRIES, STATES] {
            ledger.set(offset, 0);
        }
        ledger.region.as_mut_slice()[..48].copy_from_slice(&identity_bytes(identity));
        ledger
    }

    /// The ledger that an earlier process left in `region`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when it has another identity, or a change of structure was cut in half.
    pub(super) fn resume(region: Region, identity: LedgerIdentity) -> Result<Self> {
        if region.as_slice()[..48] != identity_bytes(identity) {
            return Err(corrupt(
                "the ledger of the working segments has another identity",
            ));
        }
        let ledger = Self {
            region,
            lineage: identity.lineage,
            is_full: false,
        };
        let states = ledger.states();
        let sums = (0..states).flat_map(|state| [Owner::Table(state), Owner::Undo(state)]);
        let counters = [EPOCH, FLOOR, CHANGING, ENTRIES, STATES].into_iter();
        for offset in counters.chain(sums.filter_map(Owner::sum_offset)) {
            if number_at(ledger.region.as_slice(), offset).is_none() {
                return Err(corrupt("a number of the ledger is damaged"));
            }
        }
        if ledger.get(CHANGING) != 0 {
            return Err(corrupt(
                "a change of the structure of working state was cut in half",
            ));
        }
        Ok(ledger)
    }

    /// Whether a ledger that starts with these bytes says that its segments can go back to the barrier that ended
    /// `epoch`.
    pub(super) fn may_go_back(start: &[u8], identity: LedgerIdentity, epoch: u64) -> bool {
        let (Some(floor), Some(at_hand)) = (number_at(start, FLOOR), number_at(start, EPOCH))
        else {
            return false;
        };
        start.starts_with(&identity_bytes(identity))
            && number_at(start, CHANGING) == Some(0)
            && (floor..at_hand).contains(&epoch)
    }

    /// Whose it is.
    pub(super) fn lineage(&self) -> u64 {
        self.lineage
    }

    /// The epoch at hand.
    pub(super) fn epoch(&self) -> u64 {
        self.get(EPOCH)
    }

    /// An epoch has begun.
    pub(super) fn set_epoch(&mut self, epoch: u64) {
        self.set(EPOCH, epoch);
    }

    /// The oldest barrier that can be gone back to: the number of the epoch that it ended.
    pub(super) fn floor(&self) -> u64 {
        self.get(FLOOR)
    }

    /// Barriers before the one that ended this epoch can no longer be gone back to.
    pub(super) fn set_floor(&mut self, epoch: u64) {
        self.set(FLOOR, epoch);
    }

    /// Until [`Ledger::end_change`], the segments are of no use to a later process.
    pub(super) fn begin_change(&mut self) {
        self.set(CHANGING, 1);
    }

    /// The structure is whole again.
    pub(super) fn end_change(&mut self) {
        if !self.is_full {
            self.set(CHANGING, 0);
        }
    }

    /// The number of the state with this hash of name and types, if it has one.
    pub(super) fn state(&self, hash: u64) -> Option<u32> {
        let states = &self.region.as_slice()[STATE_HASHES..PAGE_BYTES];
        let mut hashes = states.chunks_exact(8).take(self.states() as usize);
        let found = hashes.position(|found| *found == hash.to_le_bytes());
        found.map(|number| number as u32)
    }

    /// What is noted under this number is of no use any more.
    pub(super) fn forget_state(&mut self, number: u32) {
        self.set_hash(number, 0);
    }

    /// Gives a state the next number.
    pub(super) fn add_state(&mut self, hash: u64) -> u32 {
        let number = self.states();
        if number as usize == STATES_MAX {
            self.fill_up();
            return number;
        }
        self.set_hash(number, hash);
        for owner in [Owner::Table(number), Owner::Undo(number)] {
            if let Some(offset) = owner.sum_offset() {
                self.set(offset, 0);
            }
        }
        self.set(STATES, u64::from(number) + 1);
        number
    }

    /// The sum of what an owner has in use: sub-tables, or chunks of undo logs. Others have none.
    pub(super) fn sum(&self, owner: Owner) -> u64 {
        owner.sum_offset().map_or(0, |offset| self.get(offset))
    }

    /// What has this checksum is in use now, or is not any more; or all that `by` is the exclusive or of.
    pub(super) fn change_sum(&mut self, owner: Owner, by: u64) {
        if let Some(offset) = owner.sum_offset() {
            self.set(offset, self.get(offset) ^ sum_of(by));
        }
    }

    fn set_hash(&mut self, number: u32, hash: u64) {
        let start = STATE_HASHES + 8 * number as usize;
        self.store(start, hash.to_le_bytes());
    }

    /// A segment was made.
    pub(super) fn add_segment(&mut self, number: u32, bytes: usize) {
        self.add([number, 0, 0, (bytes / PAGE_BYTES) as u32]);
    }

    /// A region was cut out.
    pub(super) fn add_region(&mut self, entry: RegionEntry) {
        self.add([
            entry.segment,
            entry.owner.to_number(),
            (entry.offset / PAGE_BYTES) as u32,
            (entry.bytes / PAGE_BYTES) as u32,
        ]);
    }

    /// The segments, with their sizes, in the order in which they were made.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`].
    pub(super) fn segments(&self) -> Result<Vec<(u32, usize)>> {
        let entries = self.entries()?.into_iter();
        Ok(entries
            .filter(|[_, owner, _, _]| *owner == 0)
            .map(|[number, _, _, pages]| (number, pages as usize * PAGE_BYTES))
            .collect())
    }

    /// The regions, in the order in which they were cut out.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`].
    pub(super) fn regions(&self) -> Result<Vec<RegionEntry>> {
        let entries = self.entries()?.into_iter();
        entries
            .filter(|[_, owner, _, _]| *owner != 0)
            .map(|[segment, owner, page, pages]| {
                Ok(RegionEntry {
                    segment,
                    owner: Owner::from_number(owner)?,
                    offset: page as usize * PAGE_BYTES,
                    bytes: pages as usize * PAGE_BYTES,
                })
            })
            .collect()
    }

    fn states(&self) -> u32 {
        self.get(STATES).min(STATES_MAX as u64) as u32
    }

    fn entries(&self) -> Result<Vec<[u32; 4]>> {
        let count = self.get(ENTRIES) as usize;
        let entries = self.region.as_slice()[ENTRIES_START..].chunks_exact(ENTRY_BYTES);
        if count > entries.len() {
            return Err(corrupt("the ledger says that it has more entries than fit"));
        }
        let entry = |bytes: &[u8]| {
            let (content, checksum) = bytes.split_at(16);
            if hash_key(content).to_le_bytes() != *checksum {
                return Err(corrupt("an entry of the ledger is damaged"));
            }
            let mut numbers = [0; 4];
            for (number, bytes) in numbers.iter_mut().zip(content.chunks_exact(4)) {
                *number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
            Ok(numbers)
        };
        entries.take(count).map(entry).collect()
    }

    fn add(&mut self, numbers: [u32; 4]) {
        let count = self.get(ENTRIES) as usize;
        let start = ENTRIES_START + count * ENTRY_BYTES;
        let mut content = [0; 16];
        for (bytes, number) in content.chunks_exact_mut(4).zip(numbers) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        let Some(entry) = self
            .region
            .as_mut_slice()
            .get_mut(start..start + ENTRY_BYTES)
        else {
            return self.fill_up();
        };
        entry[..16].copy_from_slice(&content);
        entry[16..].copy_from_slice(&hash_key(&content).to_le_bytes());
        self.set(ENTRIES, count as u64 + 1);
    }

    fn fill_up(&mut self) {
        self.is_full = true;
        self.begin_change();
    }

    /// A number that was found good when the ledger was taken up, or written since.
    fn get(&self, offset: usize) -> u64 {
        number_at(self.region.as_slice(), offset).unwrap_or_default()
    }

    fn set(&mut self, offset: usize, number: u64) {
        self.store(offset, checked_number(offset, number).to_le_bytes());
    }

    /// What was stored before is in memory before it, and what is stored later after it, as far as the compiler goes: a
    /// process that is killed leaves a state that it has been in.
    fn store(&mut self, offset: usize, bytes: [u8; 8]) {
        compiler_fence(Ordering::SeqCst);
        self.region.as_mut_slice()[offset..offset + 8].copy_from_slice(&bytes);
        compiler_fence(Ordering::SeqCst);
    }
}

/// The number of six bytes with its check above it.
fn checked_number(offset: usize, number: u64) -> u64 {
    let number = sum_of(number);
    let check = hash_key(&(number ^ (offset as u64) << 48).to_le_bytes());
    number | check << NUMBER_BITS
}

/// The number that lies there; nothing when it is not what its check says.
fn number_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let word = u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?);
    let number = sum_of(word);
    (checked_number(offset, number) == word).then_some(number)
}

/// As much of a checksum, or of an exclusive or of several, as a sum has room for.
pub(super) fn sum_of(checksums: u64) -> u64 {
    checksums & ((1 << NUMBER_BITS) - 1)
}

impl Owner {
    /// Where the ledger has the sum of what it has in use.
    fn sum_offset(self) -> Option<usize> {
        let (state, of_state) = match self {
            Self::Table(state) => (state as usize, 0),
            Self::Undo(state) => (state as usize, 8),
            Self::Heap(_) | Self::Chunks => return None,
        };
        (state < STATES_MAX).then_some(SUMS + 16 * state + of_state)
    }

    fn to_number(self) -> u32 {
        match self {
            Self::Table(state) => 1 << 24 | state,
            Self::Heap(state) => 2 << 24 | state,
            Self::Undo(state) => 3 << 24 | state,
            Self::Chunks => 4 << 24,
        }
    }

    fn from_number(number: u32) -> Result<Self> {
        let state = number & 0xff_ffff;
        match number >> 24 {
            1 => Ok(Self::Table(state)),
            2 => Ok(Self::Heap(state)),
            3 => Ok(Self::Undo(state)),
            4 => Ok(Self::Chunks),
            other => Err(corrupt(format!("{other} is not a kind of owner"))),
        }
    }
}

impl SegmentLabel {
    /// Writes it into the segment's first page.
    pub(super) fn write(self, page: &mut [u8]) {
        page[..40].copy_from_slice(&self.to_bytes());
    }

    /// Whether the segment's first page says the same.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when it does not.
    pub(super) fn check(self, page: &[u8]) -> Result<()> {
        if page[..40] == self.to_bytes() {
            Ok(())
        } else {
            Err(corrupt(format!(
                "working segment {} is another one than its name says",
                self.number
            )))
        }
    }

    fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&LABEL_MAGIC);
        bytes[8..16].copy_from_slice(&self.lineage.to_le_bytes());
        bytes[16..24].copy_from_slice(&u64::from(self.number).to_le_bytes());
        bytes[24..32].copy_from_slice(&(self.bytes as u64).to_le_bytes());
        let checksum = hash_key(&bytes[..32]);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

fn identity_bytes(identity: LedgerIdentity) -> [u8; 48] {
    let LedgerIdentity {
        lineage,
        boot,
        max_parallelism,
        key_groups,
    } = identity;
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&lineage.to_le_bytes());
    bytes[24..32].copy_from_slice(&boot.to_le_bytes());
    bytes[32..34].copy_from_slice(&max_parallelism.to_le_bytes());
    bytes[34..36].copy_from_slice(&key_groups.start.to_le_bytes());
    bytes[36..38].copy_from_slice(&key_groups.end.to_le_bytes());
    let checksum = hash_key(&bytes[..40]);
    bytes[40..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}
