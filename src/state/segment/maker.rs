//! How a segment is made, by whichever thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::folder::SegmentFolder;
use super::region::{Region, Segment};
use crate::error::Result;
use crate::state::ledger::SegmentLabel;

/// Regions start at page boundaries, so that reserving one never touches another.
pub(super) const PAGE_BYTES: usize = 4096;

/// Numbers are never used again in a process: sealed bytes can keep a segment of an earlier run of the same job alive,
/// and its file must not be mistaken for one of this run when it is removed.
static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

/// What the segments of one pool have in common.
#[derive(Clone)]
pub(super) struct SegmentMaker {
    /// Nothing for memory without files.
    pub(super) folder: Option<Arc<SegmentFolder>>,
    /// Nothing when no later process is to take the segments up.
    pub(super) lineage: Option<u64>,
}

impl SegmentMaker {
    /// A new segment of so many zeros, whose first page is reserved and has its label.
    pub(super) fn make(&self, bytes: usize) -> Result<Arc<Segment>> {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let segment = Arc::new(match &self.folder {
            Some(folder) => Segment::create_file(folder, &segment_name(number), number, bytes)?,
            None => Segment::anonymous(number, bytes)?,
        });
        segment.reserve(0, PAGE_BYTES)?;
        if let Some(lineage) = self.lineage {
            let label = SegmentLabel {
                lineage,
                number,
                bytes,
            };
            label.write(Region::of(&segment, 0, PAGE_BYTES).as_mut_slice());
        }
        Ok(segment)
    }
}

/// A segment with this number is there already.
pub(super) fn skip_number(number: u32) {
    NEXT_NUMBER.fetch_max(number + 1, Ordering::Relaxed);
}

/// The name of a segment's file.
pub(super) fn segment_name(number: u32) -> String {
    format!("segment-{number}")
}
