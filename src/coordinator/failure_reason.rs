//! Why a checkpoint failed, in Flink's words.

use std::fmt;

use crate::channel::DeclineReason;

/// Why a checkpoint did not complete. [`fmt::Display`] gives Flink's name for it, such as `CHECKPOINT_EXPIRED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureReason {
    /// So many requests wait that this one was refused.
    TooManyRequests,
    /// Reading or writing failed in a subtask.
    IoException,
    /// What a subtask did for its snapshot in the background failed.
    AsyncException,
    /// It was not acknowledged by all subtasks in time.
    Expired,
    /// A newer checkpoint completed first.
    Subsumed,
    /// A subtask refused it.
    Declined,
    /// The barrier of a newer checkpoint reached a subtask first.
    DeclinedSubsumed,
    /// A subtask upstream had given it up.
    DeclinedOnCancellationBarrier,
    /// A subtask was about to go.
    DeclinedTaskClosing,
    /// The coordinator was shut down, because the job ends or fails.
    CoordinatorShutdown,
    /// Its manifest could not be written.
    FinalizeFailure,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::TooManyRequests,
        Self::IoException,
        Self::AsyncException,
        Self::Expired,
        Self::Subsumed,
        Self::Declined,
        Self::DeclinedSubsumed,
        Self::DeclinedOnCancellationBarrier,
        Self::DeclinedTaskClosing,
        Self::CoordinatorShutdown,
        Self::FinalizeFailure,
    ];

    /// Flink's name of the reason.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooManyRequests => "TOO_MANY_CHECKPOINT_REQUESTS",
            Self::IoException => "IO_EXCEPTION",
            Self::AsyncException => "CHECKPOINT_ASYNC_EXCEPTION",
            Self::Expired => "CHECKPOINT_EXPIRED",
            Self::Subsumed => "CHECKPOINT_SUBSUMED",
            Self::Declined => "CHECKPOINT_DECLINED",
            Self::DeclinedSubsumed => "CHECKPOINT_DECLINED_SUBSUMED",
            Self::DeclinedOnCancellationBarrier => "CHECKPOINT_DECLINED_ON_CANCELLATION_BARRIER",
            Self::DeclinedTaskClosing => "CHECKPOINT_DECLINED_TASK_CLOSING",
            Self::CoordinatorShutdown => "CHECKPOINT_COORDINATOR_SHUTDOWN",
            Self::FinalizeFailure => "FINALIZE_CHECKPOINT_FAILURE",
        }
    }

    /// Whether such a failure counts against the failures that a job tolerates. The others are side effects of
    /// another checkpoint, or of the job's end, and say nothing about the job's health.
    pub fn is_counted(self) -> bool {
        match self {
            Self::IoException
            | Self::AsyncException
            | Self::Expired
            | Self::Declined
            | Self::FinalizeFailure => true,
            Self::TooManyRequests
            | Self::Subsumed
            | Self::DeclinedSubsumed
            | Self::DeclinedOnCancellationBarrier
            | Self::DeclinedTaskClosing
            | Self::CoordinatorShutdown => false,
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl From<DeclineReason> for FailureReason {
    fn from(reason: DeclineReason) -> Self {
        match reason {
            DeclineReason::Subsumed => Self::DeclinedSubsumed,
            DeclineReason::CancellationBarrier => Self::DeclinedOnCancellationBarrier,
            DeclineReason::InFlightTooLarge => Self::Declined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_that_flink_counts_are_counted() {
        let counted: Vec<_> = FailureReason::ALL
            .into_iter()
            .filter(|reason| reason.is_counted())
            .map(|reason| reason.to_string())
            .collect();
        assert_eq!(
            counted,
            [
                "IO_EXCEPTION",
                "CHECKPOINT_ASYNC_EXCEPTION",
                "CHECKPOINT_EXPIRED",
                "CHECKPOINT_DECLINED",
                "FINALIZE_CHECKPOINT_FAILURE"
            ]
        );
    }
}
