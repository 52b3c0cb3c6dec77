//! The barrier of a checkpoint, and when it may overtake what is in flight.

use std::time::Duration;

use crate::model::CheckpointId;

/// The mark between what belongs to a checkpoint and what does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// From this time of the job's clock on it overtakes what is in flight on the links that allow it; nothing when it
    /// never does, as that of a savepoint.
    pub overtakes_at: Option<Duration>,
}

impl Barrier {
    /// A barrier that keeps its place behind all that was sent before it.
    pub fn aligned(checkpoint: CheckpointId) -> Self {
        Self {
            checkpoint,
            overtakes_at: None,
        }
    }

    /// A barrier that overtakes from `at` on: at once, when that is zero.
    pub fn overtaking(checkpoint: CheckpointId, at: Duration) -> Self {
        Self {
            checkpoint,
            overtakes_at: Some(at),
        }
    }

    /// Whether it overtakes by now.
    pub fn overtakes(&self, now: Duration) -> bool {
        self.overtakes_at.is_some_and(|at| at <= now)
    }
}
