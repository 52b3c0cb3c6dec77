//! How many checkpoints may fail before the job does.

use super::failure_reason::FailureReason;

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct FailureCounter {
    tolerable: u32,
    consecutive: u32,
}

impl FailureCounter {
    pub(super) fn new(tolerable: u32) -> Self {
        Self {
            tolerable,
            consecutive: 0,
        }
    }

    /// A checkpoint has completed: what failed before is forgiven.
    pub(super) fn completed(&mut self) {
        self.consecutive = 0;
    }

    /// A checkpoint has failed. Returns whether that is more than the job tolerates.
    pub(super) fn failed(&mut self, reason: FailureReason) -> bool {
        if !reason.is_counted() {
            return false;
        }
        self.consecutive = self.consecutive.saturating_add(1);
        self.consecutive > self.tolerable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcomes of checkpoints in order, and whether the job fails with the last of them.
    fn check(tolerable: u32, outcomes: &[Result<(), FailureReason>], fails: bool) {
        let mut counter = FailureCounter::new(tolerable);
        let mut exceeded = Vec::new();
        for outcome in outcomes {
            exceeded.push(match outcome {
                Ok(()) => {
                    counter.completed();
                    false
                }
                Err(reason) => counter.failed(*reason),
            });
        }
        assert_eq!(exceeded.last(), Some(&fails), "{tolerable} {outcomes:?}");
        assert!(
            !exceeded[..exceeded.len() - 1].contains(&true),
            "{tolerable} {outcomes:?}"
        );
    }

    #[test]
    fn the_first_counted_failure_beyond_the_tolerable_ones_is_too_much() {
        const COUNTED: Result<(), FailureReason> = Err(FailureReason::Expired);
        const UNCOUNTED: Result<(), FailureReason> = Err(FailureReason::Subsumed);
        check(0, &[COUNTED], true);
        check(0, &[UNCOUNTED], false);
        check(2, &[COUNTED, COUNTED], false);
        check(2, &[COUNTED, COUNTED, COUNTED], true);
        check(2, &[COUNTED, UNCOUNTED, COUNTED, COUNTED], true);
        check(2, &[COUNTED, COUNTED, Ok(()), COUNTED, COUNTED], false);
    }
}
