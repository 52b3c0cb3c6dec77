//! The input side of a subtask: the links that it reads, and the gate that says which of them may be read.

use crate::channel::{Barrier, Disconnected, Element, Gate, LinkReceiver};
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;

use super::captured::CapturedInput;
use super::wiring::{InputOrigin, InputWiring};

/// The links that a subtask reads, and the gate that aligns the barriers on them.
pub(super) struct Inputs {
    links: Vec<InputLink>,
    pub(super) gate: Gate,
    /// Which link is looked at first in the next round.
    next: usize,
    /// Whether a link may still have something to replay.
    is_replaying: bool,
}

struct InputLink {
    receiver: LinkReceiver,
    origin: InputOrigin,
    /// Whether the link has delivered its end. It is not looked at again: its writer may be gone.
    has_ended: bool,
}

impl Inputs {
    /// Inputs over `links`, aligned by `gate`.
    pub(super) fn new(links: Vec<InputWiring>, gate: Gate) -> Self {
        let link = |wiring: InputWiring| InputLink {
            receiver: wiring.receiver,
            origin: wiring.origin,
            has_ended: false,
        };
        Self {
            links: links.into_iter().map(link).collect(),
            gate,
            next: 0,
            is_replaying: true,
        }
    }

    /// The next element of an input that is not blocked, round and round; of a larger batch `rows_max` rows only. What is replayed comes before anything new,
    /// whichever link that is on: after a change of the parallelism the two may be of one key.
    ///
    /// # Errors
    /// When a writer is gone.
    pub(super) fn receive(&mut self, rows_max: usize) -> Result<Option<(usize, Element)>> {
        self.is_replaying =
            self.is_replaying && self.links.iter().any(|link| link.receiver.is_replaying());
        let count = self.links.len();
        for offset in 0..count {
            let input = (self.next + offset) % count;
            let link = &mut self.links[input];
            if link.has_ended || (self.is_replaying && !link.receiver.is_replaying()) {
                continue;
            }
            if self.gate.is_blocked(input) && !link.receiver.is_overtaken() {
                continue;
            }
            match link.receiver.try_recv_rows(rows_max) {
                Ok(Some(element)) => {
                    link.has_ended = matches!(element, Element::End);
                    self.next = (input + 1) % count;
                    return Ok(Some((input, element)));
                }
                Ok(None) => {}
                Err(Disconnected) => return Err(writer_is_gone()),
            }
        }
        Ok(None)
    }

    /// Whether [`Inputs::receive`] would give anything.
    #[cfg(test)]
    pub(super) fn can_receive(&self) -> bool {
        let is_replaying = self.links.iter().any(|link| link.receiver.is_replaying());
        self.links.iter().enumerate().any(|(input, link)| {
            let is_open = !self.gate.is_blocked(input) || link.receiver.is_overtaken();
            let has_turn = !is_replaying || link.receiver.is_replaying();
            !link.has_ended && is_open && has_turn && !link.receiver.is_empty()
        })
    }

    /// A barrier that has overtaken what is in flight, on any input.
    pub(super) fn take_overtaking(&mut self) -> Option<(usize, Barrier)> {
        let mut open = self.links.iter_mut().enumerate();
        open.find_map(|(input, link)| {
            let barrier = (!link.has_ended)
                .then(|| link.receiver.take_overtaking())
                .flatten()?;
            Some((input, barrier))
        })
    }

    /// The subtask takes its snapshot now: what was in flight before the barrier is captured.
    pub(super) fn begin_capture(&mut self, checkpoint: CheckpointId) {
        for link in &mut self.links {
            link.receiver.begin_capture(checkpoint);
        }
    }

    /// What was captured; nothing more is.
    pub(super) fn end_capture(&mut self, checkpoint: CheckpointId) -> Vec<CapturedInput> {
        let captured = self.links.iter_mut().filter_map(|link| {
            let elements = link.receiver.end_capture(checkpoint);
            let codec = link.origin.exchange.as_ref()?.codec.clone()?;
            (!elements.is_empty()).then(|| CapturedInput {
                input: link.origin.input.clone(),
                edge: link.origin.edge,
                upstream: link.origin.upstream,
                codec,
                elements,
            })
        });
        captured.collect()
    }

    /// How many rows are captured so far.
    pub(super) fn captured_rows(&self) -> usize {
        let links = self.links.iter();
        links.map(|link| link.receiver.captured_rows()).sum()
    }
}

/// The writer ended without saying so: it has failed, and is reported on its own.
fn writer_is_gone() -> Error {
    Error::new(ErrorKind::Operator, "the subtask before this one is gone")
}
