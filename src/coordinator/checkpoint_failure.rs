//! What became of a checkpoint that failed: Flink's reason, and the cause in words.

use std::fmt;

use super::failure_reason::FailureReason;

/// Why a checkpoint failed. [`fmt::Display`] gives both, such as `CHECKPOINT_ASYNC_EXCEPTION: disk full`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFailure {
    /// The reason, in Flink's words.
    pub reason: FailureReason,
    /// What brought it about, if there is more to say than the reason.
    pub cause: Option<String>,
}

impl CheckpointFailure {
    /// A failure with its cause.
    pub fn new(reason: FailureReason, cause: impl Into<String>) -> Self {
        Self {
            reason,
            cause: Some(cause.into()),
        }
    }
}

impl From<FailureReason> for CheckpointFailure {
    fn from(reason: FailureReason) -> Self {
        Self {
            reason,
            cause: None,
        }
    }
}

impl fmt::Display for CheckpointFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(formatter, "{}: {cause}", self.reason),
            None => self.reason.fmt(formatter),
        }
    }
}
