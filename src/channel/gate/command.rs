//! What a gate says, and the words it needs for that.

use std::time::Duration;

use crate::channel::Barrier;
use crate::model::{CheckpointId, EventTime};

/// Why a subtask gives up a checkpoint during its alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclineReason {
    /// The barrier of a newer checkpoint came first.
    Subsumed,
    /// A subtask upstream had given it up.
    CancellationBarrier,
    /// More was in flight before its barrier than a checkpoint takes.
    InFlightTooLarge,
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
    /// Read nothing more from this input but what its barrier has overtaken.
    Block(usize),
    /// Read all inputs again.
    UnblockAll,
    /// Pass the barrier on and take the snapshot, now. What the barrier has overtaken on an input, and is not worked off
    /// yet, belongs to it.
    Snapshot {
        /// The barrier of the checkpoint that the snapshot belongs to.
        barrier: Barrier,
        /// How long the alignment took. Nothing when the barrier is still missing on inputs: what they bring before it
        /// belongs to the snapshot as well, until [`GateCommand::Aligned`] or a [`GateCommand::EndCapture`].
        alignment: Option<Alignment>,
    },
    /// The barrier of a snapshot that was taken without waiting for all inputs has now arrived on all of them.
    Aligned {
        /// The checkpoint that the snapshot belongs to.
        checkpoint: CheckpointId,
        /// How long the alignment took.
        alignment: Alignment,
    },
    /// The checkpoint was given up although its snapshot was taken: nothing more that is in flight belongs to it.
    EndCapture(CheckpointId),
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
