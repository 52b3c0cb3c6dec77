//! What controls a running job, from outside.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Addr;

use crate::runtime::coordinator::Request;
use crate::runtime::coordinator_actor::CoordinatorActor;

/// Controls a running job, from any thread. Once the job has ended, nothing that is asked for has an effect.
#[derive(Clone)]
pub struct JobControl(Arc<Relay>);

impl JobControl {
    /// A control of a job that this relay leads to.
    pub(super) fn over(relay: &Arc<Relay>) -> Self {
        Self(Arc::clone(relay))
    }

    /// Asks for a checkpoint now.
    pub fn checkpoint(&self) {
        self.0.pass_on(Request::Checkpoint);
    }

    /// Asks the job to stop with a last checkpoint, from which it can be resumed. A job that has failed, and waits to be
    /// started again, ends without one.
    pub fn stop(&self) {
        self.0.pass_on(Request::Stop);
    }

    /// Asks the job to end at once; it can be resumed from its newest checkpoint.
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
}

impl Relay {
    fn pass_on(&self, request: Request) {
        let mut state = self.lock();
        match (&state.coordinator, request) {
            (Some(coordinator), _) => coordinator.do_send(request),
            (None, Request::Stop | Request::Cancel) => {
                state.end_requested = true;
                self.end_requested.notify_all();
            }
            (None, Request::Checkpoint) => {
                tracing::debug!("nothing runs that a checkpoint could be taken of");
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

    /// Nothing in here is ever half changed, so a panic elsewhere is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, RelayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough that the test would be seen to hang.
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_request_to_end_ends_the_wait_between_two_attempts() {
        for ask in [JobControl::stop, JobControl::cancel] {
            let relay = Arc::new(Relay::default());
            assert!(!relay.wait(Duration::ZERO));
            JobControl::over(&relay).checkpoint();
            assert!(!relay.wait(Duration::ZERO));
            let control = JobControl::over(&relay);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| relay.wait(LONG));
                ask(&control);
                assert!(waiting.join().unwrap());
            });
            assert!(relay.wait(LONG), "the next wait does not begin");
        }
    }
}
