//! Why a checkpoint failed, in Flink's words.

use std::fmt;

use crate::channel::DeclineReason;

/// Why a checkpoint did not complete. [`fmt::Display`] gives Flink's name for it, such as `CHECKPOINT_EXPIRED`.
///
/// Some of Flink's reasons have no meaning here, and are never given:
///
/// - MINIMUM_TIME_BETWEEN_CHECKPOINTS: nobody waits for a periodic checkpoint, so one within the pause is put off, and
///   does not fail; a checkpoint that somebody asks for does not heed the pause, as in Flink.
/// - PERIODIC_SCHEDULER_SHUTDOWN: for the same reason, none is left to fail when the job comes to its end.
/// - BLOCKING_OUTPUT_EXIST: every exchange is pipelined.
/// - CHANNEL_STATE_SHARED_STREAM_EXCEPTION: what is in flight to a subtask goes to a file of its own.
/// - CHECKPOINT_DECLINED_TASK_NOT_READY and CHECKPOINT_DECLINED_TASK_CLOSING: nothing is triggered before all subtasks are
///   open, and each stays until the job ends.
/// - CHECKPOINT_DECLINED_INPUT_END_OF_STREAM: an input that has ended counts as aligned.
/// - CHECKPOINT_COORDINATOR_SUSPEND: there is no other coordinator that could take over a job that goes on.
/// - TASK_CHECKPOINT_FAILURE and UNKNOWN_TASK_CHECKPOINT_NOTIFICATION_FAILURE: a subtask that fails at a barrier, or while it
///   commits, fails like any other: TASK_FAILURE.
/// - TRIGGER_CHECKPOINT_FAILURE: a trigger is a message within the process, which does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureReason {
    /// So many requests wait that this one was refused.
    TooManyRequests,
    /// The job has failed, and waits to be started again.
    NotAllTasksRunning,
    /// The directory of a savepoint cannot be used.
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
    /// The coordinator was shut down, because the job comes to its end.
    CoordinatorShutdown,
    /// The job fails as a whole, for another reason than the failure of a subtask.
    JobFailover,
    /// A subtask has failed, and the job with it.
    TaskFailure,
    /// Its manifest could not be written.
    FinalizeFailure,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::TooManyRequests,
        Self::NotAllTasksRunning,
        Self::IoException,
        Self::AsyncException,
        Self::Expired,
        Self::Subsumed,
        Self::Declined,
        Self::DeclinedSubsumed,
        Self::DeclinedOnCancellationBarrier,
        Self::CoordinatorShutdown,
        Self::JobFailover,
        Self::TaskFailure,
        Self::FinalizeFailure,
    ];

    /// Flink's name of the reason.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooManyRequests => "TOO_MANY_CHECKPOINT_REQUESTS",
            Self::NotAllTasksRunning => "NOT_ALL_REQUIRED_TASKS_RUNNING",
            Self::IoException => "IO_EXCEPTION",
            Self::AsyncException => "CHECKPOINT_ASYNC_EXCEPTION",
            Self::Expired => "CHECKPOINT_EXPIRED",
            Self::Subsumed => "CHECKPOINT_SUBSUMED",
            Self::Declined => "CHECKPOINT_DECLINED",
            Self::DeclinedSubsumed => "CHECKPOINT_DECLINED_SUBSUMED",
            Self::DeclinedOnCancellationBarrier => "CHECKPOINT_DECLINED_ON_CANCELLATION_BARRIER",
            Self::CoordinatorShutdown => "CHECKPOINT_COORDINATOR_SHUTDOWN",
            Self::JobFailover => "JOB_FAILOVER_REGION",
            Self::TaskFailure => "TASK_FAILURE",
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
            | Self::NotAllTasksRunning
            | Self::Subsumed
            | Self::DeclinedSubsumed
            | Self::DeclinedOnCancellationBarrier
            | Self::CoordinatorShutdown
            | Self::JobFailover
            | Self::TaskFailure => false,
        }
    }

    /// Whether it only says that the job ends or fails, which is reported on its own.
    pub fn is_of_the_end(self) -> bool {
        matches!(
            self,
            Self::CoordinatorShutdown | Self::JobFailover | Self::TaskFailure
        )
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
