//! What runs a job: the subtask, and the actors around it and around the coordinator.
//!
//! `Subtask` does the work and knows no actor: it can be stepped by anybody. Its actor lives on a worker, one thread
//! with one event loop; subtask *i* of every chain lives on worker *i*. The coordinator's actor lives on the job's own
//! thread, so that a busy worker does not keep it from its timers. Whatever may block runs in the background, on
//! threads of its own.
//!
//! # A watermark on its way through a chain
//!
//! A watermark can make millions of timers due at once. An operator fires them in portions; between two of them the
//! outputs are flushed, so that their bound holds, and the other subtasks of the worker have their turn. Meanwhile the
//! chain takes no input. So a barrier behind the watermark on its link waits until the watermark is through, and so does
//! a trigger at the source of the chain, and a barrier that overtakes, as in Flink by default. A snapshot in between would
//! be wrong twice over. Records that the source has already given out, and that wait behind the watermark, would be in
//! nobody's state. And as no snapshot holds a watermark, the records after a restore would come before timers that should
//! have fired before them.
//!
//! Timers that no watermark had reached are in the snapshot, and fire with the first one after the restore that does.
//!
//! What is due by the clock is done in portions too, and between batches, so a barrier need not wait for all of it. At
//! the end of the input, event time ends, so every event-time timer fires; processing-time timers fire no more.

mod background;
mod base_lane;
mod captured;
mod chain;
mod checkpoint_recorder;
mod commit_lane;
mod committer;
mod coordinator;
mod coordinator_actor;
mod executor;
mod figures;
mod inputs;
mod job;
mod message;
mod open_requests;
mod output;
mod panic;
mod past;
mod portion;
mod replay;
mod request;
mod seed;
mod setting;
mod slot;
#[cfg(any(test, feature = "testing"))]
mod stepped;
mod subtask;
mod subtask_actor;
mod subtask_driver;
mod subtask_event;
mod task_sampler;
mod ticket;
mod wake;
mod wiring;

#[cfg(test)]
pub(crate) use job::UsedIds;
pub(crate) use job::{JobClaim, JobRun};
pub use job::{JobControl, JobOutcome};
pub use request::{CompletedCheckpoint, CompletedStop, SavepointRequest, StopRequest};
#[cfg(test)]
pub(crate) use stepped::{Action, Recovered, SteppedRecovery};
#[cfg(any(test, feature = "testing"))]
pub(crate) use stepped::{Asked, Deed, SteppedAttempt, Upcoming};
pub use ticket::Ticket;
