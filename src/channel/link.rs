//! A link: the bounded data lane from one upstream subtask to one downstream subtask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use crossbeam_channel as ring;

use super::element::Element;
use super::wake::{Wake, WakeSlot};

#[cfg(test)]
mod tests;

/// How much may be in flight on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLimits {
    /// Rows in flight. One batch that is larger than this passes alone, when no other row is in flight.
    pub rows_max: usize,
    /// Elements in flight, whatever their size: the slots of the ring, at least one.
    pub elements_max: usize,
}

/// Makes a link, and gives out its two ends.
pub fn link(limits: LinkLimits) -> (LinkSender, LinkReceiver) {
    // A ring of no slots would be a meeting point, where one end has to wait for the other.
    let (sender, receiver) = ring::bounded(limits.elements_max.max(1));
    let shared = Arc::new(Shared::default());
    let sender = LinkSender {
        ring: sender,
        rows_max: limits.rows_max,
        on_drop: WakeReceiverOnDrop(Arc::clone(&shared)),
    };
    let receiver = LinkReceiver {
        ring: receiver,
        limits,
        on_drop: WakeSenderOnDrop(shared),
    };
    (sender, receiver)
}

/// The upstream end. There is one only, so the bound cannot be passed by two senders at once.
pub struct LinkSender {
    // The fields are dropped in this order: first the ring is disconnected, then the other end is roused to see it.
    ring: ring::Sender<Element>,
    rows_max: usize,
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

    /// Rows in flight.
    pub fn rows_queued(&self) -> usize {
        self.shared().rows.load(Ordering::Relaxed)
    }

    fn try_put(&mut self, element: Element) -> Result<(), TrySendError> {
        let rows = element.rows();
        let rows_in_flight = self.shared().rows.load(Ordering::SeqCst);
        // An element without rows, such as a barrier, is never held back by rows: only the ring bounds it.
        let too_many_rows = rows > 0 && rows_in_flight > 0 && rows_in_flight + rows > self.rows_max;
        if too_many_rows || self.ring.is_full() {
            return Err(TrySendError::Full(element));
        }
        // Counted before the receiver can take it, so the count never falls below zero. This is the only sender, so
        // the ring still has room: rows that do not get in would be counted for a moment, and the receiver, which
        // decides by this count whether to rouse the sender, could be misled.
        self.shared().rows.fetch_add(rows, Ordering::SeqCst);
        match self.ring.try_send(element) {
            Ok(()) => {
                self.shared().receiver_wake.wake();
                Ok(())
            }
            Err(ring::TrySendError::Full(element)) => {
                self.shared().rows.fetch_sub(rows, Ordering::SeqCst);
                Err(TrySendError::Full(element))
            }
            Err(ring::TrySendError::Disconnected(_)) => Err(TrySendError::Disconnected),
        }
    }

    fn shared(&self) -> &Shared {
        &self.on_drop.0
    }
}

/// The downstream end.
pub struct LinkReceiver {
    // The fields are dropped in this order: first the ring is disconnected, then the other end is roused to see it.
    ring: ring::Receiver<Element>,
    limits: LinkLimits,
    on_drop: WakeSenderOnDrop,
}

/// The sender is gone, and everything it had sent was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

impl LinkReceiver {
    /// Says who is to be roused when there is something to take, or when the sender is gone. Calls `wake` once at
    /// once; a second call changes nothing.
    pub fn set_wake(&self, wake: Arc<dyn Wake>) {
        self.shared().receiver_wake.set(wake);
    }

    /// Takes the oldest element, if there is one. Never blocks.
    ///
    /// # Errors
    /// The sender is gone and the link is empty.
    pub fn try_recv(&mut self) -> Result<Option<Element>, Disconnected> {
        match self.ring.try_recv() {
            Ok(element) => {
                self.made_room(element.rows());
                Ok(Some(element))
            }
            Err(ring::TryRecvError::Empty) => Ok(None),
            Err(ring::TryRecvError::Disconnected) => Err(Disconnected),
        }
    }

    /// Rows in flight.
    pub fn rows_queued(&self) -> usize {
        self.shared().rows.load(Ordering::Relaxed)
    }

    /// Rouses a waiting sender once the link is half empty. Rousing it for each element would pass the work back
    /// and forth batch by batch. An empty link is half empty, so a waiting sender is always roused in the end.
    fn made_room(&self, rows: usize) {
        let shared = self.shared();
        let rows_left = shared.rows.fetch_sub(rows, Ordering::SeqCst) - rows;
        fence(Ordering::SeqCst);
        let is_half_empty = rows_left <= self.limits.rows_max / 2
            && self.ring.len() <= self.limits.elements_max / 2;
        if is_half_empty && shared.sender_waits.swap(false, Ordering::SeqCst) {
            shared.sender_wake.wake();
        }
    }

    fn shared(&self) -> &Shared {
        &self.on_drop.0
    }
}

#[derive(Default)]
struct Shared {
    rows: AtomicUsize,
    /// Set by the sender when it met a full link, cleared by the receiver when it rouses the sender.
    sender_waits: AtomicBool,
    sender_wake: WakeSlot,
    receiver_wake: WakeSlot,
}

struct WakeReceiverOnDrop(Arc<Shared>);

impl Drop for WakeReceiverOnDrop {
    fn drop(&mut self) {
        self.0.receiver_wake.wake();
    }
}

struct WakeSenderOnDrop(Arc<Shared>);

impl Drop for WakeSenderOnDrop {
    fn drop(&mut self) {
        self.0.sender_wake.wake();
    }
}
