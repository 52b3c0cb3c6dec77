//! What can happen next, and what has happened.

use std::fmt;
use std::time::Duration;

use super::executor::TaskId;
use super::mail::Lane;
use crate::model::{CheckpointId, SubtaskId};
use crate::runtime::message::{Control, ReportBody};
use crate::runtime::subtask::Progress;

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The subtask at this place is made, and opened.
    Open(usize),
    /// It takes a step.
    Step(usize),
    /// It takes the next order of the coordinator.
    Order(usize),
    /// The coordinator takes the next letter from this lane.
    Letter(Lane),
    /// A background task goes on.
    Background(TaskId),
    /// The time has come for which the coordinator asked.
    Tick,
}

/// What somebody outside asks for, without waiting for what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A checkpoint.
    Checkpoint,
    /// To stop with a last checkpoint.
    Stop,
    /// To end at once.
    #[cfg(test)]
    Cancel,
}

/// What an [`Action`] would be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upcoming {
    /// A subtask hears of the barrier of a checkpoint.
    Trigger,
    /// A subtask hears that a checkpoint is complete.
    Complete,
    /// The coordinator hears that state is durable.
    Acknowledgement,
    /// The coordinator hears that a manifest is durable.
    Manifest,
    /// Anything else.
    Other,
}

/// What came of an [`Action`].
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A subtask was opened, or could not be.
    Opened(SubtaskId, bool),
    /// A subtask took a step, and needs this before the next; nothing when it has ended.
    Stepped(SubtaskId, Option<Progress>),
    /// A subtask took an order.
    Obeyed(SubtaskId, Control),
    /// The coordinator heard that a subtask is open.
    HeardOpened(SubtaskId),
    /// The coordinator took a report.
    Heard(SubtaskId, Heard),
    /// The coordinator heard whether a manifest is durable.
    HeardManifest(CheckpointId, bool),
    /// The coordinator heard that a removal has ended.
    HeardCleaned,
    /// The coordinator heard of the directory of a savepoint.
    HeardLocated,
    /// A background task went on; whether it is done.
    Background(TaskId, bool),
    /// The coordinator looked at the clock.
    Ticked(Duration),
}

/// What a report was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// State is safe in the store.
    Acknowledged(CheckpointId),
    /// A subtask gave a checkpoint up.
    Declined(CheckpointId),
    /// The store did not take a subtask's part.
    UploadFailed(CheckpointId),
    /// The second phase is done.
    Committed(CheckpointId),
    /// A sink wants a checkpoint.
    CheckpointWanted,
    /// All input is worked off.
    Finished,
    /// A subtask has failed.
    Failed,
    /// A subtask has ended.
    Ended,
}

impl Heard {
    pub(super) fn of(body: &ReportBody) -> Self {
        match body {
            ReportBody::Acknowledged(checkpoint, _) => Self::Acknowledged(*checkpoint),
            ReportBody::Declined(checkpoint, _) => Self::Declined(*checkpoint),
            ReportBody::UploadFailed(checkpoint, _) => Self::UploadFailed(*checkpoint),
            ReportBody::Committed(checkpoint) => Self::Committed(*checkpoint),
            ReportBody::CheckpointWanted => Self::CheckpointWanted,
            ReportBody::Finished => Self::Finished,
            ReportBody::Failed(..) => Self::Failed,
            ReportBody::Ended => Self::Ended,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(subtask, true) => write!(formatter, "{subtask} opens"),
            Self::Opened(subtask, false) => write!(formatter, "{subtask} cannot be opened"),
            Self::Stepped(subtask, Some(progress)) => {
                write!(formatter, "{subtask} steps: {progress:?}")
            }
            Self::Stepped(subtask, None) => write!(formatter, "{subtask} steps and ends"),
            Self::Obeyed(subtask, order) => write!(formatter, "{subtask} obeys {order:?}"),
            Self::HeardOpened(subtask) => write!(formatter, "heard that {subtask} is open"),
            Self::Heard(subtask, heard) => write!(formatter, "heard of {subtask}: {heard:?}"),
            Self::HeardManifest(checkpoint, true) => {
                write!(formatter, "heard that manifest {checkpoint} is durable")
            }
            Self::HeardManifest(checkpoint, false) => {
                write!(formatter, "heard that manifest {checkpoint} failed")
            }
            Self::HeardCleaned => formatter.write_str("heard that a removal has ended"),
            Self::HeardLocated => formatter.write_str("heard of the directory of a savepoint"),
            Self::Background(task, is_done) => {
                let end = if *is_done { " and is done" } else { "" };
                write!(formatter, "background {} goes on{end}", task.0)
            }
            Self::Ticked(now) => write!(formatter, "tick at {now:?}"),
        }
    }
}
