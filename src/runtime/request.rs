//! What somebody outside asks of a running job, and what is answered.

use std::time::Duration;

use actix::Message;

use crate::model::CheckpointId;
use crate::snapshot::SnapshotKind;

use super::ticket::Answer;

/// Asks for a savepoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavepointRequest {
    /// The directory to make its folder in, as a path or a `file://` address; that of the settings unless given.
    pub directory: Option<String>,
}

/// Asks a job to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopRequest {
    /// Takes a savepoint as well, of exactly what the job stops with.
    pub savepoint: Option<SavepointRequest>,
    /// Ends the input first: event time comes to its end, all timers fire, and all output is committed. The job has
    /// finished then, and is not meant to be resumed.
    pub drain: bool,
}

/// A checkpoint or a savepoint that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedCheckpoint {
    /// Its id.
    pub id: CheckpointId,
    /// Whether it is a checkpoint or a savepoint.
    pub kind: SnapshotKind,
    /// Its folder, as an absolute path: what a job can be started from.
    pub path: String,
    /// How many bytes it added to the store.
    pub bytes: u64,
    /// From its trigger to the durable manifest.
    pub duration: Duration,
}

/// A job that has stopped: everything up to its last checkpoint is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedStop {
    /// The job's last checkpoint, from which it goes on when it is run again.
    pub checkpoint: CompletedCheckpoint,
    /// The savepoint of the same state, if it was asked for.
    pub savepoint: Option<CompletedCheckpoint>,
}

/// What is asked for, with whom to answer.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum Request {
    /// Take a checkpoint now.
    Checkpoint(Answer<CompletedCheckpoint>),
    /// Take a savepoint now.
    Savepoint(SavepointRequest, Answer<CompletedCheckpoint>),
    /// Stop with a last checkpoint.
    Stop(StopRequest, Answer<CompletedStop>),
    /// End at once.
    Cancel,
}
