//! What somebody outside asks of the coordinator.

use std::sync::Arc;

use crate::coordinator::{JobState, RequestKind};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::message::StoreReport;
use crate::runtime::open_requests::OpenRequest;
use crate::runtime::request::{Request, SavepointRequest, StopRequest};
use crate::runtime::ticket::Answer;
use crate::storage::StoreLocation;

use super::{Coordinator, Effect};

impl Coordinator {
    /// Somebody outside asks for something.
    pub(in crate::runtime) fn requested(&mut self, request: Request) -> Vec<Effect> {
        match request {
            Request::Checkpoint(answer) => self.admit(OpenRequest::Checkpoint(answer)),
            Request::Savepoint(SavepointRequest { directory }, answer) => {
                match self.directory(directory) {
                    Ok(directory) => self.locate(OpenRequest::Savepoint { answer, directory }),
                    Err(error) => refuse(answer, error),
                }
            }
            Request::Stop(StopRequest { savepoint, drain }, answer) => {
                let directory = savepoint.map(|savepoint| self.directory(savepoint.directory));
                match directory.transpose() {
                    Ok(directory) => self.locate(OpenRequest::Stop {
                        answer,
                        directory,
                        drain,
                    }),
                    Err(error) => refuse(answer, error),
                }
            }
            Request::Cancel => {
                let commands = self.life.cancel();
                self.live(commands);
            }
        }
        self.take_effects()
    }

    /// The directory that a savepoint goes to.
    fn directory(&self, requested: Option<String>) -> Result<StoreLocation> {
        let directory = requested.or_else(|| self.committer.savepoint_directory.clone());
        let directory = directory.ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "no directory for savepoints: name one, or set checkpoint.savepoint_dir",
            )
        })?;
        let working_directory = std::env::current_dir()
            .map_err(|error| Error::io("find the working directory", error))?;
        StoreLocation::parse(&directory, &working_directory)
    }

    /// Sees to it that the directory of the savepoint is there before the job does anything for it.
    fn locate(&mut self, request: OpenRequest) {
        match request.directory().cloned() {
            None => self.admit(request),
            Some(directory) => {
                let reporter = Arc::clone(&self.store_reporter);
                self.committer.locate(directory, move |result| {
                    reporter(StoreReport::Located(request, result));
                });
            }
        }
    }

    /// Passes a request on that can be carried out.
    pub(super) fn admit(&mut self, request: OpenRequest) {
        let kind = match &request {
            OpenRequest::Checkpoint(_) => RequestKind::Checkpoint,
            OpenRequest::Savepoint { .. } => RequestKind::Savepoint,
            OpenRequest::Stop { drain, .. } => return self.admit_stop(*drain, request),
        };
        let id = self.requests.add(request);
        let commands = self.checkpoints.requested(id, kind, self.now());
        self.carry_out(commands);
    }

    fn admit_stop(&mut self, drain: bool, request: OpenRequest) {
        if !matches!(self.life.state(), JobState::Restoring | JobState::Running) {
            if request.directory().is_none() {
                // A job that has failed is not started again then.
                let commands = self.life.stop();
                self.live(commands);
            }
            let state = "the job is already coming to its end";
            return request.refuse(Error::new(ErrorKind::Conflict, state));
        }
        self.stop = Some((self.requests.add(request), drain));
        let commands = self.life.stop();
        self.live(commands);
    }
}

/// Answers that nothing comes of a request. Whoever asked need not wait for the answer.
fn refuse<T>(answer: Answer<T>, error: Error) {
    let _ = answer.send(Err(error));
}
