//! What controls a running job, from outside.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Addr;

use crate::coordinator::FailureReason;
use crate::error::{Error, ErrorKind};
use crate::runtime::coordinator_actor::CoordinatorActor;
use crate::runtime::request::{
    CompletedCheckpoint, CompletedStop, Request, SavepointRequest, StopRequest,
};
use crate::runtime::ticket::Ticket;

/// Controls a running job, from any thread. Once the job has ended, nothing that is asked for has an effect, and the
/// tickets say so.
#[derive(Clone)]
pub struct JobControl(Arc<Relay>);

impl JobControl {
    /// A control of a job that this relay leads to.
    pub(super) fn over(relay: &Arc<Relay>) -> Self {
        Self(Arc::clone(relay))
    }

    /// Asks for a checkpoint now.
    pub fn checkpoint(&self) -> Ticket<CompletedCheckpoint> {
        let (answer, ticket) = Ticket::new();
        self.0.pass_on(Request::Checkpoint(answer));
        ticket
    }

    /// Asks for a savepoint now: a self-contained snapshot that belongs to whoever asks. The job commits nothing outside
    /// on account of it, and goes on.
    pub fn savepoint(&self, request: SavepointRequest) -> Ticket<CompletedCheckpoint> {
        let (answer, ticket) = Ticket::new();
        self.0.pass_on(Request::Savepoint(request, answer));
        ticket
    }

    /// Asks the job to stop with a last checkpoint, from which it can be resumed. The ticket is answered when everything
    /// up to it is committed. When a savepoint is asked for and its directory cannot be used, the job goes on. A job that
    /// has failed, and waits to be started again, ends without a checkpoint.
    pub fn stop(&self, request: StopRequest) -> Ticket<CompletedStop> {
        let (answer, ticket) = Ticket::new();
        self.0.pass_on(Request::Stop(request, answer));
        ticket
    }

    /// Asks the job to end at once; it can be resumed from its newest checkpoint, unless [`crate::config::OnCancel`] says
    /// otherwise.
    pub fn cancel(&self) {
        self.0.pass_on(Request::Cancel);
    }
}

/// Leads from whoever controls a job to the coordinator of its present attempt.
#[derive(Default)]
pub(super) struct Relay {
    state: Mutex<RelayState>,
    /// Told when the end is requested while there is no coordinator.
    end_requested: Condvar,
}

#[derive(Default)]
struct RelayState {
    /// Nothing between two attempts.
    coordinator: Option<Addr<CoordinatorActor>>,
    /// Whether the end was requested while there was no coordinator to tell.
    end_requested: bool,
    /// Whether anybody has asked for the end at once.
    cancel_requested: bool,
}

impl Relay {
    fn pass_on(&self, request: Request) {
        let mut state = self.lock();
        state.cancel_requested |= matches!(request, Request::Cancel);
        if let Some(coordinator) = &state.coordinator {
            return coordinator.do_send(request);
        }
        match request {
            Request::Cancel
            | Request::Stop(
                StopRequest {
                    savepoint: None, ..
                },
                _,
            ) => {
                state.end_requested = true;
                self.end_requested.notify_all();
            }
            // Nobody need wait for the answer.
            Request::Stop(_, answer) => drop(answer.send(Err(nothing_runs()))),
            Request::Checkpoint(answer) | Request::Savepoint(_, answer) => {
                drop(answer.send(Err(nothing_runs())));
            }
        }
    }

    /// From now on this coordinator is told. It hears at once if the end was requested before.
    pub(super) fn attach(&self, coordinator: Addr<CoordinatorActor>) {
        let mut state = self.lock();
        if state.end_requested {
            coordinator.do_send(Request::Cancel);
        }
        state.coordinator = Some(coordinator);
    }

    /// From now on no coordinator is told.
    pub(super) fn detach(&self) {
        self.lock().coordinator = None;
    }

    /// Waits so long, or until the end is requested; whether it is. Blocks the thread.
    pub(super) fn wait(&self, delay: Duration) -> bool {
        let waited = self
            .end_requested
            .wait_timeout_while(self.lock(), delay, |state| !state.end_requested);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.end_requested
    }

    /// Whether the job was to be cancelled, and not only to stop.
    pub(super) fn cancel_requested(&self) -> bool {
        self.lock().cancel_requested
    }

    /// Nothing in here is ever half changed, so a panic elsewhere is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, RelayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nothing_runs() -> Error {
    let message = "the job has failed, and waits to be started again";
    Error::new(ErrorKind::Environment, message).context(FailureReason::NotAllTasksRunning)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough that the test would be seen to hang.
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_request_to_end_ends_the_wait_between_two_attempts() {
        let stop: fn(&JobControl) = |control| drop(control.stop(StopRequest::default()));
        let cancel: fn(&JobControl) = JobControl::cancel;
        for (ask, is_cancellation) in [(stop, false), (cancel, true)] {
            let relay = Arc::new(Relay::default());
            assert!(!relay.wait(Duration::ZERO));
            let error = JobControl::over(&relay).checkpoint().wait().unwrap_err();
            let reason = "NOT_ALL_REQUIRED_TASKS_RUNNING: ";
            assert!(error.to_string().starts_with(reason), "{error}");
            let with_savepoint = StopRequest {
                savepoint: Some(SavepointRequest::default()),
                drain: false,
            };
            let stopped = JobControl::over(&relay).stop(with_savepoint);
            assert!(stopped.wait().is_err());
            assert!(!relay.wait(Duration::ZERO));
            let control = JobControl::over(&relay);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| relay.wait(LONG));
                ask(&control);
                assert!(waiting.join().unwrap());
            });
            assert!(relay.wait(LONG), "the next wait does not begin");
            assert_eq!(relay.cancel_requested(), is_cancellation);
        }
    }
}
