//! Links between subtasks: their elements, their bounds, and the alignment of barriers over several of them.

mod element;
mod gate;
mod link;
mod wake;
mod watermark;

pub use element::Element;
pub use gate::{Alignment, DeclineReason, Gate, GateCommand};
pub use link::{Disconnected, LinkLimits, LinkReceiver, LinkSender, TrySendError, link};
pub use wake::Wake;
