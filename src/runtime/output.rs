//! The output side of a subtask: links to the next subtasks, and what still waits for room in them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::channel::{Barrier, Element, LinkSender, TrySendError};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Partitioner;
use crate::model::{Batch, CheckpointId, EventTime};
use crate::operator::Emission;

/// All edges that leave a subtask.
#[derive(Default)]
pub(super) struct Outputs {
    edges: Vec<OutputEdge>,
    /// The last watermark sent, so that each is sent once.
    watermark: Option<EventTime>,
    records_out: u64,
}

/// One edge: the links to the reader's subtasks, and who decides between them.
pub(super) struct OutputEdge {
    /// Nothing when everything goes to every link, of which there may be one.
    partitioner: Option<Box<dyn Partitioner>>,
    /// Whether barriers can overtake what is in flight.
    may_overtake: bool,
    links: Vec<OutputLink>,
}

struct OutputLink {
    sender: LinkSender,
    /// What found no room, in order. It holds what one step emitted, and barriers; while anything is in it, the
    /// subtask takes nothing in.
    waiting: VecDeque<Element>,
    /// The last barrier, if it was sent in its place and may overtake later; and how many elements went before it since
    /// the link was laid.
    barrier: Option<(Barrier, u64)>,
}

impl OutputEdge {
    /// An edge over `links`, on which barriers can overtake or not. Without a `partitioner` each link is sent everything.
    pub(super) fn new(
        partitioner: Option<Box<dyn Partitioner>>,
        links: Vec<LinkSender>,
        may_overtake: bool,
    ) -> Self {
        let links = links
            .into_iter()
            .map(|sender| OutputLink {
                sender,
                waiting: VecDeque::new(),
                barrier: None,
            })
            .collect();
        Self {
            partitioner,
            may_overtake,
            links,
        }
    }

    fn send(&mut self, batch: Batch) -> Result<()> {
        match &mut self.partitioner {
            None => {
                let Some((last, others)) = self.links.split_last_mut() else {
                    return Ok(());
                };
                for link in others {
                    link.send(Element::Batch(batch.clone()))?;
                }
                last.send(Element::Batch(batch))?;
            }
            Some(partitioner) => {
                let parts = partitioner.partition(batch)?;
                for (link, part) in self.links.iter_mut().zip(parts) {
                    if let Some(part) = part {
                        link.send(Element::Batch(part))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl OutputLink {
    fn send(&mut self, element: Element) -> Result<()> {
        self.waiting.push_back(element);
        self.flush()
    }

    /// How many elements were sent, or wait to be, since the link was laid.
    fn position(&self) -> u64 {
        self.sender.sent() + self.waiting.len() as u64
    }

    /// Lets a barrier go ahead of the first `position` elements, as far as they are in flight. Copies of those that wait
    /// for room go with it.
    fn overtake(&mut self, barrier: Barrier, position: u64) {
        let sent = self.sender.sent();
        let waiting = usize::try_from(position.saturating_sub(sent)).unwrap_or(usize::MAX);
        let waiting = self.waiting.iter().take(waiting);
        let waiting = waiting.filter_map(Element::in_flight).collect();
        self.sender.overtake(barrier, position.min(sent), waiting);
    }

    /// Sends what waits, until there is no more room.
    fn flush(&mut self) -> Result<()> {
        while let Some(element) = self.waiting.pop_front() {
            match self.sender.try_send(element) {
                Ok(()) => {}
                Err(TrySendError::Full(element)) => {
                    self.waiting.push_front(element);
                    break;
                }
                Err(TrySendError::Disconnected) => return Err(reader_is_gone()),
            }
        }
        Ok(())
    }
}

/// The reader ended without having read everything: it has failed, and is reported on its own.
fn reader_is_gone() -> Error {
    Error::new(ErrorKind::Operator, "the next subtask is gone")
}

impl Outputs {
    /// The outputs of a subtask, one edge for each reader.
    pub(super) fn new(edges: Vec<OutputEdge>) -> Self {
        Self {
            edges,
            watermark: None,
            records_out: 0,
        }
    }

    /// Sends what an operator emitted to every reader.
    ///
    /// # Errors
    /// When a reader is gone, or the batch is not what the exchange expects.
    pub(super) fn emit(&mut self, emission: Emission) -> Result<()> {
        match emission {
            Emission::Batch(batch) => {
                self.records_out += batch.len() as u64;
                let Some((last, others)) = self.edges.split_last_mut() else {
                    return Ok(());
                };
                for edge in others {
                    edge.send(batch.clone())?;
                }
                last.send(batch)
            }
            Emission::Watermark(watermark) => {
                if self.watermark.is_some_and(|sent| sent >= watermark) {
                    return Ok(());
                }
                self.watermark = Some(watermark);
                self.broadcast(|| Element::Watermark(watermark))
            }
        }
    }

    /// Sends a barrier to every link: where it overtakes by now, ahead of all that is in flight, and else behind all that
    /// was emitted before it. When the end was sent already, it goes ahead of that, or not at all.
    ///
    /// # Errors
    /// When a reader is gone.
    pub(super) fn send_barrier(
        &mut self,
        barrier: Barrier,
        now: Duration,
        has_ended: bool,
    ) -> Result<()> {
        for edge in &mut self.edges {
            let may_overtake = edge.may_overtake && barrier.overtakes_at.is_some();
            for link in &mut edge.links {
                let position = link.position();
                if may_overtake && barrier.overtakes(now) {
                    link.barrier = None;
                    link.overtake(barrier, position);
                    continue;
                }
                link.barrier = may_overtake.then_some((barrier, position));
                if !has_ended {
                    link.send(Element::Barrier(barrier))?;
                }
            }
        }
        Ok(())
    }

    /// The time has come from which on the barrier of `checkpoint` overtakes: wherever it was sent in its place, it goes
    /// ahead of what is in flight before it. If it was read already, nobody heeds it.
    pub(super) fn overtake(&mut self, checkpoint: CheckpointId) {
        for link in self.edges.iter_mut().flat_map(|edge| &mut edge.links) {
            let sent = link
                .barrier
                .take_if(|(barrier, _)| barrier.checkpoint == checkpoint);
            if let Some((barrier, position)) = sent {
                link.overtake(barrier, position);
            }
        }
    }

    /// Tells every reader in band that the barrier of `checkpoint` will not come.
    ///
    /// # Errors
    /// When a reader is gone.
    pub(super) fn broadcast_cancel(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.broadcast(|| Element::CancelBarrier(checkpoint))
    }

    /// Tells every reader that nothing will follow.
    ///
    /// # Errors
    /// When a reader is gone.
    pub(super) fn broadcast_end(&mut self) -> Result<()> {
        self.broadcast(|| Element::End)
    }

    /// Sends what waits for room. Gives whether all of it found some; if not, the subtask is woken when there is more.
    ///
    /// # Errors
    /// When a reader is gone.
    pub(super) fn flush(&mut self) -> Result<bool> {
        let mut clear = true;
        for link in self.edges.iter_mut().flat_map(|edge| &mut edge.links) {
            link.flush()?;
            clear &= link.waiting.is_empty();
        }
        Ok(clear)
    }

    /// Whether something waits for room in a link.
    pub(super) fn is_waiting(&self) -> bool {
        let mut links = self.edges.iter().flat_map(|edge| &edge.links);
        links.any(|link| !link.waiting.is_empty())
    }

    /// Whether something waits for room in a link that is empty.
    #[cfg(test)]
    pub(super) fn is_waiting_in_vain(&self) -> bool {
        let mut links = self.edges.iter().flat_map(|edge| &edge.links);
        links.any(|link| !link.waiting.is_empty() && link.sender.is_drained())
    }

    /// Whether nobody reads from the subtask.
    pub(super) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// How many records were emitted since this was last asked.
    pub(super) fn take_records_out(&mut self) -> u64 {
        std::mem::take(&mut self.records_out)
    }

    fn broadcast(&mut self, element: impl Fn() -> Element) -> Result<()> {
        for link in self.edges.iter_mut().flat_map(|edge| &mut edge.links) {
            link.send(element())?;
        }
        Ok(())
    }
}
