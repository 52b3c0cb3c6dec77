//! The upstream end of a link.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crossbeam_channel as ring;

use super::overtaking::Overtaking;
use super::{LinkLimits, Shared};
use crate::channel::{Barrier, Element, InFlight, Wake};

/// The upstream end. There is one only, so the bound cannot be passed by two senders at once.
pub struct LinkSender {
    // The fields are dropped in this order: first the ring is disconnected, then the other end is roused to see it.
    ring: ring::Sender<Element>,
    limits: LinkLimits,
    /// How many elements were ever put into the ring.
    sent: u64,
    on_drop: WakeReceiverOnDrop,
}

/// Why an element was not taken.
#[derive(Debug)]
pub enum TrySendError {
    /// There is no room: here is the element again. The sender's [`Wake`] is called when there is.
    Full(Element),
    /// The receiver is gone, and will never take anything again.
    Disconnected,
}

impl LinkSender {
    pub(super) fn new(
        ring: ring::Sender<Element>,
        limits: LinkLimits,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            ring,
            limits,
            sent: 0,
            on_drop: WakeReceiverOnDrop(shared),
        }
    }

    /// Says who is to be roused when there is room again after a [`TrySendError::Full`], or when the receiver is
    /// gone. Calls `wake` once at once; a second call changes nothing.
    pub fn set_wake(&self, wake: Arc<dyn Wake>) {
        self.shared().sender_wake.set(wake);
    }

    /// Puts an element into the link, and rouses the receiver. Never blocks.
    ///
    /// # Errors
    /// Gives the element back when the link is full; tells when the receiver is gone.
    pub fn try_send(&mut self, element: Element) -> Result<(), TrySendError> {
        let element = match self.try_put(element) {
            Err(TrySendError::Full(element)) => element,
            done => return done,
        };
        // From here on the receiver knows that it has to rouse this end. But it may have made room just before it
        // could know, so look once more. The fence pairs with the one in `LinkReceiver::made_room`: either the
        // receiver sees the flag, or this end sees the room.
        self.shared().sender_waits.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let result = self.try_put(element);
        if result.is_ok() {
            self.shared().sender_waits.store(false, Ordering::SeqCst);
        }
        result
    }

    /// How many elements were sent since the link was laid.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Lets a barrier overtake what is in flight: the receiver finds it before any element that is still to be sent, and
    /// before those that it has not taken yet. All but the first `position` elements lie behind the barrier; `waiting` is
    /// what will be sent and lies before it all the same. Never blocks.
    pub fn overtake(&mut self, barrier: Barrier, position: u64, waiting: Vec<InFlight>) {
        debug_assert!(position <= self.sent, "only what was sent has a position");
        self.shared().overtaking.put(Overtaking {
            barrier,
            position,
            waiting,
        });
        self.shared().receiver_wake.wake();
    }

    /// Whether the receiver has taken everything.
    #[cfg(test)]
    pub(crate) fn is_drained(&self) -> bool {
        self.shared().elements.load(Ordering::SeqCst) == 0
    }

    /// Rows in flight.
    pub fn rows_queued(&self) -> usize {
        self.shared().rows.load(Ordering::Relaxed)
    }

    fn try_put(&mut self, element: Element) -> Result<(), TrySendError> {
        let rows = element.rows();
        let shared = &self.on_drop.0;
        let rows_in_flight = shared.rows.load(Ordering::SeqCst);
        // An element without rows, such as a barrier, is never held back by rows: only the slots bound it.
        let too_many_rows =
            rows > 0 && rows_in_flight > 0 && rows_in_flight + rows > self.limits.rows_max;
        if too_many_rows || shared.elements.load(Ordering::SeqCst) >= self.limits.elements_max {
            return Err(TrySendError::Full(element));
        }
        // Counted before the receiver can take it, so the counts never fall below zero. This is the only sender, and
        // what is in the ring is counted, so the ring still has room: what does not get in would be counted for a
        // moment, and the receiver, which decides by the counts whether to rouse the sender, could be misled.
        shared.rows.fetch_add(rows, Ordering::SeqCst);
        shared.elements.fetch_add(1, Ordering::SeqCst);
        match self.ring.try_send(element) {
            Ok(()) => {
                self.sent += 1;
                shared.receiver_wake.wake();
                Ok(())
            }
            Err(ring::TrySendError::Full(element)) => {
                shared.rows.fetch_sub(rows, Ordering::SeqCst);
                shared.elements.fetch_sub(1, Ordering::SeqCst);
                Err(TrySendError::Full(element))
            }
            Err(ring::TrySendError::Disconnected(_)) => Err(TrySendError::Disconnected),
        }
    }

    fn shared(&self) -> &Shared {
        &self.on_drop.0
    }
}

struct WakeReceiverOnDrop(Arc<Shared>);

impl Drop for WakeReceiverOnDrop {
    fn drop(&mut self) {
        self.0.receiver_wake.wake();
    }
}
