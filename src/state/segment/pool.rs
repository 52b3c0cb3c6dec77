//! The pool: takes segments into use, and cuts regions out of them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tracing::debug;

use super::folder::SegmentFolder;
use super::maker::{PAGE_BYTES, SegmentMaker, segment_name, skip_number};
use super::preparer::{Preparer, SEGMENTS_AHEAD_MAX};
use super::region::{Region, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::state::ledger::{Ledger, LedgerIdentity, Owner, RegionEntry, SegmentLabel};
use crate::state::piece::corrupt;

/// The size of the first segment; each further one is twice as large, up to [`SEGMENT_BYTES_MAX`]. A state that is
/// content with it has no thread that makes segments ready, and no memory that waits to be wanted.
const SEGMENT_BYTES_MIN: usize = 1 << 20;

/// The size at which segments stop growing; only a region that is larger still gets a larger one of its own.
const SEGMENT_BYTES_MAX: usize = 32 << 20;

/// What is made ready beyond the next segment is at most one in so many of the bytes in use.
const AHEAD_SHARE: usize = 4;

/// A segment that the writer makes because none is ready is no larger: what is ready soon has the better pages.
const SEGMENT_BYTES_IN_NEED: usize = 2 << 20;

const LEDGER_NAME: &str = "segment-ledger";

/// Makes segments, and cuts regions out of them.
pub(in crate::state) struct SegmentPool {
    maker: SegmentMaker,
    /// The segment that regions are being cut from.
    current: Option<Cut>,
    next_bytes: usize,
    /// The size of all segments that were taken into use.
    bytes: usize,
    preparing: Preparing,
    /// Nothing when no later process is to take the segments up.
    ledger: Option<Ledger>,
}

/// A segment, and how much of it is given out.
struct Cut {
    segment: Arc<Segment>,
    used: usize,
    /// All of it was reserved when it was made.
    is_reserved: bool,
}

/// Whether segments are made ready.
enum Preparing {
    /// Not as long as the state is small.
    NotYet,
    Running(Preparer),
    /// The system has no thread to give, or no room.
    Never,
}

/// What an earlier process left: the regions of each owner, in the order in which they were cut out.
pub(in crate::state) struct Survivors {
    /// The epoch that was at hand.
    pub(in crate::state) epoch: u64,
    regions: Vec<(Owner, Region)>,
}

impl Survivors {
    /// Takes out the regions of one owner.
    pub(in crate::state) fn take(&mut self, owner: Owner) -> Vec<Region> {
        let (own, others) = std::mem::take(&mut self.regions)
            .into_iter()
            .partition(|(found, _)| *found == owner);
        self.regions = others;
        let own: Vec<(Owner, Region)> = own;
        own.into_iter().map(|(_, region)| region).collect()
    }
}

impl SegmentPool {
    /// A pool whose segments are memory that belongs to no file, and ends with the process.
    pub(in crate::state) fn anonymous() -> Self {
        Self::of(None, None)
    }

    /// A pool whose segments lie in `directory`, which is made if it is missing, and emptied. With an identity, it keeps
    /// a ledger, so that a later process can take the segments up.
    pub(in crate::state) fn open(
        directory: &Path,
        identity: Option<LedgerIdentity>,
    ) -> Result<Self> {
        let folder = Arc::new(SegmentFolder::prepare(directory)?);
        let ledger = match identity {
            None => None,
            Some(identity) => {
                let file = Segment::create_file(&folder, LEDGER_NAME, 0, Ledger::BYTES)?;
                file.reserve(0, Ledger::BYTES)?;
                let region = Region::of(&Arc::new(file), 0, Ledger::BYTES);
                Some(Ledger::begin(region, identity))
            }
        };
        Ok(Self::of(Some(folder), ledger))
    }

    fn of(folder: Option<Arc<SegmentFolder>>, ledger: Option<Ledger>) -> Self {
        Self {
            maker: SegmentMaker {
                folder,
                lineage: ledger.as_ref().map(Ledger::lineage),
            },
            current: None,
            next_bytes: SEGMENT_BYTES_MIN,
            bytes: 0,
            preparing: Preparing::NotYet,
            ledger,
        }
    }

    /// Takes up the segments that an earlier process left in `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when there are none of this identity, or they are not whole, or a change of structure was
    /// cut in half.
    pub(in crate::state) fn reopen(
        directory: &Path,
        identity: LedgerIdentity,
    ) -> Result<(Self, Survivors)> {
        let folder = Arc::new(SegmentFolder {
            directory: directory.to_path_buf(),
        });
        // Until all is known to be whole, an error must not remove what is there: the caller decides.
        let file = Segment::open_file(&folder, LEDGER_NAME, 0, Ledger::BYTES)?;
        let ledger = Ledger::resume(Region::of(&Arc::new(file), 0, Ledger::BYTES), identity)?;
        let mut segments = Vec::new();
        let mut names = vec![LEDGER_NAME.to_owned()];
        let mut bytes_in_all = 0;
        for (number, bytes) in ledger.segments()? {
            let name = segment_name(number);
            let segment = Arc::new(Segment::open_file(&folder, &name, number, bytes)?);
            let label = SegmentLabel {
                lineage: identity.lineage,
                number,
                bytes,
            };
            label.check(Region::of(&segment, 0, PAGE_BYTES).as_slice())?;
            skip_number(number);
            segments.push(segment);
            names.push(name);
            bytes_in_all += bytes;
        }
        let mut regions = Vec::new();
        // Segments are taken into use one after the other, whatever their numbers.
        let mut end_of_last = (0, 0);
        for entry in ledger.regions()? {
            let place = segments
                .iter()
                .position(|segment| segment.number == entry.segment)
                .ok_or_else(|| corrupt("the ledger names a segment that it does not list"))?;
            let segment = &segments[place];
            let end = entry.offset + entry.bytes;
            if entry.offset < PAGE_BYTES || end > segment.len() {
                return Err(corrupt("the ledger names a region outside its segment"));
            }
            if (place, entry.offset) < end_of_last {
                return Err(corrupt("two regions of the ledger overlap"));
            }
            end_of_last = (place, end);
            regions.push((entry.owner, Region::of(segment, entry.offset, entry.bytes)));
        }
        // What was made ready and never used.
        folder.remove_all_but(&names)?;
        let epoch = ledger.epoch();
        let mut pool = Self::of(Some(folder), Some(ledger));
        pool.next_bytes = SEGMENT_BYTES_MAX;
        pool.bytes = bytes_in_all;
        if let Some(last) = segments.len().checked_sub(1) {
            pool.current = Some(Cut {
                used: if end_of_last.0 == last && end_of_last.1 > 0 {
                    end_of_last.1
                } else {
                    PAGE_BYTES
                },
                segment: segments.swap_remove(last),
                is_reserved: false,
            });
        }
        Ok((pool, Survivors { epoch, regions }))
    }

    /// The start of the ledger that an earlier process left in `directory`, without taking anything up; nothing when
    /// there is none.
    pub(in crate::state) fn peek_at_ledger(directory: &Path) -> Vec<u8> {
        let mut start = Vec::new();
        if let Ok(file) = fs::File::open(directory.join(LEDGER_NAME)) {
            // What cannot be read is as good as missing.
            let _ = file.take(PAGE_BYTES as u64).read_to_end(&mut start);
        }
        start
    }

    /// Whose segments they are, if a later process can take them up.
    pub(in crate::state) fn lineage(&self) -> Option<u64> {
        self.ledger.as_ref().map(Ledger::lineage)
    }

    /// The ledger, if one is kept.
    pub(in crate::state) fn ledger(&mut self) -> Option<&mut Ledger> {
        self.ledger.as_mut()
    }

    /// Cuts out a region of at least `bytes`, filled with zeros, its room on the disk reserved.
    pub(in crate::state) fn region(&mut self, bytes: usize, owner: Owner) -> Result<Region> {
        let bytes = bytes
            .max(1)
            .checked_next_multiple_of(PAGE_BYTES)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Environment,
                    format!("a region of {bytes} bytes cannot be addressed"),
                )
            })?;
        let mut cut = match self.current.take() {
            Some(cut) if cut.segment.len() - cut.used >= bytes => cut,
            _ => self.next_segment(bytes)?,
        };
        let offset = cut.used;
        let outcome = if cut.is_reserved {
            Ok(())
        } else {
            cut.segment.reserve(offset, bytes)
        };
        if outcome.is_ok() {
            cut.used += bytes;
        }
        let segment = Arc::clone(&cut.segment);
        let is_half_used = cut.used >= segment.len() / 2;
        self.current = Some(cut);
        outcome?;
        if let Some(ledger) = &mut self.ledger {
            ledger.add_region(RegionEntry {
                segment: segment.number,
                owner,
                offset,
                bytes,
            });
        }
        if is_half_used && self.bytes > SEGMENT_BYTES_MIN {
            self.prepare_next();
        }
        Ok(Region::of(&segment, offset, bytes))
    }

    fn next_segment(&mut self, region_bytes: usize) -> Result<Cut> {
        let bytes_min = region_bytes.saturating_add(PAGE_BYTES);
        let mut ready = None;
        if let Preparing::Running(preparer) = &mut self.preparing
            // Any segment that is ready is large enough, and one of its own for a larger region costs no more.
            && bytes_min <= SEGMENT_BYTES_IN_NEED
        {
            ready = preparer.take();
            if ready.is_none() && preparer.has_ended() {
                self.preparing = Preparing::Never;
            }
        }
        let is_reserved = ready.is_some();
        let segment = match ready {
            Some(segment) => segment,
            None => self.segment_in_need(bytes_min)?,
        };
        Ok(self.take_into_use(segment, is_reserved))
    }

    fn take_into_use(&mut self, segment: Arc<Segment>, is_reserved: bool) -> Cut {
        self.bytes += segment.len();
        if let Some(ledger) = &mut self.ledger {
            ledger.add_segment(segment.number, segment.len());
        }
        Cut {
            segment,
            used: PAGE_BYTES,
            is_reserved,
        }
    }

    /// A segment that was not made ready.
    fn segment_in_need(&mut self, bytes_min: usize) -> Result<Arc<Segment>> {
        let bytes = match &self.preparing {
            Preparing::Running(_) => SEGMENT_BYTES_IN_NEED,
            Preparing::NotYet | Preparing::Never => self.following_bytes(),
        };
        let segment = self.maker.make(bytes.max(bytes_min))?;
        if let Preparing::Never = self.preparing {
            segment.ask_for_huge_pages();
        }
        Ok(segment)
    }

    /// Has the next segments made ready, as many as suits what is in use.
    fn prepare_next(&mut self) {
        if let Preparing::NotYet = self.preparing {
            self.preparing = match Preparer::start(self.maker.clone()) {
                Ok(preparer) => Preparing::Running(preparer),
                Err(error) => {
                    let reason = error.full_message();
                    debug!(reason, "segments are made when they are wanted");
                    Preparing::Never
                }
            };
        }
        let ahead = (self.bytes / AHEAD_SHARE / SEGMENT_BYTES_MAX).clamp(1, SEGMENTS_AHEAD_MAX);
        while let Preparing::Running(preparer) = &mut self.preparing
            && preparer.outstanding() < ahead
            && preparer.want(self.next_bytes.max(2 * SEGMENT_BYTES_IN_NEED))
        {
            self.following_bytes();
        }
    }

    /// The size of the segment that follows.
    fn following_bytes(&mut self) -> usize {
        let bytes = self.next_bytes;
        self.next_bytes = (bytes * 2).min(SEGMENT_BYTES_MAX);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyGroupRange;

    #[test]
    fn regions_do_not_overlap_and_start_as_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let in_files = || SegmentPool::open(&folder.path().join("state"), None).unwrap();
        // With segments made ready and without: each kind of memory, as it comes and where there is no thread to be had.
        for (mut pool, has_threads) in [
            (in_files(), true),
            (in_files(), false),
            (SegmentPool::anonymous(), true),
            (SegmentPool::anonymous(), false),
        ] {
            if !has_threads {
                pool.preparing = Preparing::Never;
            }
            let mut regions: Vec<Region> = (0..40)
                .map(|index| pool.region(300_000 + index, Owner::Chunks).unwrap())
                .collect();
            assert_eq!(
                matches!(pool.preparing, Preparing::Running(_)),
                has_threads,
                "12 MB are no small state"
            );
            for (index, region) in regions.iter_mut().enumerate() {
                assert!(region.as_slice().iter().all(|&byte| byte == 0), "{index}");
                region.as_mut_slice().fill(index as u8 + 1);
            }
            for (index, region) in regions.iter().enumerate() {
                let expected = index as u8 + 1;
                assert_eq!(region.len(), (300_000 + index).next_multiple_of(PAGE_BYTES));
                assert!(
                    region.as_slice().iter().all(|&byte| byte == expected),
                    "{index}"
                );
            }
        }
    }

    #[test]
    fn a_small_state_has_no_thread_and_nothing_made_ready() {
        let mut pool = SegmentPool::anonymous();
        pool.region(SEGMENT_BYTES_MIN - PAGE_BYTES, Owner::Chunks)
            .unwrap();
        assert!(matches!(pool.preparing, Preparing::NotYet));
        pool.region(SEGMENT_BYTES_MIN, Owner::Chunks).unwrap();
        assert!(matches!(pool.preparing, Preparing::Running(_)));
    }

    #[test]
    fn segments_are_taken_up_in_the_order_of_their_use_and_what_was_never_used_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, copy) = (folder.path().join("state"), folder.path().join("copy"));
        let identity = LedgerIdentity {
            lineage: 7,
            boot: 1,
            max_parallelism: 4,
            key_groups: KeyGroupRange::of_subtask(0, 1, 4),
        };
        let mut pool = SegmentPool::open(&directory, Some(identity)).unwrap();
        let made_early = pool.maker.make(SEGMENT_BYTES_MIN).unwrap();
        let never_used = pool.maker.make(SEGMENT_BYTES_MIN).unwrap();
        let mut first = pool.region(PAGE_BYTES, Owner::Table(0)).unwrap();
        first.as_mut_slice().fill(1);
        let early_number = made_early.number;
        pool.current = Some(pool.take_into_use(made_early, false));
        let mut second = pool.region(PAGE_BYTES, Owner::Table(0)).unwrap();
        second.as_mut_slice().fill(2);

        // What a process that is killed leaves.
        fs::create_dir(&copy).unwrap();
        for file in fs::read_dir(&directory).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        let (mut pool, mut survivors) = SegmentPool::reopen(&copy, identity).unwrap();
        let regions = survivors.take(Owner::Table(0));
        let contents: Vec<u8> = regions.iter().map(|region| region.as_slice()[0]).collect();
        assert_eq!(contents, [1, 2]);
        assert!(!copy.join(segment_name(never_used.number)).exists());
        pool.region(PAGE_BYTES, Owner::Table(0)).unwrap();
        let current = pool.current.map(|cut| (cut.segment.number, cut.used));
        assert_eq!(current, Some((early_number, 3 * PAGE_BYTES)));
    }

    #[test]
    fn a_region_outlives_its_pool_and_the_folder_goes_with_the_last_region() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("state");
        let mut pool = SegmentPool::open(&directory, None).unwrap();
        let mut region = pool.region(10, Owner::Chunks).unwrap();
        drop(pool);
        region.as_mut_slice().fill(7);
        assert_eq!(region.as_slice()[9], 7);
        assert!(directory.exists());
        drop(region);
        assert!(!directory.exists());
    }

    #[test]
    fn what_an_earlier_run_left_is_removed_and_what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("segment-77"), "old").unwrap();
        fs::write(folder.path().join("letter.txt"), "mine").unwrap();
        let _pool = SegmentPool::open(folder.path(), None).unwrap();
        assert!(!folder.path().join("segment-77").exists());
        assert!(folder.path().join("letter.txt").exists());
    }

    #[test]
    fn more_than_the_disk_can_hold_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut pool = SegmentPool::open(folder.path(), None).unwrap();
        let error = pool.region(1 << 46, Owner::Chunks).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Environment);
        assert!(error.to_string().contains("segment-"), "{error}");
        pool.region(10, Owner::Chunks).unwrap();
    }
}
