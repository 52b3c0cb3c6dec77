//! What a subtask does about barriers that overtake what is in flight.

use std::time::Duration;

use super::{Head, Progress, Subtask};
use crate::channel::Barrier;
use crate::error::Result;

/// How many rows a subtask captures at most while the barrier of a checkpoint is missing on inputs. If there are more, the
/// checkpoint is declined: whoever holds the barrier back for so long would make it larger and larger.
const CAPTURED_ROWS_MAX: usize = 4 * 1024 * 1024;

impl Subtask {
    /// Heeds barriers that have overtaken what is in flight, and those whose time to do so has come. Nothing that is to
    /// be worked off comes before this, however slowly that goes.
    pub(super) fn heed_overtaking(&mut self) -> Result<()> {
        if !self.setting.unaligned {
            return Ok(());
        }
        let now = self.setting.clock.elapsed();
        if let Some(barrier) = self.timeout.take_if(|barrier| barrier.overtakes(now)) {
            self.outputs.overtake(barrier.checkpoint);
            if let Head::Links(inputs) = &mut self.head {
                let commands = inputs.gate.overtake(barrier.checkpoint, now);
                self.carry_out(commands)?;
            }
        }
        while let Head::Links(inputs) = &mut self.head
            && let Some((input, barrier)) = inputs.take_overtaking()
        {
            let commands = inputs.gate.barrier(input, barrier, now);
            self.carry_out(commands)?;
        }
        if self.is_capturing()
            && let Head::Links(inputs) = &mut self.head
            && inputs.captured_rows() > CAPTURED_ROWS_MAX
        {
            let commands = inputs.gate.overflow();
            self.carry_out(commands)?;
        }
        Ok(())
    }

    /// A barrier was heard of that may overtake later.
    pub(super) fn await_timeout(&mut self, barrier: Barrier) {
        let is_newer = self
            .timeout
            .is_none_or(|timeout| timeout.checkpoint <= barrier.checkpoint);
        if is_newer && barrier.overtakes_at.is_some() {
            self.timeout = Some(barrier);
        }
    }

    /// What the subtask needs if it has nothing to do now, and perhaps has when a barrier begins to overtake.
    pub(super) fn until_timeout(&self, progress: Progress) -> Progress {
        let Some(at) = self.timeout.and_then(|barrier| barrier.overtakes_at) else {
            return progress;
        };
        let left = at.saturating_sub(self.setting.clock.elapsed());
        match progress {
            Progress::Busy => Progress::Busy,
            _ if left.is_zero() => Progress::Busy,
            Progress::Sleeping(duration) => Progress::Sleeping(duration.min(left)),
            Progress::Waiting => Progress::Sleeping(left),
        }
    }

    /// How long this step has taken.
    pub(super) fn elapsed_since(&self, begun: Duration) -> Duration {
        self.setting.clock.elapsed().saturating_sub(begun)
    }
}
