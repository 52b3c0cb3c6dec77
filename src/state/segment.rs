//! Segments: memory-mapped files that all of a state's bytes lie in, cut into regions with one owner each.
//!
//! Blocks are reserved with `fallocate` before they are touched: a full tmpfs or disk is then an error here, and not a
//! SIGBUS at some later store. Under miri, which has no files to map, a segment is heap memory.
//!
//! The first page of each segment says which one it is, and the ledger says who owns which region, so that a later
//! process can take them up again.

use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use self::memory::Memory;
use super::ledger::{Ledger, LedgerIdentity, Owner, RegionEntry, SegmentLabel};
use super::piece::corrupt;
use crate::error::{Error, ErrorKind, Result};

/// The size of the first segment; each further one is twice as large, up to [`SEGMENT_BYTES_MAX`].
const SEGMENT_BYTES_MIN: usize = 1 << 20;

/// The size at which segments stop growing; only a region that is larger still gets a larger one of its own.
const SEGMENT_BYTES_MAX: usize = 64 << 20;

/// Segments from this size on lie at an address that huge pages can be mapped to.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Regions start at page boundaries, so that reserving one never touches another.
const PAGE_BYTES: usize = 4096;

const LEDGER_NAME: &str = "segment-ledger";

/// Numbers are never used again in a process: sealed bytes can keep a segment of an earlier run of the same job alive,
/// and its file must not be mistaken for one of this run when it is removed.
static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

/// Makes segments, and cuts regions out of them.
pub(super) struct SegmentPool {
    folder: Arc<SegmentFolder>,
    /// The segment that regions are being cut from, and how much of it is given out.
    current: Option<(Arc<Segment>, usize)>,
    next_bytes: usize,
    /// Nothing when no later process is to take the segments up.
    ledger: Option<Ledger>,
}

/// What an earlier process left: the regions of each owner, in the order in which they were cut out.
pub(super) struct Survivors {
    /// The epoch that was at hand.
    pub(super) epoch: u64,
    regions: Vec<(Owner, Region)>,
}

impl Survivors {
    /// Takes out the regions of one owner.
    pub(super) fn take(&mut self, owner: Owner) -> Vec<Region> {
        let (own, others) = std::mem::take(&mut self.regions)
            .into_iter()
            .partition(|(found, _)| *found == owner);
        self.regions = others;
        let own: Vec<(Owner, Region)> = own;
        own.into_iter().map(|(_, region)| region).collect()
    }
}

impl SegmentPool {
    /// A pool whose segments lie in `directory`, which is made if it is missing, and emptied. With an identity, it keeps
    /// a ledger, so that a later process can take the segments up.
    pub(super) fn open(directory: &Path, identity: Option<LedgerIdentity>) -> Result<Self> {
        let folder = Arc::new(SegmentFolder::prepare(directory)?);
        let ledger = match identity {
            None => None,
            Some(identity) => {
                let file = Segment::create_file(&folder, LEDGER_NAME, 0, Ledger::BYTES)?;
                file.reserve(0, Ledger::BYTES)?;
                Some(Ledger::begin(Region::of(&file, 0, Ledger::BYTES), identity))
            }
        };
        Ok(Self {
            folder,
            current: None,
            next_bytes: SEGMENT_BYTES_MIN,
            ledger,
        })
    }

    /// Takes up the segments that an earlier process left in `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when there are none of this identity, or they are not whole, or a change of structure was
    /// cut in half.
    pub(super) fn reopen(directory: &Path, identity: LedgerIdentity) -> Result<(Self, Survivors)> {
        let folder = Arc::new(SegmentFolder {
            directory: directory.to_path_buf(),
        });
        // Until all is known to be whole, an error must not remove what is there: the caller decides.
        let file = Segment::open_file(&folder, LEDGER_NAME, 0, Ledger::BYTES)?;
        let ledger = Ledger::resume(Region::of(&file, 0, Ledger::BYTES), identity)?;
        let mut segments = Vec::new();
        for (number, bytes) in ledger.segments()? {
            let segment = Segment::open_file(&folder, &segment_name(number), number, bytes)?;
            let label = SegmentLabel {
                lineage: identity.lineage,
                number,
                bytes,
            };
            label.check(Region::of(&segment, 0, PAGE_BYTES).as_slice())?;
            segments.push((number, segment));
        }
        let mut regions = Vec::new();
        let mut end_of_last = (0, 0);
        for entry in ledger.regions()? {
            let (_, segment) = segments
                .iter()
                .find(|(number, _)| *number == entry.segment)
                .ok_or_else(|| corrupt("the ledger names a segment that it does not list"))?;
            let end = entry.offset + entry.bytes;
            if entry.offset < PAGE_BYTES || end > segment.memory.len() {
                return Err(corrupt("the ledger names a region outside its segment"));
            }
            if (entry.segment, entry.offset) < end_of_last {
                return Err(corrupt("two regions of the ledger overlap"));
            }
            end_of_last = (entry.segment, end);
            regions.push((entry.owner, Region::of(segment, entry.offset, entry.bytes)));
        }
        let last = segments.last();
        if let Some((number, _)) = last {
            NEXT_NUMBER.fetch_max(number + 1, Ordering::Relaxed);
        }
        let pool = Self {
            current: last.map(|(number, segment)| {
                let used = if end_of_last.0 == *number {
                    end_of_last.1
                } else {
                    PAGE_BYTES
                };
                (Arc::clone(segment), used)
            }),
            next_bytes: SEGMENT_BYTES_MAX,
            folder,
            ledger: Some(ledger),
        };
        let epoch = pool.ledger.as_ref().map_or(0, Ledger::epoch);
        Ok((pool, Survivors { epoch, regions }))
    }

    /// Whose segments they are, if a later process can take them up.
    pub(super) fn lineage(&self) -> Option<u64> {
        self.ledger.as_ref().map(Ledger::lineage)
    }

    /// The ledger, if one is kept.
    pub(super) fn ledger(&mut self) -> Option<&mut Ledger> {
        self.ledger.as_mut()
    }

    /// Cuts out a region of at least `bytes`, filled with zeros, its room on the disk reserved.
    pub(super) fn region(&mut self, bytes: usize, owner: Owner) -> Result<Region> {
        let bytes = bytes
            .max(1)
            .checked_next_multiple_of(PAGE_BYTES)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Environment,
                    format!("a region of {bytes} bytes cannot be addressed"),
                )
            })?;
        let (segment, offset) = match &self.current {
            Some((segment, used)) if segment.memory.len() - used >= bytes => {
                (Arc::clone(segment), *used)
            }
            _ => (self.next_segment(bytes)?, PAGE_BYTES),
        };
        segment.reserve(offset, bytes)?;
        self.current = Some((Arc::clone(&segment), offset + bytes));
        if let Some(ledger) = &mut self.ledger {
            ledger.add_region(RegionEntry {
                segment: segment.number,
                owner,
                offset,
                bytes,
            });
        }
        Ok(Region::of(&segment, offset, bytes))
    }

    fn next_segment(&mut self, bytes_min: usize) -> Result<Arc<Segment>> {
        let bytes = self.next_bytes.max(bytes_min.saturating_add(PAGE_BYTES));
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let segment = Segment::create_file(&self.folder, &segment_name(number), number, bytes)?;
        segment.reserve(0, PAGE_BYTES)?;
        if let Some(ledger) = &mut self.ledger {
            let label = SegmentLabel {
                lineage: ledger.lineage(),
                number,
                bytes,
            };
            label.write(Region::of(&segment, 0, PAGE_BYTES).as_mut_slice());
            ledger.add_segment(number, bytes);
        }
        self.next_bytes = (self.next_bytes * 2).min(SEGMENT_BYTES_MAX);
        Ok(segment)
    }
}

/// A range of a segment that nobody else can reach. Its memory stays mapped as long as the region lives.
pub(super) struct Region {
    start: NonNull<u8>,
    bytes: usize,
    _segment: Arc<Segment>,
}

// SAFETY: a region is the only owner of its range (the pool never gives a byte out twice), so moving it to another
// thread moves the right to those bytes; the mapping itself is bound to no thread.
unsafe impl Send for Region {}

impl Region {
    /// A range of a segment. The caller sees to it that nobody else has a byte of it.
    fn of(segment: &Arc<Segment>, offset: usize, bytes: usize) -> Self {
        assert!(
            bytes <= segment.memory.len() - offset,
            "a region lies outside its segment"
        );
        Self {
            start: segment.memory.pointer(offset),
            bytes,
            _segment: Arc::clone(segment),
        }
    }

    /// How many bytes it holds.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// The address of one of its bytes, valid as long as the region lives. The first lies on a page boundary.
    #[inline]
    pub(super) fn pointer(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.bytes, "a block lies outside its region");
        // SAFETY: the offset lies within the region, as asserted.
        unsafe { self.start.add(offset) }
    }

    /// Its bytes.
    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: the range is mapped while `_segment` lives, holds initialised bytes from the start (zeros), and is
        // written through this region alone, which is borrowed here.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    /// Its bytes, to be written.
    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and the region is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

/// One mapped file. The file is removed with it.
struct Segment {
    memory: Memory,
    number: u32,
    path: PathBuf,
    _folder: Arc<SegmentFolder>,
}

impl Segment {
    fn create_file(
        folder: &Arc<SegmentFolder>,
        name: &str,
        number: u32,
        bytes: usize,
    ) -> Result<Arc<Self>> {
        let path = folder.directory.join(name);
        let memory = Memory::create(&path, bytes).map_err(|source| {
            Error::io(
                format!("create segment {} of {bytes} bytes", path.display()),
                source,
            )
        })?;
        Ok(Self::of(folder, memory, number, path))
    }

    /// The file that an earlier process made with so many bytes.
    fn open_file(
        folder: &Arc<SegmentFolder>,
        name: &str,
        number: u32,
        bytes: usize,
    ) -> Result<Arc<Self>> {
        let path = folder.directory.join(name);
        let memory = Memory::open(&path, bytes)
            .map_err(|source| Error::io(format!("open segment {}", path.display()), source))?;
        Ok(Self::of(folder, memory, number, path))
    }

    fn of(folder: &Arc<SegmentFolder>, memory: Memory, number: u32, path: PathBuf) -> Arc<Self> {
        if memory.len() >= HUGE_PAGE_BYTES {
            memory.ask_for_huge_pages();
        }
        Arc::new(Self {
            memory,
            number,
            path,
            _folder: Arc::clone(folder),
        })
    }

    fn reserve(&self, offset: usize, bytes: usize) -> Result<()> {
        self.memory.reserve(offset, bytes).map_err(|source| {
            Error::io(
                format!("reserve {bytes} bytes in {}", self.path.display()),
                source,
            )
        })
    }
}

fn segment_name(number: u32) -> String {
    format!("segment-{number}")
}

impl Drop for Segment {
    fn drop(&mut self) {
        // Best effort: a file that stays behind is removed when the folder is next used.
        _ = fs::remove_file(&self.path);
    }
}

/// The folder of a subtask's segments. It is removed with the last of them.
struct SegmentFolder {
    directory: PathBuf,
}

impl SegmentFolder {
    fn prepare(directory: &Path) -> Result<Self> {
        let fail = |what: &str, path: &Path, source| {
            Err(Error::io(format!("{what} {}", path.display()), source))
        };
        if let Err(source) = fs::create_dir_all(directory) {
            return fail("create state folder", directory, source);
        }
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(source) => return fail("read state folder", directory, source),
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(source) => return fail("read state folder", directory, source),
            };
            // Only what a segment pool made is removed: the folder may be somebody's home by mistake.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("segment-")
                && let Err(source) = fs::remove_file(&path)
            {
                return fail("remove old segment", &path, source);
            }
        }
        Ok(Self {
            directory: directory.to_path_buf(),
        })
    }
}

impl Drop for SegmentFolder {
    fn drop(&mut self) {
        // Best effort, and only when it is empty.
        _ = fs::remove_dir(&self.directory);
    }
}

#[cfg(not(miri))]
mod memory {
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::ptr::NonNull;

    use memmap2::{MmapOptions, MmapRaw};
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    /// A mapped file, sparse at first.
    pub(super) struct Memory {
        map: MmapRaw,
        file: File,
    }

    impl Memory {
        pub(super) fn create(path: &Path, bytes: usize) -> io::Result<Self> {
            // An earlier run of the same job removes the folder when the last bytes that it sealed are dropped, and
            // that can be after this run has begun.
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)?;
            file.set_len(bytes as u64)?;
            let map = MmapOptions::new().len(bytes).map_raw(&file)?;
            Ok(Self { map, file })
        }

        /// The file that another process made with so many bytes.
        pub(super) fn open(path: &Path, bytes: usize) -> io::Result<Self> {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            if file.metadata()?.len() != bytes as u64 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it does not have {bytes} bytes"),
                ));
            }
            let map = MmapOptions::new().len(bytes).map_raw(&file)?;
            Ok(Self { map, file })
        }

        /// What the kernel makes of it is up to its settings; it is faster with them, and right without.
        pub(super) fn ask_for_huge_pages(&self) {
            #[cfg(target_os = "linux")]
            let _ = self.map.advise(memmap2::Advice::HugePage);
        }

        pub(super) fn len(&self) -> usize {
            self.map.len()
        }

        /// Makes sure that the range has its blocks on the disk.
        pub(super) fn reserve(&self, offset: usize, bytes: usize) -> io::Result<()> {
            match fallocate(
                &self.file,
                FallocateFlags::empty(),
                offset as u64,
                bytes as u64,
            ) {
                // Some file systems cannot reserve: writing zeros does the same, slowly.
                Err(Errno::OPNOTSUPP) => self.file.write_all_at(&vec![0; bytes], offset as u64),
                other => Ok(other?),
            }
        }

        pub(super) fn pointer(&self, offset: usize) -> NonNull<u8> {
            assert!(
                offset < self.len(),
                "offset {offset} lies outside its segment"
            );
            // SAFETY: a mapping never starts at address zero, and the offset lies within it, as asserted.
            unsafe { NonNull::new_unchecked(self.map.as_mut_ptr().add(offset)) }
        }
    }
}

#[cfg(miri)]
mod memory {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::io;
    use std::path::Path;
    use std::ptr::NonNull;

    /// Heap memory in the place of a mapped file.
    pub(super) struct Memory {
        start: NonNull<u8>,
        layout: Layout,
    }

    // SAFETY: the memory is bound to no thread, and is reached only through the regions cut out of it.
    unsafe impl Send for Memory {}
    // SAFETY: as above: a shared reference gives out pointers and touches no byte.
    unsafe impl Sync for Memory {}

    impl Memory {
        pub(super) fn create(_path: &Path, bytes: usize) -> io::Result<Self> {
            let layout = Layout::from_size_align(bytes, 4096).map_err(io::Error::other)?;
            // SAFETY: the layout's size is not zero: a segment has a smallest size.
            let start = NonNull::new(unsafe { alloc_zeroed(layout) })
                .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
            Ok(Self { start, layout })
        }

        pub(super) fn open(_path: &Path, _bytes: usize) -> io::Result<Self> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }

        pub(super) fn ask_for_huge_pages(&self) {}

        pub(super) fn len(&self) -> usize {
            self.layout.size()
        }

        pub(super) fn reserve(&self, _offset: usize, _bytes: usize) -> io::Result<()> {
            Ok(())
        }

        pub(super) fn pointer(&self, offset: usize) -> NonNull<u8> {
            assert!(
                offset < self.len(),
                "offset {offset} lies outside its segment"
            );
            // SAFETY: the offset lies within the allocation, as asserted.
            unsafe { self.start.add(offset) }
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: allocated in `create` with this layout, and freed once.
            unsafe { dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_do_not_overlap_and_start_as_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let mut pool = SegmentPool::open(&folder.path().join("state"), None).unwrap();
        let mut regions: Vec<Region> = (0..40)
            .map(|index| pool.region(100_000 + index, Owner::Chunks).unwrap())
            .collect();
        for (index, region) in regions.iter_mut().enumerate() {
            assert!(region.as_slice().iter().all(|&byte| byte == 0), "{index}");
            region.as_mut_slice().fill(index as u8 + 1);
        }
        for (index, region) in regions.iter().enumerate() {
            let expected = index as u8 + 1;
            assert!(
                region.as_slice().iter().all(|&byte| byte == expected),
                "{index}"
            );
        }
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
