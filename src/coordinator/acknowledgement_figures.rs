//! What one subtask's part of a checkpoint took, as it stands in its acknowledgement.

use std::time::Duration;

/// What one subtask's part of a checkpoint took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcknowledgementFigures {
    /// From the trigger to the first barrier on an input; zero at a source, and when the barrier came before the trigger.
    pub start_delay: Duration,
    /// From the first barrier on an input to the last.
    pub alignment_duration: Duration,
    /// How long the subtask stood still to seal its state.
    pub sync_duration: Duration,
    /// From the moment at which all that belongs to the part was there, to the moment at which it was durable.
    pub async_duration: Duration,
    /// How many bytes the part added to the store, those in flight included.
    pub uploaded_bytes: u64,
    /// How many bytes of that are batches and watermarks that the barrier had overtaken.
    pub in_flight_bytes: u64,
    /// Whether the barrier overtook what was in flight on an input.
    pub is_unaligned: bool,
}
