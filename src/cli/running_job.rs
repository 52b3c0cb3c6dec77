//! What the command line needs of a job that runs.

use std::sync::Arc;

use crate::engine::JobOutcome;
use crate::telemetry::JobStatus;

/// A job that runs, as far as the command line is concerned.
pub(super) struct RunningJob {
    /// Its figures.
    pub status: Arc<JobStatus>,
    /// Asks it to take a last checkpoint and to end. Returns at once.
    pub stop: Box<dyn Fn()>,
    /// Asks it to end without a checkpoint. Returns at once.
    pub cancel: Box<dyn Fn()>,
    /// Blocks until it has ended.
    pub wait: Box<dyn FnOnce() -> JobOutcome + Send>,
}
