//! What must hold of a gate between any two events.

use super::{GIVEN_UP_MAX, Gate};
use crate::config::CheckpointMode;

impl Gate {
    /// What must hold between any two events.
    ///
    /// # Errors
    /// Names the invariant that is broken.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let mut unfinished = self.aligning.keys().chain(self.triggered.keys());
        if self.mode == CheckpointMode::ExactlyOnce && self.aligning.len() > 1 {
            Err("two checkpoints are in alignment in exactly-once mode")
        } else if unfinished.any(|&checkpoint| self.is_over(checkpoint)) {
            Err("a checkpoint is waited for that was taken or given up")
        } else if self
            .aligning
            .keys()
            .any(|&checkpoint| self.is_aligned(checkpoint))
        {
            Err("an aligned checkpoint was not taken")
        } else if self.has_ended() && !self.triggered.is_empty() {
            Err("a triggered checkpoint waits although all inputs have ended")
        } else if self.capturing.is_some_and(|capturing| {
            capturing.checkpoint != self.last_snapshot || self.is_aligned(capturing.checkpoint)
        }) {
            Err("what belongs to no snapshot is captured")
        } else if self.given_up.len() > GIVEN_UP_MAX {
            Err("more given-up checkpoints are remembered than the bound allows")
        } else {
            Ok(())
        }
    }
}
