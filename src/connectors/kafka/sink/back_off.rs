//! How long to wait before something that has failed is tried again.

use std::time::Duration;

/// The wait after the first failure; each further one doubles it.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);

/// The longest wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// Counts failures, and says how long to wait after each.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    /// How often it has failed since the last success.
    failures: u32,
    /// The wait that is due.
    due: Option<Duration>,
}

impl BackOff {
    /// It has failed once more.
    pub(super) fn failed(&mut self) {
        let wait = BACK_OFF_MIN.saturating_mul(1 << self.failures.min(16));
        self.due = Some(wait.min(BACK_OFF_MAX));
        self.failures = self.failures.saturating_add(1);
    }

    /// It went well: the next failure is the first again.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The wait that is due, once.
    pub(super) fn take_due(&mut self) -> Option<Duration> {
        self.due.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_bound() {
        let mut back_off = BackOff::default();
        assert_eq!(back_off.take_due(), None);
        let waits = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        for millis in waits {
            back_off.failed();
            assert_eq!(back_off.take_due(), Some(Duration::from_millis(millis)));
            assert_eq!(back_off.take_due(), None);
        }
        back_off.succeeded();
        back_off.failed();
        assert_eq!(back_off.take_due(), Some(BACK_OFF_MIN));
    }
}
