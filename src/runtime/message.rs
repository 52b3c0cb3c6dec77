//! The messages of the control lane.

use std::sync::Arc;
use std::time::Duration;

use actix::{Message, Recipient};

use crate::channel::{Barrier, DeclineReason};
use crate::coordinator::CheckpointKind;
use crate::error::{Error, Result};
use crate::model::{CheckpointId, OperatorId, SubtaskId};

use super::background::SubtaskAck;
use super::committer::{Committed, WriteFailure};
use super::open_requests::OpenRequest;

/// To a subtask: there is input on a link, or room in one.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WakeUp;

/// What the coordinator tells every subtask.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum Control {
    /// Every subtask is open: begin.
    Start,
    /// The barrier of a checkpoint.
    Trigger {
        barrier: Barrier,
        /// Sources emit nothing after this barrier.
        stop: bool,
    },
    /// The input of every source ends here.
    Drain,
    /// The checkpoint is complete.
    Complete(CheckpointId),
    /// The checkpoint is given up.
    Abort(CheckpointId),
    /// End now, without ceremony.
    Cancel,
}

#[cfg(test)]
impl Control {
    /// The checkpoint whose barrier it is, if it is one.
    pub(crate) fn triggered(self) -> Option<CheckpointId> {
        match self {
            Self::Trigger { barrier, .. } => Some(barrier.checkpoint),
            _ => None,
        }
    }
}

/// What a subtask, or its background work, tells the coordinator.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Report {
    pub(super) subtask: SubtaskId,
    pub(super) body: ReportBody,
}

/// Takes a [`Report`] to the coordinator, wherever that lives.
pub(super) type Reporter = Arc<dyn Fn(Report) + Send + Sync>;

/// What a subtask's actor tells the coordinator when its operators are open.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Opened {
    pub(super) subtask: SubtaskId,
    /// Where it takes its orders.
    pub(super) address: Recipient<Control>,
}

/// The content of a [`Report`].
pub(super) enum ReportBody {
    /// State is safe in the store.
    Acknowledged(CheckpointId, Box<SubtaskAck>),
    /// The subtask gave a checkpoint up while aligning its barriers.
    Declined(CheckpointId, DeclineReason),
    /// The store did not take the subtask's part of a checkpoint.
    UploadFailed(CheckpointId, Error),
    /// The second phase is done.
    Committed(CheckpointId),
    /// A sink wants a checkpoint before the next is due.
    CheckpointWanted,
    /// All input has ended and is worked off.
    Finished,
    /// The subtask is of no use any more.
    Failed(OperatorId, Error),
    /// The actor has ended.
    Ended,
}

/// What work in the store tells the coordinator.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum StoreReport {
    /// A manifest is durable, or could not be written.
    Manifest(ManifestWritten),
    /// A removal of superseded checkpoints has ended.
    Cleaned,
    /// The directory of the savepoint that is asked for is there, or cannot be used.
    Located(OpenRequest, Result<()>),
}

/// A manifest is durable, or could not be written.
pub(super) struct ManifestWritten {
    pub(super) checkpoint: CheckpointId,
    pub(super) kind: CheckpointKind,
    pub(super) triggered_at: Duration,
    pub(super) result: Result<Committed, WriteFailure>,
}

/// Takes a [`StoreReport`] to the coordinator, wherever that lives.
pub(super) type StoreReporter = Arc<dyn Fn(StoreReport) + Send + Sync>;
