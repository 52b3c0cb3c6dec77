//! What travels on a link.

use super::barrier::Barrier;
use crate::model::{Batch, CheckpointId, EventTime};

/// One element of a link's data lane.
#[derive(Debug)]
pub enum Element {
    /// Records.
    Batch(Batch),
    /// No record earlier than this will follow on this link.
    Watermark(EventTime),
    /// All before it belongs to the checkpoint, nothing after it does.
    Barrier(Barrier),
    /// The checkpoint was given up: whoever waits for its barrier waits no more.
    CancelBarrier(CheckpointId),
    /// Nothing will follow.
    End,
}

/// What a barrier has overtaken: it belongs to the checkpoint, and is worked off again after a restore from it.
#[derive(Clone, Debug)]
pub enum InFlight {
    /// Records.
    Batch(Batch),
    /// A watermark among them.
    Watermark(EventTime),
}

impl Element {
    /// How many rows the element counts for against the bound of a link.
    pub fn rows(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.len(),
            Self::Watermark(_) | Self::Barrier(_) | Self::CancelBarrier(_) | Self::End => 0,
        }
    }

    /// A copy of what a barrier that overtakes the element leaves behind it; nothing of what means nothing to a restored
    /// job: older barriers, and the end, which is said again.
    pub fn in_flight(&self) -> Option<InFlight> {
        match self {
            Self::Batch(batch) => Some(InFlight::Batch(batch.clone())),
            Self::Watermark(watermark) => Some(InFlight::Watermark(*watermark)),
            Self::Barrier(_) | Self::CancelBarrier(_) | Self::End => None,
        }
    }
}

impl InFlight {
    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.len(),
            Self::Watermark(_) => 0,
        }
    }
}

impl From<InFlight> for Element {
    fn from(in_flight: InFlight) -> Self {
        match in_flight {
            InFlight::Batch(batch) => Self::Batch(batch),
            InFlight::Watermark(watermark) => Self::Watermark(watermark),
        }
    }
}
