//! What travels on a link.

use crate::model::{Batch, CheckpointId, EventTime};

/// One element of a link's data lane.
#[derive(Debug)]
pub enum Element {
    /// Records.
    Batch(Batch),
    /// No record earlier than this will follow on this link.
    Watermark(EventTime),
    /// All before it belongs to the checkpoint, nothing after it does.
    Barrier(CheckpointId),
    /// The checkpoint was given up: whoever waits for its barrier waits no more.
    CancelBarrier(CheckpointId),
    /// Nothing will follow.
    End,
}

impl Element {
    /// How many rows the element counts for against the bound of a link.
    pub fn rows(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.len(),
            Self::Watermark(_) | Self::Barrier(_) | Self::CancelBarrier(_) | Self::End => 0,
        }
    }
}
