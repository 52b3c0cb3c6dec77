//! What the coordinator promises between any two events.

use super::{CheckpointCoordinator, Phase};
use crate::coordinator::pending_checkpoint::PendingCheckpoint;

impl<A> CheckpointCoordinator<A> {
    /// What must hold between any two events.
    ///
    /// # Errors
    /// Names the invariant that is broken.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.plan.check_invariants()?;
        let is_writing = |pending: &PendingCheckpoint<A>| pending.is_writing();
        let checkpoints = || {
            let pending = self.pending.iter();
            pending.filter(|(_, pending)| !pending.is_savepoint())
        };
        let writing = checkpoints().filter(|(_, pending)| is_writing(pending));
        let oldest = checkpoints().next();
        let newest = self.pending.last_key_value();
        if checkpoints().count() > self.settings.pending_max() {
            Err("more checkpoints are pending than may be")
        } else if self.pending.len() - checkpoints().count() > 1 {
            Err("two savepoints are pending")
        } else if writing.count() > 1 {
            Err("two manifests are being written")
        } else if newest.is_some_and(|(&id, _)| id >= self.next_id) {
            Err("a pending id would be used again")
        } else if self
            .last_completed
            .zip(oldest)
            .is_some_and(|(completed, (&id, _))| id <= completed)
        {
            Err("a checkpoint is pending although a newer one has completed")
        } else if matches!(self.phase, Phase::Committing { .. }) && checkpoints().count() > 0 {
            Err("a checkpoint is pending after the last one")
        } else if self.phase == Phase::Closed && !self.pending.values().all(is_writing) {
            Err("a checkpoint is waited for after the end")
        } else {
            Ok(())
        }
    }
}
