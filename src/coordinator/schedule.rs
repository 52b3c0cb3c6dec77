//! When the next periodic checkpoint is due.

use std::time::Duration;

/// The grid of periodic triggers, and the pause after a completion.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Option<Duration>,
    min_pause: Duration,
    next: Option<Duration>,
    not_before: Duration,
}

impl Schedule {
    /// Nothing is due until [`Schedule::start`].
    pub(super) fn new(interval: Option<Duration>, min_pause: Duration) -> Self {
        Self {
            interval,
            min_pause,
            next: None,
            not_before: Duration::ZERO,
        }
    }

    /// The first periodic trigger is one interval from now.
    pub(super) fn start(&mut self, now: Duration) {
        self.next = self.interval.map(|interval| now.saturating_add(interval));
    }

    /// When a periodic checkpoint may be triggered next, if ever.
    pub(super) fn due(&self) -> Option<Duration> {
        self.next.map(|next| next.max(self.not_before))
    }

    /// A periodic checkpoint was triggered. The triggers stay on their grid, so that a tick which comes late does not
    /// delay all that follow; those that were missed altogether are left out.
    pub(super) fn triggered(&mut self, now: Duration) {
        if let (Some(next), Some(interval)) = (self.next, self.interval) {
            let on_grid = next.saturating_add(interval);
            self.next = Some(if on_grid > now {
                on_grid
            } else {
                now.saturating_add(interval)
            });
        }
    }

    /// A checkpoint has completed: the pause begins.
    pub(super) fn completed(&mut self, now: Duration) {
        self.not_before = now.saturating_add(self.min_pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn triggers_keep_to_their_grid_and_missed_ones_are_left_out() {
        /// When the trigger that was due at 200 happened, and when the next is due.
        fn check(triggered_at: u64, next: u64) {
            let mut schedule = Schedule::new(Some(millis(100)), Duration::ZERO);
            schedule.start(millis(100));
            assert_eq!(schedule.due(), Some(millis(200)));
            schedule.triggered(millis(triggered_at));
            assert_eq!(schedule.due(), Some(millis(next)), "{triggered_at}");
        }
        check(200, 300);
        check(203, 300);
        check(299, 300);
        check(300, 400);
        check(555, 655);
    }

    #[test]
    fn the_pause_after_a_completion_postpones_the_next_trigger() {
        let mut schedule = Schedule::new(Some(millis(100)), millis(70));
        schedule.start(millis(0));
        schedule.triggered(millis(100));
        schedule.completed(millis(120));
        assert_eq!(
            schedule.due(),
            Some(millis(200)),
            "the pause is over at 190"
        );
        schedule.completed(millis(150));
        assert_eq!(schedule.due(), Some(millis(220)));
    }

    #[test]
    fn without_an_interval_nothing_is_ever_due() {
        let mut schedule = Schedule::new(None, millis(70));
        schedule.start(millis(0));
        schedule.completed(millis(1));
        assert_eq!(schedule.due(), None);
    }
}
