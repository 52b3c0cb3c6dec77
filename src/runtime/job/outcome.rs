//! How a job ended.

use crate::error::{Error, Result};

/// How a job ended.
#[derive(Debug)]
pub enum JobOutcome {
    /// All input was worked off and all output is committed.
    Finished,
    /// It was asked to stop, and did so with a checkpoint that it can be resumed from.
    Stopped,
    /// It was asked to end at once. It can be resumed from its newest checkpoint.
    Cancelled,
    /// It failed. It can be resumed from its newest checkpoint.
    Failed(Error),
}

impl JobOutcome {
    /// Nothing but the error of a job that failed, for callers to whom every other end is as good.
    ///
    /// # Errors
    /// What the job failed with.
    pub fn into_result(self) -> Result<()> {
        match self {
            Self::Finished | Self::Stopped | Self::Cancelled => Ok(()),
            Self::Failed(error) => Err(error),
        }
    }
}
