//! Requests that are not answered yet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::coordinator::{CheckpointFailure, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;

use super::request::{CompletedCheckpoint, CompletedStop};
use super::ticket::Answer;

/// Requests that are not answered yet, and what they are answered with.
#[derive(Default)]
pub(super) struct OpenRequests {
    open: BTreeMap<RequestId, OpenRequest>,
    /// How many there have been.
    seen: u64,
    /// The last checkpoint that somebody will be told of, until that is done.
    completed: BTreeMap<CheckpointId, Completed>,
}

/// A request, with whom to answer.
pub(super) enum OpenRequest {
    Checkpoint(Answer<CompletedCheckpoint>),
    Savepoint {
        answer: Answer<CompletedCheckpoint>,
        directory: PathBuf,
    },
    Stop {
        answer: Answer<CompletedStop>,
        /// Where the savepoint goes, if one is wanted.
        directory: Option<PathBuf>,
        /// Whether the input is to end first.
        drain: bool,
    },
}

impl OpenRequest {
    /// Where the savepoint goes, if one is wanted.
    pub(super) fn directory(&self) -> Option<&PathBuf> {
        match self {
            Self::Checkpoint(_) => None,
            Self::Savepoint { directory, .. } => Some(directory),
            Self::Stop { directory, .. } => directory.as_ref(),
        }
    }

    /// Answers that nothing comes of it. Whoever asked need not wait for the answer.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Checkpoint(answer) | Self::Savepoint { answer, .. } => {
                let _ = answer.send(Err(error));
            }
            Self::Stop { answer, .. } => {
                let _ = answer.send(Err(error));
            }
        }
    }
}

/// What was written for one checkpoint: in the job's own store, and as a savepoint.
#[derive(Default)]
pub(super) struct Completed {
    pub(super) checkpoint: Option<CompletedCheckpoint>,
    pub(super) savepoint: Option<CompletedCheckpoint>,
}

impl OpenRequests {
    /// Keeps the request until it is answered.
    pub(super) fn add(&mut self, request: OpenRequest) -> RequestId {
        self.seen += 1;
        let id = RequestId(self.seen);
        self.open.insert(id, request);
        id
    }

    /// The directory of the savepoint that the request is for.
    pub(super) fn directory(&self, request: RequestId) -> Option<PathBuf> {
        self.open.get(&request)?.directory().cloned()
    }

    /// The directory of the savepoint that the job is to stop with.
    pub(super) fn stop_directory(&self) -> Option<PathBuf> {
        let mut open = self.open.values();
        let stop = open.find(|request| matches!(request, OpenRequest::Stop { .. }));
        stop?.directory().cloned()
    }

    /// A checkpoint is complete. It is remembered until the next one, for whoever asked for it.
    pub(super) fn completed(&mut self, checkpoint: CheckpointId, completed: Completed) {
        // Answers follow at once, but that of a stop, after which there is no other checkpoint.
        self.completed.clear();
        self.completed.insert(checkpoint, completed);
    }

    /// Answers a request.
    pub(super) fn answer(
        &mut self,
        request: RequestId,
        result: Result<CheckpointId, CheckpointFailure>,
    ) {
        let Some(open) = self.open.remove(&request) else {
            return;
        };
        let result = result.map_err(|failure| {
            let message = format!("no snapshot was taken: {failure}");
            Error::new(ErrorKind::Environment, message)
        });
        let completed = result.map(|id| self.completed.remove(&id).unwrap_or_default());
        // Whoever asked need not wait for the answer.
        match open {
            OpenRequest::Checkpoint(answer) => {
                let _ = answer.send(completed.and_then(|completed| taken(completed.checkpoint)));
            }
            OpenRequest::Savepoint { answer, .. } => {
                let _ = answer.send(completed.and_then(|completed| taken(completed.savepoint)));
            }
            OpenRequest::Stop {
                answer, directory, ..
            } => {
                let _ = answer.send(completed.and_then(|completed| {
                    let stop = CompletedStop {
                        checkpoint: taken(completed.checkpoint)?,
                        savepoint: completed.savepoint,
                    };
                    match stop.savepoint.is_none() && directory.is_some() {
                        false => Ok(stop),
                        true => Err(Error::new(
                            ErrorKind::Environment,
                            "the job finished before the savepoint could be taken, start from its last checkpoint \
                             instead",
                        )),
                    }
                }));
            }
        }
    }
}

fn taken(completed: Option<CompletedCheckpoint>) -> Result<CompletedCheckpoint> {
    completed
        .ok_or_else(|| Error::new(ErrorKind::Bug, "nothing is known of a completed checkpoint"))
}
