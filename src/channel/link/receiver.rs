//! The downstream end of a link.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crossbeam_channel as ring;

use super::overtaking::Overtaking;
use super::{LinkLimits, Shared};
use crate::channel::{Barrier, Element, InFlight, Wake};
use crate::model::CheckpointId;

/// The downstream end.
pub struct LinkReceiver {
    // The fields are dropped in this order: first the ring is disconnected, then the other end is roused to see it.
    ring: ring::Receiver<Element>,
    limits: LinkLimits,
    on_drop: WakeSenderOnDrop,
    /// What was taken out of the ring, or is replayed, and is still to be handed out.
    pulled: VecDeque<Element>,
    /// How many elements were ever taken out of the ring.
    pulled_count: u64,
    /// How many elements at the front of `pulled` are replayed.
    replayed: usize,
    /// The newest checkpoint whose barrier was handed out.
    newest: CheckpointId,
    /// The barrier of the newest checkpoint, if it has overtaken.
    overtaking: Option<Overtaking>,
    capture: Option<Capture>,
}

/// What belongs to a checkpoint of what was in flight.
struct Capture {
    checkpoint: CheckpointId,
    elements: Vec<InFlight>,
    rows: usize,
}

impl Capture {
    fn extend(&mut self, elements: impl IntoIterator<Item = InFlight>) {
        for element in elements {
            self.rows += element.rows();
            self.elements.push(element);
        }
    }
}

/// The sender is gone, and everything it had sent was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

impl LinkReceiver {
    pub(super) fn new(
        ring: ring::Receiver<Element>,
        limits: LinkLimits,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            ring,
            limits,
            on_drop: WakeSenderOnDrop(shared),
            pulled: VecDeque::new(),
            pulled_count: 0,
            replayed: 0,
            newest: CheckpointId::default(),
            overtaking: None,
            capture: None,
        }
    }

    /// Says who is to be roused when there is something to take, or when the sender is gone. Calls `wake` once at
    /// once; a second call changes nothing.
    pub fn set_wake(&self, wake: Arc<dyn Wake>) {
        self.shared().receiver_wake.set(wake);
    }

    /// Puts what was in flight when a checkpoint was taken before all that the link will bring. To be called before
    /// anything is taken.
    pub fn replay(&mut self, elements: impl IntoIterator<Item = InFlight>) {
        let elements: Vec<Element> = elements.into_iter().map(Element::from).collect();
        let rows = elements.iter().map(Element::rows).sum();
        let shared = &self.on_drop.0;
        shared.rows.fetch_add(rows, Ordering::SeqCst);
        shared.elements.fetch_add(elements.len(), Ordering::SeqCst);
        self.replayed += elements.len();
        self.pulled.extend(elements);
    }

    /// Whether something is left to be replayed.
    pub fn is_replaying(&self) -> bool {
        self.replayed > 0
    }

    /// Takes the barrier that has overtaken what is in flight, if there is one that is newer than any before it. Never
    /// blocks.
    pub fn take_overtaking(&mut self) -> Option<Barrier> {
        let overtaking = self.shared().overtaking.take()?;
        let barrier = overtaking.barrier;
        if barrier.checkpoint <= self.newest {
            return None;
        }
        self.newest = barrier.checkpoint;
        self.overtaking = Some(overtaking);
        if self.is_captured_for(barrier.checkpoint) {
            self.capture_overtaken();
        }
        Some(barrier)
    }

    /// Takes the oldest element, or a barrier that has overtaken it. Never blocks.
    ///
    /// # Errors
    /// The sender is gone and the link is empty.
    pub fn try_recv(&mut self) -> Result<Option<Element>, Disconnected> {
        self.try_recv_rows(usize::MAX)
    }

    /// The same, but of a batch with more rows than `rows_max` so many rows only; the others are next.
    ///
    /// # Errors
    /// The sender is gone and the link is empty.
    pub fn try_recv_rows(&mut self, rows_max: usize) -> Result<Option<Element>, Disconnected> {
        if self.pulled.is_empty() {
            match self.ring.try_recv() {
                Ok(element) => self.pull(element),
                Err(ring::TryRecvError::Empty) => {}
                Err(ring::TryRecvError::Disconnected) => return Err(Disconnected),
            }
        }
        // Only now: what was just pulled may have been sent behind the barrier.
        if let Some(barrier) = self.take_overtaking() {
            return Ok(Some(Element::Barrier(barrier)));
        }
        let element = match self.pulled.front_mut() {
            None => return Ok(None),
            Some(Element::Batch(batch)) if batch.len() > rows_max => {
                let first = Element::Batch(batch.take_first(rows_max));
                self.made_room(first.rows(), 0);
                first
            }
            Some(_) => {
                let Some(element) = self.pulled.pop_front() else {
                    return Ok(None);
                };
                self.replayed = self.replayed.saturating_sub(1);
                self.made_room(element.rows(), 1);
                element
            }
        };
        self.handed_out(&element);
        Ok(Some(element))
    }

    /// Whether the next element lies before a barrier that has overtaken it.
    pub fn is_overtaken(&self) -> bool {
        self.overtaking.is_some() && (self.overtaken_count() > 0 || self.has_overtaken_in_ring())
    }

    /// The subtask takes its snapshot now: what of this link is still to be worked off, and lies before the barrier,
    /// belongs to it. That is known at once if the barrier was handed out, and else when it is.
    pub fn begin_capture(&mut self, checkpoint: CheckpointId) {
        self.capture = Some(Capture {
            checkpoint,
            elements: Vec::new(),
            rows: 0,
        });
        if self.newest == checkpoint {
            self.capture_overtaken();
        }
    }

    /// What was captured for `checkpoint`; nothing more is.
    pub fn end_capture(&mut self, checkpoint: CheckpointId) -> Vec<InFlight> {
        let capture = self
            .capture
            .take_if(|capture| capture.checkpoint == checkpoint);
        capture.map_or_else(Vec::new, |capture| capture.elements)
    }

    /// Whether there is nothing to take.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.pulled.is_empty() && self.ring.is_empty()
    }

    /// How many rows are captured so far.
    pub fn captured_rows(&self) -> usize {
        self.capture.as_ref().map_or(0, |capture| capture.rows)
    }

    /// Rows in flight.
    pub fn rows_queued(&self) -> usize {
        self.shared().rows.load(Ordering::Relaxed)
    }

    fn pull(&mut self, element: Element) {
        self.pulled_count += 1;
        self.pulled.push_back(element);
    }

    fn handed_out(&mut self, element: &Element) {
        if let Element::Barrier(barrier) = element
            && barrier.checkpoint > self.newest
        {
            self.newest = barrier.checkpoint;
            self.overtaking = None;
        }
        let newest = self.newest;
        if let Some(capture) = &mut self.capture
            && newest < capture.checkpoint
        {
            capture.extend(element.in_flight());
        }
    }

    fn is_captured_for(&self, checkpoint: CheckpointId) -> bool {
        self.capture
            .as_ref()
            .is_some_and(|capture| capture.checkpoint == checkpoint)
    }

    /// Captures all that the barrier has overtaken.
    fn capture_overtaken(&mut self) {
        while self.has_overtaken_in_ring() {
            // All of it was sent before the barrier, so it is there.
            let Ok(element) = self.ring.try_recv() else {
                break;
            };
            self.pull(element);
        }
        let count = self.overtaken_count();
        if let Some(overtaking) = &mut self.overtaking
            && let Some(capture) = &mut self.capture
        {
            let pulled = self.pulled.iter().take(count);
            capture.extend(pulled.filter_map(Element::in_flight));
            capture.extend(overtaking.waiting.drain(..));
        }
    }

    /// Whether the ring still holds something that was put in before the barrier overtook.
    fn has_overtaken_in_ring(&self) -> bool {
        self.overtaking
            .as_ref()
            .is_some_and(|overtaking| self.pulled_count < overtaking.position)
    }

    /// How many of the pulled elements the barrier has overtaken.
    fn overtaken_count(&self) -> usize {
        let Some(overtaking) = &self.overtaking else {
            return 0;
        };
        let behind = self.pulled_count.saturating_sub(overtaking.position);
        let behind = usize::try_from(behind).unwrap_or(usize::MAX);
        self.pulled.len().saturating_sub(behind)
    }

    /// Rouses a waiting sender once the link is half empty. Rousing it for each element would pass the work back
    /// and forth batch by batch. An empty link is half empty, so a waiting sender is always roused in the end.
    fn made_room(&self, rows: usize, elements: usize) {
        let shared = self.shared();
        let rows_left = shared.rows.fetch_sub(rows, Ordering::SeqCst) - rows;
        let elements_left = shared.elements.fetch_sub(elements, Ordering::SeqCst) - elements;
        fence(Ordering::SeqCst);
        let is_half_empty =
            rows_left <= self.limits.rows_max / 2 && elements_left <= self.limits.elements_max / 2;
        if is_half_empty && shared.sender_waits.swap(false, Ordering::SeqCst) {
            shared.sender_wake.wake();
        }
    }

    fn shared(&self) -> &Shared {
        &self.on_drop.0
    }
}

struct WakeSenderOnDrop(Arc<Shared>);

impl Drop for WakeSenderOnDrop {
    fn drop(&mut self) {
        self.0.sender_wake.wake();
    }
}
