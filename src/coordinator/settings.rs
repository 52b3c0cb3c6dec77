//! When checkpoints are taken, and how many of them may fail.

use std::time::Duration;

use super::command::CheckpointKind;
use crate::channel::Barrier;
use crate::config::CheckpointSection;
use crate::model::CheckpointId;

/// The settings of a job's checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// From one periodic trigger to the next. Without it there are none; requested, final and stop checkpoints are
    /// taken still.
    pub interval: Option<Duration>,
    /// A checkpoint that has not been acknowledged by every subtask this long after its trigger is aborted.
    pub timeout: Duration,
    /// The least time from the completion of a checkpoint to the next periodic trigger. If it is not zero, there is
    /// one checkpoint at a time, whatever `max_concurrent` says.
    pub min_pause: Duration,
    /// How many checkpoints may be pending at a time, counting those whose manifest is being written; at least 1. A
    /// savepoint may be pending beside them.
    pub max_concurrent: usize,
    /// How long after its trigger the barrier of a checkpoint begins to overtake what is in flight; nothing when it never
    /// does. A savepoint's never does, and the two kinds must not meet on a link: where barriers overtake, a savepoint
    /// waits until no checkpoint is pending, and the next checkpoint waits for it.
    pub overtaking_after: Option<Duration>,
    /// How many checkpoints may fail one after the other before the job fails.
    pub tolerable_failures: u32,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            interval: None,
            timeout: Duration::from_secs(10 * 60),
            min_pause: Duration::ZERO,
            max_concurrent: 1,
            overtaking_after: None,
            tolerable_failures: 0,
        }
    }
}

impl From<&CheckpointSection> for CheckpointSettings {
    fn from(section: &CheckpointSection) -> Self {
        Self {
            interval: section.interval,
            timeout: section.timeout,
            min_pause: section.min_pause,
            max_concurrent: section.max_concurrent,
            overtaking_after: section.unaligned.then_some(section.aligned_timeout),
            tolerable_failures: section.tolerable_failures,
        }
    }
}

impl CheckpointSettings {
    /// The barrier of a checkpoint that is triggered at `now`.
    pub fn barrier(
        &self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        now: Duration,
    ) -> Barrier {
        match self.overtaking_after {
            Some(after) if kind.may_overtake() => {
                // Zero is at once whatever a subtask's clock says.
                let at = if after.is_zero() { after } else { now + after };
                Barrier::overtaking(checkpoint, at)
            }
            _ => Barrier::aligned(checkpoint),
        }
    }

    /// How many checkpoints may be pending at a time, with `min_pause` taken into account.
    pub fn pending_max(&self) -> usize {
        if self.min_pause.is_zero() {
            self.max_concurrent.max(1)
        } else {
            1
        }
    }
}
