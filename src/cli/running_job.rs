//! What the command line needs of a job that runs.

use std::sync::Arc;

use crate::error::Error;
use crate::telemetry::JobStatus;

/// A job that runs, as far as the command line is concerned.
pub struct RunningJob {
    /// Its figures.
    pub status: Arc<JobStatus>,
    /// Asks it to take a last checkpoint and to end. Returns at once.
    pub stop: Box<dyn Fn()>,
    /// Asks it to end without a checkpoint. Returns at once.
    pub cancel: Box<dyn Fn()>,
    /// Blocks until it has ended.
    pub wait: Box<dyn FnOnce() -> JobOutcome + Send>,
}

/// How a job ended.
#[derive(Debug)]
pub enum JobOutcome {
    /// All sources have ended, and everything is committed.
    Finished,
    /// It was asked to stop, took a last checkpoint, and everything up to it is committed.
    Stopped,
    /// It was asked to end at once. It goes on from the last checkpoint that was complete.
    Cancelled,
    /// Something went wrong.
    Failed(Error),
}
