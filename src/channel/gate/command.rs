//! What a gate says, and the words it needs for that.

use std::time::Duration;

use crate::model::{CheckpointId, EventTime};

/// Why a subtask gives up a checkpoint during its alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclineReason {
    /// The barrier of a newer checkpoint came first.
    Subsumed,
    /// A subtask upstream had given it up.
    CancellationBarrier,
}

/// How long an alignment took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// From the trigger to the first barrier; zero if the barrier came before the trigger.
    pub start_delay: Duration,
    /// From the first barrier to the last.
    pub duration: Duration,
}

/// What the owner of a gate has to do, in the order given, and before it reads any input again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateCommand {
    /// Read nothing more from this input.
    Block(usize),
    /// Read all inputs again.
    UnblockAll,
    /// All inputs are aligned: pass the barrier on and take the snapshot, now.
    Snapshot {
        /// The checkpoint that the snapshot belongs to.
        checkpoint: CheckpointId,
        /// How long the alignment took.
        alignment: Alignment,
    },
    /// Tell the coordinator that this subtask has given up the checkpoint.
    Decline {
        /// The checkpoint that was given up.
        checkpoint: CheckpointId,
        /// Why it was given up.
        reason: DeclineReason,
    },
    /// Send a cancel barrier to all outputs.
    ForwardCancel(CheckpointId),
    /// Event time has advanced, because an input that was behind has ended.
    AdvanceWatermark(EventTime),
    /// All inputs have ended.
    End,
}
