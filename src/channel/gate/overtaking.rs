//! What a gate does about barriers that overtake what is in flight.

use std::time::Duration;

use super::{Alignment, DeclineReason, Gate, GateCommand};
use crate::channel::Barrier;
use crate::config::CheckpointMode;
use crate::model::CheckpointId;

/// A checkpoint whose snapshot was taken while its barrier was missing on inputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capturing {
    pub(super) checkpoint: CheckpointId,
    /// From the trigger to the first barrier.
    pub(super) start_delay: Duration,
    /// When the first barrier came.
    pub(super) begun: Duration,
}

impl Capturing {
    /// What the alignment has taken when it ends now.
    pub(super) fn alignment(&self, now: Duration) -> Alignment {
        Alignment {
            start_delay: self.start_delay,
            duration: now.saturating_sub(self.begun),
        }
    }
}

impl Gate {
    /// Says for each input whether barriers can overtake what is in flight on it; without this they can on none.
    #[must_use]
    pub fn with_overtaking(mut self, may_overtake: impl IntoIterator<Item = bool>) -> Self {
        for (input, may_overtake) in self.inputs.iter_mut().zip(may_overtake) {
            input.may_overtake = may_overtake;
        }
        self
    }

    /// The time has come from which on the barrier of `checkpoint` overtakes.
    pub fn overtake(&mut self, checkpoint: CheckpointId, now: Duration) -> Vec<GateCommand> {
        let mut commands = Vec::new();
        if let Some(first) = self.aligning.get(&checkpoint).copied() {
            self.settle(first, now, &mut commands);
        }
        self.checked(commands)
    }

    /// More was captured for the checkpoint than it can take.
    pub fn overflow(&mut self) -> Vec<GateCommand> {
        let mut commands = Vec::new();
        if let Some(capturing) = self.capturing {
            let reason = DeclineReason::InFlightTooLarge;
            self.decline(capturing.checkpoint, reason, &mut commands);
        }
        self.checked(commands)
    }

    /// Whether what is in flight is captured for `checkpoint`.
    pub(super) fn is_captured(&self, checkpoint: CheckpointId) -> bool {
        self.capturing
            .is_some_and(|capturing| capturing.checkpoint == checkpoint)
    }

    /// Whether the snapshot need not wait for the inputs whose barrier is missing: it can overtake on all of them.
    pub(super) fn can_overtake(&self, barrier: &Barrier, now: Duration) -> bool {
        self.mode == CheckpointMode::ExactlyOnce
            && barrier.overtakes(now)
            && self.inputs.iter().all(|input| {
                input.may_overtake || input.has_ended || input.newest >= barrier.checkpoint
            })
    }

    /// A barrier that overtakes comes on a blocked input, too. Then the older checkpoint, for which the input is blocked,
    /// was given up elsewhere; and so was one for which something is still captured.
    pub(super) fn end_older(&mut self, checkpoint: CheckpointId, commands: &mut Vec<GateCommand>) {
        if self.mode != CheckpointMode::ExactlyOnce {
            return;
        }
        let capturing = self.capturing.map(|capturing| capturing.checkpoint);
        let aligning = self.aligning.keys().copied();
        let older: Vec<_> = capturing
            .into_iter()
            .chain(aligning)
            .filter(|&older| older < checkpoint)
            .collect();
        for older in older {
            self.decline(older, DeclineReason::Subsumed, commands);
        }
    }

    /// Ends the capture if the barrier has arrived on all inputs.
    pub(super) fn settle_capture(&mut self, now: Duration, commands: &mut Vec<GateCommand>) {
        if let Some(capturing) = self.capturing
            && self.is_aligned(capturing.checkpoint)
        {
            self.capturing = None;
            commands.push(GateCommand::Aligned {
                checkpoint: capturing.checkpoint,
                alignment: capturing.alignment(now),
            });
        }
    }
}
