//! A mapped segment, and the regions that are cut out of it.

use std::fs;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use super::folder::SegmentFolder;
use crate::error::{Error, Result};
use crate::state::memory::Memory;

/// Segments from this size on lie at an address that huge pages can be mapped to.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A range of a segment that nobody else can reach. Its memory stays mapped as long as the region lives.
pub(in crate::state) struct Region {
    start: NonNull<u8>,
    bytes: usize,
    _segment: Arc<Segment>,
}

// SAFETY: a region is the only owner of its range (the pool never gives a byte out twice), so moving it to another
// thread moves the right to those bytes; the mapping itself is bound to no thread.
unsafe impl Send for Region {}

impl Region {
    /// A range of a segment. The caller sees to it that nobody else has a byte of it.
    pub(super) fn of(segment: &Arc<Segment>, offset: usize, bytes: usize) -> Self {
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
    pub(in crate::state) fn len(&self) -> usize {
        self.bytes
    }

    /// The address of one of its bytes, valid as long as the region lives. The first lies on a page boundary.
    #[inline]
    pub(in crate::state) fn pointer(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.bytes, "a block lies outside its region");
        // SAFETY: the offset lies within the region, as asserted.
        unsafe { self.start.add(offset) }
    }

    /// Its bytes.
    #[inline]
    pub(in crate::state) fn as_slice(&self) -> &[u8] {
        // SAFETY: the range is mapped while `_segment` lives, holds initialised bytes from the start (zeros), and is
        // written through this region alone, which is borrowed here.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    /// Its bytes, to be written.
    #[inline]
    pub(in crate::state) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and the region is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

/// A mapped file, which is removed with it, or memory without one.
pub(super) struct Segment {
    memory: Memory,
    pub(super) number: u32,
    file: Option<SegmentFile>,
}

/// Where a segment lies that has a file.
struct SegmentFile {
    path: PathBuf,
    _folder: Arc<SegmentFolder>,
}

impl Segment {
    pub(super) fn create_file(
        folder: &Arc<SegmentFolder>,
        name: &str,
        number: u32,
        bytes: usize,
    ) -> Result<Self> {
        let path = folder.directory.join(name);
        let memory = Memory::create(&path, bytes).map_err(|source| {
            Error::io(
                format!("create segment {} of {bytes} bytes", path.display()),
                source,
            )
        })?;
        let file = SegmentFile::new(folder, path);
        Ok(Self::of(memory, number, Some(file)))
    }

    pub(super) fn anonymous(number: u32, bytes: usize) -> Result<Self> {
        let memory = Memory::anonymous(bytes)
            .map_err(|source| Error::io(format!("map {bytes} bytes of memory"), source))?;
        Ok(Self::of(memory, number, None))
    }

    /// The file that an earlier process made with so many bytes.
    pub(super) fn open_file(
        folder: &Arc<SegmentFolder>,
        name: &str,
        number: u32,
        bytes: usize,
    ) -> Result<Self> {
        let path = folder.directory.join(name);
        let memory = Memory::open(&path, bytes)
            .map_err(|source| Error::io(format!("open segment {}", path.display()), source))?;
        let file = SegmentFile::new(folder, path);
        Ok(Self::of(memory, number, Some(file)))
    }

    fn of(memory: Memory, number: u32, file: Option<SegmentFile>) -> Self {
        Self {
            memory,
            number,
            file,
        }
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether it is a file.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Asks for huge pages, if it is large enough to have any. A page is then mapped in one piece at its first touch.
    pub(super) fn ask_for_huge_pages(&self) {
        if self.len() >= HUGE_PAGE_BYTES {
            self.memory.ask_for_huge_pages();
        }
    }

    /// Makes sure that a range of a file has its blocks on the disk.
    pub(super) fn reserve(&self, offset: usize, bytes: usize) -> Result<()> {
        self.memory
            .reserve(offset, bytes)
            .map_err(|source| match &self.file {
                Some(file) => Error::io(
                    format!("reserve {bytes} bytes in {}", file.path.display()),
                    source,
                ),
                None => Error::io(format!("reserve {bytes} bytes of memory"), source),
            })
    }
}

impl SegmentFile {
    fn new(folder: &Arc<SegmentFolder>, path: PathBuf) -> Self {
        Self {
            path,
            _folder: Arc::clone(folder),
        }
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        // Best effort: a file that stays behind is removed when the folder is next used.
        _ = fs::remove_file(&self.path);
    }
}
