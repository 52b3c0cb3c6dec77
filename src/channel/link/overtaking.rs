//! The slot beside a link through which a barrier overtakes what is in flight on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::channel::{Barrier, InFlight};

/// A barrier that has overtaken, and what it has overtaken.
#[derive(Debug)]
pub(super) struct Overtaking {
    pub(super) barrier: Barrier,
    /// How many elements had been put into the ring before it, since the link was laid.
    pub(super) position: u64,
    /// Copies of what still waited for room at the sender. The elements themselves come later, behind the barrier.
    pub(super) waiting: Vec<InFlight>,
}

/// Holds one barrier. A newer one replaces it: the checkpoint of the older one was given up then.
#[derive(Default)]
pub(super) struct OvertakingSlot {
    /// Spares the receiver the lock while there is nothing, which is nearly always.
    is_filled: AtomicBool,
    content: Mutex<Option<Overtaking>>,
}

impl OvertakingSlot {
    pub(super) fn put(&self, overtaking: Overtaking) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        *content = Some(overtaking);
        self.is_filled.store(true, Ordering::Release);
    }

    /// What was put in last, once. Whoever takes an element out of the ring that was put in after a barrier went into
    /// the slot finds the barrier here.
    pub(super) fn take(&self) -> Option<Overtaking> {
        if !self.is_filled.load(Ordering::Acquire) {
            return None;
        }
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_filled.store(false, Ordering::Relaxed);
        content.take()
    }
}
