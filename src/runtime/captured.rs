//! What was in flight to a subtask when it took its snapshot, on its way into the checkpoint.

use std::sync::Arc;

use crate::channel::InFlight;
use crate::error::Result;
use crate::model::OperatorId;
use crate::snapshot::{BatchCodec, SealedInFlight, encode_section};

/// What was in flight on one link.
pub(super) struct CapturedInput {
    /// The operator that had sent it.
    pub(super) input: OperatorId,
    /// Which of the edges from that operator it was on.
    pub(super) edge: usize,
    /// The subtask of that operator.
    pub(super) upstream: usize,
    /// Stores its batches.
    pub(super) codec: Arc<dyn BatchCodec>,
    /// All of it, in its order.
    pub(super) elements: Vec<InFlight>,
}

impl CapturedInput {
    /// Turns it into bytes. That takes time, and has no place on a worker.
    ///
    /// # Errors
    /// When a batch cannot be stored.
    pub(super) fn seal(self) -> Result<SealedInFlight> {
        let rows = self.elements.iter().map(InFlight::rows).sum::<usize>();
        let section = encode_section(self.elements, &*self.codec).map_err(|error| {
            error.context(format!(
                "what was in flight from {}-{}",
                self.input, self.upstream
            ))
        })?;
        Ok(SealedInFlight {
            input: self.input,
            edge: self.edge,
            upstream: self.upstream,
            rows: rows as u64,
            schema: self.codec.schema(),
            section,
        })
    }
}
