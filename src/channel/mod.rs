//! Links between subtasks: their elements, their bounds, and the alignment of barriers over several of them.
//!
//! # A barrier that overtakes
//!
//! A barrier usually travels among the batches. That of an unaligned checkpoint goes through a slot beside the link,
//! which the receiver looks into before it takes anything, and so waits for nobody to work anything off. It says how far
//! the link had been written when it was sent, and brings copies of what still waited for room at the sender. So the
//! receiver alone knows all that is in flight, and keeps it, once: what lies in the link up to that place, those copies,
//! and, on inputs whose barrier is still to come when it takes its snapshot, all that it reads before that.

mod barrier;
mod element;
mod gate;
mod link;
mod wake;
mod watermark;

pub use barrier::Barrier;
pub use element::{Element, InFlight};
pub use gate::{Alignment, DeclineReason, Gate, GateCommand};
pub use link::{Disconnected, LinkLimits, LinkReceiver, LinkSender, TrySendError, link};
pub(crate) use wake::NoWake;
pub use wake::Wake;
