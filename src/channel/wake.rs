//! How the two ends of a link rouse each other.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};

/// Rouses the owner of one end of a link, from any thread.
///
/// A call must be cheap and must not block: it stands on the data path. Calls that come while the owner is already
/// roused, and has not looked yet, may be merged into one.
pub trait Wake: Send + Sync {
    /// Makes the owner look at its links again, soon.
    fn wake(&self);
}

/// Rouses nobody: for an operator that is opened outside of a running job.
pub(crate) struct NoWake;

impl NoWake {
    /// As an operator is given it.
    pub(crate) fn shared() -> Arc<dyn Wake> {
        Arc::new(Self)
    }
}

impl Wake for NoWake {
    fn wake(&self) {}
}

/// Where one end of a link leaves its [`Wake`] for the other end.
#[derive(Default)]
pub(super) struct WakeSlot(OnceLock<Arc<dyn Wake>>);

impl WakeSlot {
    /// Leaves `wake`, and calls it once; the first one stays.
    ///
    /// The other end may have had something to tell before there was anybody to tell it to. The fence pairs with the
    /// one in [`WakeSlot::wake`]: either the other end finds the slot filled, or the look that this call of `wake`
    /// brings about finds what the other end did.
    pub(super) fn set(&self, wake: Arc<dyn Wake>) {
        let wake = self.0.get_or_init(|| wake);
        fence(Ordering::SeqCst);
        wake.wake();
    }

    /// Rouses whoever left its wake here. What it is to find must have been done before.
    pub(super) fn wake(&self) {
        fence(Ordering::SeqCst);
        if let Some(wake) = self.0.get() {
            wake.wake();
        }
    }
}
