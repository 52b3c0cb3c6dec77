//! The thread that has the next segments ready before they are wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use tracing::debug;

use super::maker::{PAGE_BYTES, SegmentMaker};
use super::region::{Region, Segment};
use crate::error::{Error, Result};

/// So many segments are made ready ahead at most.
pub(super) const SEGMENTS_AHEAD_MAX: usize = 2;

/// A step of the thread's work: it is asked after each whether it is still needed.
const STEP_BYTES: usize = 2 << 20;

/// Makes segments ready on a thread of its own, which ends with it.
pub(super) struct Preparer {
    /// The sizes of segments that are wanted. Nothing once it ends.
    wanted: Option<SyncSender<usize>>,
    ready: Receiver<Arc<Segment>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// How many segments are wanted that were not taken yet.
    outstanding: usize,
}

impl Preparer {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when the system has no thread to give.
    pub(super) fn start(maker: SegmentMaker) -> Result<Self> {
        let (wanted, requests) = sync_channel(SEGMENTS_AHEAD_MAX);
        let (sender, ready) = sync_channel(SEGMENTS_AHEAD_MAX);
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = thread::Builder::new()
            .name("floodmark-pages".to_owned())
            .spawn(move || {
                for bytes in requests {
                    match prepare(&maker, bytes, &ends) {
                        // There is room for as many as can be wanted; nobody takes it when all is over.
                        Ok(segment) => drop(sender.send(segment)),
                        // Whoever wants a segment then makes one, and meets the error.
                        Err(error) => {
                            let reason = error.full_message();
                            return debug!(reason, "no segment can be made ready");
                        }
                    }
                }
            })
            .map_err(|error| Error::io("start a thread that makes memory ready", error))?;
        Ok(Self {
            wanted: Some(wanted),
            ready,
            is_over,
            thread: Some(thread),
            outstanding: 0,
        })
    }

    /// How many segments are wanted that were not taken yet.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether the thread has given up: it makes no further segment ready.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// A segment of so many bytes will be wanted; says whether it was noted. It is not when
    /// [`SEGMENTS_AHEAD_MAX`] are wanted already.
    pub(super) fn want(&mut self, bytes: usize) -> bool {
        let is_noted = self.outstanding < SEGMENTS_AHEAD_MAX
            && self
                .wanted
                .as_ref()
                .is_some_and(|wanted| wanted.try_send(bytes).is_ok());
        self.outstanding += usize::from(is_noted);
        is_noted
    }

    /// The next segment, if it is ready.
    pub(super) fn take(&mut self) -> Option<Arc<Segment>> {
        let segment = self.ready.try_recv().ok()?;
        self.outstanding -= 1;
        Some(segment)
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.wanted = None;
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and there is nothing to be done about it if it did.
            let _ = thread.join();
        }
    }
}

/// Makes a segment and gets all of it from the system, unless all `is_over` before.
fn prepare(maker: &SegmentMaker, bytes: usize, is_over: &AtomicBool) -> Result<Arc<Segment>> {
    let segment = maker.make(bytes)?;
    segment.ask_for_huge_pages();
    for offset in (0..bytes).step_by(STEP_BYTES) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let step = STEP_BYTES.min(bytes - offset);
        if segment.has_file() {
            segment.reserve(offset, step)?;
        } else {
            touch(&mut Region::of(&segment, offset, step));
        }
    }
    Ok(segment)
}

/// Writes to each page. Asking the kernel for all of them at once would hold a lock meanwhile that every other thread
/// needs as soon as it maps memory.
fn touch(region: &mut Region) {
    for page in region.as_mut_slice().chunks_mut(PAGE_BYTES) {
        page[0] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::segment::folder::SegmentFolder;

    const SEGMENT_BYTES: usize = 4 << 20;

    fn maker(directory: &std::path::Path) -> SegmentMaker {
        SegmentMaker {
            folder: Some(Arc::new(SegmentFolder::prepare(directory).unwrap())),
            lineage: Some(7),
        }
    }

    fn files(directory: &std::path::Path) -> usize {
        std::fs::read_dir(directory).map_or(0, Iterator::count)
    }

    #[test]
    fn a_segment_that_is_ready_has_the_size_that_was_wanted_and_its_room() {
        let folder = tempfile::tempdir().unwrap();
        for maker in [
            maker(&folder.path().join("state")),
            SegmentMaker {
                folder: None,
                lineage: None,
            },
        ] {
            let mut preparer = Preparer::start(maker).unwrap();
            assert!(preparer.want(SEGMENT_BYTES));
            let segment = preparer.ready.recv().unwrap();
            assert_eq!(segment.len(), SEGMENT_BYTES);
            let region = Region::of(&segment, PAGE_BYTES, SEGMENT_BYTES - PAGE_BYTES);
            assert!(region.as_slice().iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn no_more_is_wanted_than_the_bound_says_and_taking_one_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut preparer = Preparer::start(maker(&folder.path().join("state"))).unwrap();
        for _ in 0..SEGMENTS_AHEAD_MAX {
            assert!(preparer.want(SEGMENT_BYTES));
        }
        assert!(!preparer.want(SEGMENT_BYTES));
        let taken = loop {
            if let Some(taken) = preparer.take() {
                break taken;
            }
            thread::yield_now();
        };
        assert_eq!(taken.len(), SEGMENT_BYTES);
        assert_eq!(preparer.outstanding(), SEGMENTS_AHEAD_MAX - 1);
        assert!(preparer.want(SEGMENT_BYTES));
    }

    #[test]
    fn what_nobody_took_goes_when_the_preparer_ends() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("state");
        let mut preparer = Preparer::start(maker(&directory)).unwrap();
        assert!(preparer.want(SEGMENT_BYTES));
        assert!(preparer.want(SEGMENT_BYTES));
        drop(preparer);
        assert_eq!(files(&directory), 0);
        assert!(!directory.exists());
    }

    #[test]
    fn where_no_segment_can_be_made_none_is_ready_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let mut preparer = Preparer::start(maker(&folder.path().join("state"))).unwrap();
        assert!(preparer.want(1 << 46));
        assert!(preparer.ready.recv().is_err());
        assert!(preparer.take().is_none());
        assert!(!preparer.want(SEGMENT_BYTES));
    }
}
