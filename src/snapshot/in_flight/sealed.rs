//! What was in flight on one link, on its way into a checkpoint and back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::OperatorId;
use crate::snapshot::Piece;

/// What was in flight from one upstream subtask when a subtask took its snapshot, as a section.
#[derive(Clone, Debug)]
pub struct SealedInFlight {
    /// The operator that had sent it.
    pub input: OperatorId,
    /// Which of the edges from that operator it was on, from 0: there is more than one when a stream is united with
    /// itself.
    pub edge: usize,
    /// The subtask of that operator.
    pub upstream: usize,
    /// How many records it holds.
    pub rows: u64,
    /// How its batches are laid out: [`super::BatchCodec::schema`].
    pub schema: String,
    /// The section.
    pub section: Bytes,
}

/// The same in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlightEntry {
    /// The operator that had sent it.
    pub input: OperatorId,
    /// Which of the edges from that operator it was on, from 0.
    pub edge: usize,
    /// The subtask of that operator.
    pub upstream: usize,
    /// How many records it holds.
    pub rows: u64,
    /// How its batches are laid out.
    pub schema: String,
    /// The section, in the checkpoint's own folder.
    pub piece: Piece,
}

/// The same for a job that is restored.
#[derive(Clone, Debug)]
pub struct RestoredInFlight {
    /// The subtask that was to read it.
    pub reader: usize,
    /// The operator that had sent it.
    pub input: OperatorId,
    /// Which of the edges from that operator it was on, from 0.
    pub edge: usize,
    /// The subtask of that operator.
    pub upstream: usize,
    /// How its batches are laid out.
    pub schema: String,
    /// The section, verified.
    pub section: Bytes,
}
