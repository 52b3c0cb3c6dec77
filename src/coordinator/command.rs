//! What the checkpoint coordinator asks for.

use std::fmt;
use std::time::Duration;

use super::checkpoint_failure::CheckpointFailure;
use super::request_queue::RequestId;
use crate::model::{CheckpointId, SubtaskId};

/// Why a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointKind {
    /// The interval has passed.
    Periodic,
    /// Somebody asked for it.
    Requested,
    /// All subtasks have finished: it covers everything, and commits the last output.
    Final,
    /// The job is to stop and to be resumed later: each source stops right after its barrier, and sends no end, so
    /// that nothing downstream takes the stop for the end of the input.
    Stop,
    /// Somebody asked for a savepoint. It commits nothing outside, and neither subsumes nor is subsumed.
    Savepoint,
}

impl CheckpointKind {
    /// Whether its barrier may overtake what is in flight. What people keep holds no records in flight, so that it can be
    /// resumed from with another graph.
    pub fn may_overtake(self) -> bool {
        match self {
            Self::Periodic | Self::Requested | Self::Final => true,
            Self::Stop | Self::Savepoint => false,
        }
    }

    /// Whether no other checkpoint follows when one of this kind completes.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Final | Self::Stop)
    }
}

impl fmt::Display for CheckpointKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Periodic => "periodic",
            Self::Requested => "requested",
            Self::Final => "final",
            Self::Stop => "stop",
            Self::Savepoint => "savepoint",
        })
    }
}

/// What the owner of the coordinator has to do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointCommand<A> {
    /// Send the trigger to every subtask that takes part.
    Trigger {
        /// The checkpoint to take.
        checkpoint: CheckpointId,
        /// Why it is taken; [`CheckpointKind::Stop`] tells sources to stop after their barrier.
        kind: CheckpointKind,
        /// The subtasks that have finished for good, in order. They take no part, neither in this checkpoint nor in any
        /// later one.
        finished: Vec<SubtaskId>,
    },
    /// Write the manifest, and then report `manifest_committed` or `manifest_failed`. One of the two must come in
    /// the end, so the writer needs a timeout of its own: a write under way cannot be taken back, and so the
    /// checkpoint does not expire any more. After a failure the acknowledged state is the writer's to discard. A
    /// savepoint can be under way beside a checkpoint.
    WriteManifest {
        /// The checkpoint to complete.
        checkpoint: CheckpointId,
        /// Why it was taken.
        kind: CheckpointKind,
        /// What each subtask acknowledged, in the order of the subtasks.
        acknowledged: Vec<(SubtaskId, A)>,
        /// The subtasks that took no part, in order: they are recorded as finished.
        finished: Vec<SubtaskId>,
        /// When it was triggered, on the job's clock.
        triggered_at: Duration,
    },
    /// Tell every subtask that takes part that the checkpoint is complete: side effects may be committed. Each reports
    /// `committed`.
    NotifyComplete(CheckpointId),
    /// Tell every subtask that takes part that the checkpoint was aborted.
    NotifyAborted {
        /// The checkpoint that was aborted.
        checkpoint: CheckpointId,
        /// Why it was aborted.
        failure: CheckpointFailure,
    },
    /// No checkpoint took up this acknowledged state: remove what nothing else refers to.
    Discard(A),
    /// Call `tick` at this time of the job's clock. It replaces any time asked for before.
    WakeAt(Duration),
    /// Fail the job: more checkpoints have failed than it tolerates, this one last, or its stop checkpoint has.
    FailJob {
        /// Why the last one was taken.
        kind: CheckpointKind,
        /// What became of it.
        failure: CheckpointFailure,
    },
    /// Tell every source that its input ends here, as if it had no more: the job is to be drained.
    Drain,
    /// Tell whoever asked what has come of it: the checkpoint that is complete, of a stop committed as well.
    Answer {
        /// Which request this answers.
        request: RequestId,
        /// The checkpoint, or why there is none.
        result: Result<CheckpointId, CheckpointFailure>,
    },
    /// All subtasks have finished, and everything they wrote is committed: the job is done.
    Finished,
    /// The stop checkpoint is complete, and everything before it is committed: the job can be resumed from it.
    Stopped,
}
