//! What the thread that commits tells the subtask, and what whoever closes the sink tells that thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pending_transaction::PendingTransaction;
use crate::channel::Wake;
use crate::error::{Error, ErrorKind, Result};

/// Shared by a sink subtask and its background.
pub(super) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
    /// Makes the subtask look for room.
    wake: Arc<dyn Wake>,
}

#[derive(Default)]
struct State {
    /// What the subtask has not heard of yet.
    settled: Vec<Arc<PendingTransaction>>,
    has_recovered: bool,
    is_closed: bool,
    failure: Option<(ErrorKind, String)>,
}

impl Progress {
    pub(super) fn new(wake: Arc<dyn Wake>) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            wake,
        }
    }

    /// These transactions are settled.
    pub(super) fn settled(&self, settled: Vec<Arc<PendingTransaction>>) {
        if !settled.is_empty() {
            self.lock().settled.extend(settled);
            self.wake.wake();
        }
    }

    /// All that was restored is settled.
    pub(super) fn recovered(&self) {
        self.lock().has_recovered = true;
        self.changed.notify_all();
    }

    /// The thread that commits has failed, and will do nothing more.
    pub(super) fn failed(&self, error: &Error) {
        self.lock().failure = Some((error.kind(), error.full_message()));
        self.changed.notify_all();
    }

    /// The subtask is gone: nobody waits for anything any more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Takes out what is settled.
    pub(super) fn take_settled(&self) -> Vec<Arc<PendingTransaction>> {
        std::mem::take(&mut self.lock().settled)
    }

    /// Waits until all that was restored is settled.
    ///
    /// # Errors
    /// What the thread that commits has failed with; or that the sink was closed.
    pub(super) fn wait_recovered(&self) -> Result<()> {
        let goes_on =
            |state: &mut State| !state.has_recovered && !state.is_closed && state.failure.is_none();
        let state = self.changed.wait_while(self.lock(), goes_on);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        match &state.failure {
            Some((kind, message)) => Err(Error::new(*kind, message.clone())),
            None if state.has_recovered => Ok(()),
            None => Err(closed()),
        }
    }

    /// Looks whether the subtask is still there.
    ///
    /// # Errors
    /// When the sink was closed.
    pub(super) fn ensure_open(&self) -> Result<()> {
        self.pause(Duration::ZERO)
    }

    /// Lets `duration` pass.
    ///
    /// # Errors
    /// When the sink was closed, which ends the wait.
    pub(super) fn pause(&self, duration: Duration) -> Result<()> {
        let goes_on = |state: &mut State| !state.is_closed;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), duration, goes_on);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            Err(closed())
        } else {
            Ok(())
        }
    }

    /// Whether all that was restored is settled.
    #[cfg(test)]
    pub(super) fn has_recovered(&self) -> bool {
        self.lock().has_recovered
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> Error {
    let message = "the job ended before the kafka sink had committed its last transaction; it is in the last checkpoint";
    Error::new(ErrorKind::Environment, message)
}
