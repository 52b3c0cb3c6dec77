//! What runs a job: the subtask, and the actors around it and around the coordinator.
//!
//! `Subtask` does the work and knows no actor: it can be stepped by anybody. Its actor lives on a worker, one thread
//! with one event loop; subtask *i* of every chain lives on worker *i*. The coordinator's actor lives on the job's own
//! thread, so that a busy worker does not keep it from its timers. Whatever may block runs in the background, on
//! threads of its own.

mod background;
mod chain;
mod committer;
mod coordinator_actor;
mod figures;
mod job;
mod message;
mod output;
mod panic;
mod seed;
mod setting;
mod subtask;
mod subtask_actor;
mod wake;
mod wiring;

pub(crate) use job::JobRun;
pub use job::{JobControl, JobOutcome};
