//! The input side of a subtask: the links that it reads, and the gate that says which of them may be read.

use crate::channel::{Disconnected, Element, Gate, LinkReceiver};
use crate::error::{Error, ErrorKind, Result};

/// The links that a subtask reads, and the gate that aligns the barriers on them.
pub(super) struct Inputs {
    links: Vec<LinkReceiver>,
    /// Which links have delivered their end. They are not looked at again: their writers may be gone.
    ended: Vec<bool>,
    pub(super) gate: Gate,
    /// Which link is looked at first in the next round.
    next: usize,
}

impl Inputs {
    /// Inputs over `links`, aligned by `gate`.
    pub(super) fn new(links: Vec<LinkReceiver>, gate: Gate) -> Self {
        Self {
            ended: vec![false; links.len()],
            links,
            gate,
            next: 0,
        }
    }

    /// The next element of an input that is not blocked, round and round.
    ///
    /// # Errors
    /// When a writer is gone.
    pub(super) fn receive(&mut self) -> Result<Option<(usize, Element)>> {
        let count = self.links.len();
        for offset in 0..count {
            let input = (self.next + offset) % count;
            if self.gate.is_blocked(input) || self.ended[input] {
                continue;
            }
            match self.links[input].try_recv() {
                Ok(Some(element)) => {
                    self.ended[input] = matches!(element, Element::End);
                    self.next = (input + 1) % count;
                    return Ok(Some((input, element)));
                }
                Ok(None) => {}
                Err(Disconnected) => return Err(writer_is_gone()),
            }
        }
        Ok(None)
    }
}

/// The writer ended without saying so: it has failed, and is reported on its own.
fn writer_is_gone() -> Error {
    Error::new(ErrorKind::Operator, "the subtask before this one is gone")
}
