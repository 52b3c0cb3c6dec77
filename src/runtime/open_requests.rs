//! Requests that are not answered yet.

use std::collections::BTreeMap;

use crate::coordinator::{CheckpointFailure, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::StoreLocation;

use super::request::{CompletedCheckpoint, CompletedStop};
use super::ticket::Answer;

/// Requests that are not answered yet, and what they are answered with.
#[derive(Default)]
pub(super) struct OpenRequests {
    open: BTreeMap<RequestId, OpenRequest>,
    /// How many there have been.
    seen: u64,
    /// What is complete, as long as a request is open that may be answered with it.
    completed: BTreeMap<CheckpointId, Completed>,
}

/// A request, with whom to answer.
pub(super) enum OpenRequest {
    Checkpoint(Answer<CompletedCheckpoint>),
    Savepoint {
        answer: Answer<CompletedCheckpoint>,
        directory: StoreLocation,
    },
    Stop {
        answer: Answer<CompletedStop>,
        /// Where the savepoint goes, if one is wanted.
        directory: Option<StoreLocation>,
        /// Whether the input is to end first.
        drain: bool,
    },
}

impl OpenRequest {
    /// Where the savepoint goes, if one is wanted.
    pub(super) fn directory(&self) -> Option<&StoreLocation> {
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
    pub(super) fn directory(&self, request: RequestId) -> Option<StoreLocation> {
        self.open.get(&request)?.directory().cloned()
    }

    /// The directory of the savepoint that the job is to stop with.
    pub(super) fn stop_directory(&self) -> Option<StoreLocation> {
        let mut open = self.open.values();
        let stop = open.find(|request| matches!(request, OpenRequest::Stop { .. }));
        stop?.directory().cloned()
    }

    /// A checkpoint is complete. It is remembered for whoever asked for it: the answer to a stop comes only when all is
    /// committed, and a savepoint that was under way can become complete before that.
    pub(super) fn completed(&mut self, checkpoint: CheckpointId, completed: Completed) {
        if !self.open.is_empty() {
            self.completed.insert(checkpoint, completed);
        }
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
        if self.open.is_empty() {
            self.completed.clear();
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime::ticket::Ticket;
    use crate::snapshot::SnapshotKind;

    fn completed(id: u64, kind: SnapshotKind) -> CompletedCheckpoint {
        CompletedCheckpoint {
            id: CheckpointId(id),
            kind,
            path: format!("chk-{id}"),
            bytes: 1,
            duration: Duration::ZERO,
        }
    }

    /// A savepoint that became complete between a stop's checkpoint and its commit once made the stop forget it.
    #[test]
    fn a_stop_is_answered_although_a_savepoint_becomes_complete_before_its_commit() {
        let mut requests = OpenRequests::default();
        let (answer, saved) = Ticket::new();
        let directory = StoreLocation::of_folder("savepoints");
        let savepoint = requests.add(OpenRequest::Savepoint { answer, directory });
        let (answer, stopped) = Ticket::new();
        let stop = requests.add(OpenRequest::Stop {
            answer,
            directory: None,
            drain: false,
        });
        let own = Completed {
            checkpoint: Some(completed(5, SnapshotKind::Checkpoint)),
            savepoint: None,
        };
        requests.completed(CheckpointId(5), own);
        let other = Completed {
            checkpoint: None,
            savepoint: Some(completed(4, SnapshotKind::Savepoint)),
        };
        requests.completed(CheckpointId(4), other);
        requests.answer(savepoint, Ok(CheckpointId(4)));
        requests.answer(stop, Ok(CheckpointId(5)));
        assert_eq!(saved.wait().unwrap().id, CheckpointId(4));
        assert_eq!(stopped.wait().unwrap().checkpoint.id, CheckpointId(5));
        assert!(requests.completed.is_empty(), "nobody is left to be told");
    }
}
