//! What a subtask tells: events for the coordinator and the background.

use std::time::Duration;

use crate::channel::{Alignment, DeclineReason};
use crate::model::CheckpointId;

use super::background::OperatorWork;
use super::captured::CapturedInput;
use super::chain::StateSize;
use super::slot::OperatorPart;

/// What a subtask has to tell the coordinator, or to have done in the background.
pub(super) enum SubtaskEvent {
    /// The synchronous part of a checkpoint is done.
    Snapshot(SealedSubtask),
    /// The subtask cannot take part in this checkpoint.
    Declined(CheckpointId, DeclineReason),
    /// The second phase of this checkpoint has work for the background; it may be empty.
    Commit(CheckpointId, Vec<OperatorWork>),
    /// What must be done outside before anything is committed.
    Recovery(Vec<OperatorWork>),
    /// A sink wants a checkpoint before the next is due.
    CheckpointWanted,
    /// All input has ended and is worked off. The subtask still takes part in checkpoints.
    Finished,
}

/// The state of a subtask as of a barrier.
pub(super) struct SealedSubtask {
    /// The checkpoint that it belongs to.
    pub(super) checkpoint: CheckpointId,
    /// Whether the subtask had finished.
    pub(super) finished: bool,
    /// How long the subtask stood still for it.
    pub(super) sync_duration: Duration,
    /// How long the barriers on its inputs took.
    pub(super) alignment: Alignment,
    /// How much keyed state it held.
    pub(super) state_size: StateSize,
    /// Whether the barrier had overtaken what was in flight by the time of the snapshot, where it can.
    pub(super) is_unaligned: bool,
    /// What was in flight and belongs to the checkpoint.
    pub(super) in_flight: Vec<CapturedInput>,
    /// The state of each operator of the chain.
    pub(super) operators: Vec<OperatorPart>,
}
