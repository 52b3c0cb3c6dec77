//! What has failed in a job: the last few failures.

use std::collections::VecDeque;

use crate::model::SubtaskId;

/// How many failures are kept: as many as Flink shows.
const FAILURES_MAX: usize = 16;

/// A failure of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedFailure {
    /// What failed, and why.
    pub message: String,
    /// The subtask it failed in, if it was one.
    pub subtask: Option<SubtaskId>,
    /// When that was, in milliseconds since the Unix epoch.
    pub unix_millis: i64,
}

/// The last failures of a job, the oldest first.
#[derive(Debug, Default)]
pub(super) struct FailureLog(VecDeque<ReportedFailure>);

impl FailureLog {
    /// Adds a failure; the oldest goes when there are too many.
    pub(super) fn add(&mut self, failure: ReportedFailure) {
        self.0.push_back(failure);
        if self.0.len() > FAILURES_MAX {
            self.0.pop_front();
        }
    }

    /// All that are kept.
    pub(super) fn to_vec(&self) -> Vec<ReportedFailure> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_failures_are_kept_in_their_order() {
        let mut log = FailureLog::default();
        for number in 0..20 {
            log.add(ReportedFailure {
                message: number.to_string(),
                subtask: None,
                unix_millis: number,
            });
        }
        let kept = log.to_vec().into_iter().map(|failure| failure.unix_millis);
        assert!(kept.eq(4..20));
    }
}
