//! Figures of a subtask, for whoever watches the job.

use std::time::Duration;

use crate::model::EventTime;

/// How long the figures of named states count as new.
const STATE_REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What passed a subtask since it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubtaskFigures {
    /// Whether it has a source at its head.
    pub(super) is_source: bool,
    /// Whether no other subtask reads from it.
    pub(super) is_last: bool,
    /// Records that came out of its source or in over its links.
    pub(super) records_in: u64,
    /// Records that it gave to other subtasks.
    pub(super) records_sent: u64,
    /// Records that its sink took.
    pub(super) records_sunk: u64,
    /// The last watermark that its last operator was given.
    pub(super) watermark: EventTime,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub(super) unix_millis: i64,
}

impl SubtaskFigures {
    /// How far the watermark is behind the wall clock, in seconds; nothing before the first one and after the last.
    pub(super) fn watermark_lag_seconds(&self) -> Option<f64> {
        let is_time = ![EventTime::MIN, EventTime::MAX].contains(&self.watermark);
        is_time.then(|| (self.unix_millis - self.watermark.0) as f64 / 1000.0)
    }
}

/// When the figures of named states are to be reported: after each snapshot, and once a second.
#[derive(Debug, Default)]
pub(super) struct StateReport {
    /// As the clock counts.
    due: Duration,
}

impl StateReport {
    /// A snapshot has been taken.
    pub(super) fn on_snapshot(&mut self) {
        self.due = Duration::ZERO;
    }

    /// Whether to report now; the next time is later then.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + STATE_REPORT_INTERVAL;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_reported_at_first_once_a_second_and_after_a_snapshot() {
        let mut report = StateReport::default();
        let mut check = |millis, expected| {
            let is_due = report.is_due(Duration::from_millis(millis));
            assert_eq!(is_due, expected, "{millis}");
        };
        check(0, true);
        check(999, false);
        check(1000, true);
        check(1500, false);
        report.on_snapshot();
        assert!(report.is_due(Duration::from_millis(1500)));
        assert!(!report.is_due(Duration::from_millis(1501)));
    }

    #[test]
    fn the_watermark_lags_only_while_there_is_one() {
        let check = |watermark, expected| {
            let figures = SubtaskFigures {
                is_source: false,
                is_last: true,
                records_in: 0,
                records_sent: 0,
                records_sunk: 0,
                watermark,
                unix_millis: 5_500,
            };
            assert_eq!(figures.watermark_lag_seconds(), expected, "{watermark}");
        };
        check(EventTime::MIN, None);
        check(EventTime(4_000), Some(1.5));
        check(EventTime::MAX, None);
    }
}
