//! The wake of an actor: a message that is sent only when none is under way.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::channel::Wake;

/// Wakes one subtask actor. Links hold it from before the actor exists.
#[derive(Default)]
pub(super) struct ActorWake {
    /// Whether a wake is under way that the actor has not taken up yet.
    pending: AtomicBool,
    actor: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl ActorWake {
    /// Says how to wake the actor. What happened before is not lost: an actor takes a first step on its own.
    pub(super) fn set_actor(&self, wake: impl Fn() + Send + Sync + 'static) {
        // A second call would come from a second actor for the same subtask, and there is none.
        let _ = self.actor.set(Box::new(wake));
    }

    /// The actor is about to look at its links: whatever comes from now on needs a new wake.
    pub(super) fn taken_up(&self) {
        self.pending.store(false, Ordering::SeqCst);
    }
}

impl Wake for ActorWake {
    fn wake(&self) {
        if let Some(actor) = self.actor.get()
            && !self.pending.swap(true, Ordering::SeqCst)
        {
            actor();
        }
    }
}
