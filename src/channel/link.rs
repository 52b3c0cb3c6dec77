//! A link: the bounded data lane from one upstream subtask to one downstream subtask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use crossbeam_channel as ring;

use super::wake::WakeSlot;
use crate::config::LinkSection;
use overtaking::OvertakingSlot;

mod overtaking;
#[cfg(test)]
mod overtaking_tests;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

pub use receiver::{Disconnected, LinkReceiver};
pub use sender::{LinkSender, TrySendError};

/// How much may be in flight on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLimits {
    /// Rows in flight. One batch that is larger than this passes alone, when no other row is in flight.
    pub rows_max: usize,
    /// Elements in flight, whatever their size, at least one.
    pub elements_max: usize,
}

impl From<&LinkSection> for LinkLimits {
    fn from(section: &LinkSection) -> Self {
        Self {
            rows_max: section.rows_max,
            elements_max: section.elements_max,
        }
    }
}

/// Makes a link, and gives out its two ends.
pub fn link(limits: LinkLimits) -> (LinkSender, LinkReceiver) {
    // A ring of no slots would be a meeting point, where one end has to wait for the other.
    let limits = LinkLimits {
        elements_max: limits.elements_max.max(1),
        ..limits
    };
    let (sender, receiver) = ring::bounded(limits.elements_max);
    let shared = Arc::new(Shared::default());
    (
        LinkSender::new(sender, limits, Arc::clone(&shared)),
        LinkReceiver::new(receiver, limits, shared),
    )
}

/// What both ends know. An element counts as in flight from when it is sent until it is handed out: what the receiver
/// has only pulled out of the ring makes no room.
#[derive(Default)]
struct Shared {
    rows: AtomicUsize,
    elements: AtomicUsize,
    /// Set by the sender when it met a full link, cleared by the receiver when it rouses the sender.
    sender_waits: AtomicBool,
    sender_wake: WakeSlot,
    receiver_wake: WakeSlot,
    overtaking: OvertakingSlot,
}
