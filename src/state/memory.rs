//! The memory of a segment: a mapped file, or, under miri, which has none, heap memory.

#[cfg(miri)]
pub(super) use heap::Memory;
#[cfg(not(miri))]
pub(super) use mapped::Memory;

#[cfg(not(miri))]
mod mapped {
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::ptr::NonNull;

    use memmap2::{MmapOptions, MmapRaw};
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    /// A mapped file, sparse at first.
    pub(in crate::state) struct Memory {
        map: MmapRaw,
        /// Nothing for memory that has no file.
        file: Option<File>,
    }

    impl Memory {
        pub(in crate::state) fn create(path: &Path, bytes: usize) -> io::Result<Self> {
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
            Ok(Self {
                map,
                file: Some(file),
            })
        }

        /// Memory without a file. Huge pages are to be had for it on most systems, which is what makes large tables fast.
        pub(in crate::state) fn anonymous(bytes: usize) -> io::Result<Self> {
            let map = MmapOptions::new().len(bytes).map_anon()?.into();
            Ok(Self { map, file: None })
        }

        /// The file that another process made with so many bytes.
        pub(in crate::state) fn open(path: &Path, bytes: usize) -> io::Result<Self> {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            if file.metadata()?.len() != bytes as u64 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it does not have {bytes} bytes"),
                ));
            }
            let map = MmapOptions::new().len(bytes).map_raw(&file)?;
            Ok(Self {
                map,
                file: Some(file),
            })
        }

        /// What the kernel makes of it is up to its settings; it is faster with them, and right without.
        pub(in crate::state) fn ask_for_huge_pages(&self) {
            #[cfg(target_os = "linux")]
            let _ = self.map.advise(memmap2::Advice::HugePage);
        }

        pub(in crate::state) fn len(&self) -> usize {
            self.map.len()
        }

        /// Makes sure that the range has its blocks on the disk. Memory without a file has nothing to reserve.
        pub(in crate::state) fn reserve(&self, offset: usize, bytes: usize) -> io::Result<()> {
            let Some(file) = &self.file else {
                return Ok(());
            };
            match fallocate(file, FallocateFlags::empty(), offset as u64, bytes as u64) {
                // Some file systems cannot reserve: writing zeros does the same, slowly.
                Err(Errno::OPNOTSUPP) => file.write_all_at(&vec![0; bytes], offset as u64),
                other => Ok(other?),
            }
        }

        pub(in crate::state) fn pointer(&self, offset: usize) -> NonNull<u8> {
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
mod heap {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::io;
    use std::path::Path;
    use std::ptr::NonNull;

    /// Heap memory in the place of a mapped file.
    pub(in crate::state) struct Memory {
        start: NonNull<u8>,
        layout: Layout,
    }

    // SAFETY: the memory is bound to no thread, and is reached only through the regions cut out of it.
    unsafe impl Send for Memory {}
    // SAFETY: as above: a shared reference gives out pointers and touches no byte.
    unsafe impl Sync for Memory {}

    impl Memory {
        pub(in crate::state) fn create(_path: &Path, bytes: usize) -> io::Result<Self> {
            let layout = Layout::from_size_align(bytes, 4096).map_err(io::Error::other)?;
            // SAFETY: the layout's size is not zero: a segment has a smallest size.
            let start = NonNull::new(unsafe { alloc_zeroed(layout) })
                .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
            Ok(Self { start, layout })
        }

        pub(in crate::state) fn anonymous(bytes: usize) -> io::Result<Self> {
            Self::create(Path::new(""), bytes)
        }

        pub(in crate::state) fn open(_path: &Path, _bytes: usize) -> io::Result<Self> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }

        pub(in crate::state) fn ask_for_huge_pages(&self) {}

        pub(in crate::state) fn len(&self) -> usize {
            self.layout.size()
        }

        pub(in crate::state) fn reserve(&self, _offset: usize, _bytes: usize) -> io::Result<()> {
            Ok(())
        }

        pub(in crate::state) fn pointer(&self, offset: usize) -> NonNull<u8> {
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
