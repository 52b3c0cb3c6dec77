//! Holds a source to a rate.

use std::time::Duration;

/// How many times a second a paced source gives out a batch, if its rate allows for more than one row each time.
const BATCHES_PER_SECOND: f64 = 100.0;

/// Says when how many rows are due. What was held up is made up for afterwards, as fast as the job can take it.
#[derive(Debug)]
pub(super) struct Pacer {
    rows_per_second: f64,
    started: Duration,
    given: u64,
}

/// What may be given out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// So many rows, at least one.
    Rows(usize),
    /// Nothing for so long.
    Nothing(Duration),
}

impl Pacer {
    /// A pacer that starts counting at `now`.
    pub(super) fn new(rows_per_second: f64, now: Duration) -> Self {
        Self {
            rows_per_second,
            started: now,
            given: 0,
        }
    }

    /// What is due at `now`, up to `rows_max`.
    pub(super) fn due(&self, now: Duration, rows_max: usize) -> Due {
        // Rows are given out in portions: a wake-up for every row would cost more than the row.
        let portion = (self.rows_per_second / BATCHES_PER_SECOND).clamp(1.0, rows_max as f64);
        let target = self.given + portion as u64;
        let elapsed = now.saturating_sub(self.started);
        let target_elapsed = Duration::from_secs_f64(target as f64 / self.rows_per_second);
        if elapsed < target_elapsed {
            return Due::Nothing(target_elapsed - elapsed);
        }
        let due = (elapsed.as_secs_f64() * self.rows_per_second) as u64;
        let rows = usize::try_from(due.max(target) - self.given).unwrap_or(rows_max);
        Due::Rows(rows.min(rows_max))
    }

    /// Takes note of rows that were given out.
    pub(super) fn give(&mut self, rows: usize) {
        self.given += rows as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_however_often_it_is_asked() {
        for (rate, polls_per_second) in [(3.0, 1000), (100.0, 7), (250_000.0, 333)] {
            let mut pacer = Pacer::new(rate, Duration::from_secs(5));
            let mut rows = 0;
            for poll in 0..=(polls_per_second * 4) {
                let now =
                    Duration::from_secs(5) + Duration::from_secs(poll) / polls_per_second as u32;
                while let Due::Rows(due) = pacer.due(now, 1024) {
                    pacer.give(due);
                    rows += due;
                }
            }
            let expected = rate * 4.0;
            assert!(rows as f64 <= expected, "{rate}: {rows}");
            assert!(rows as f64 >= expected * 0.99 - 1.0, "{rate}: {rows}");
        }
    }

    #[test]
    fn a_wait_ends_when_rows_are_due() {
        let mut pacer = Pacer::new(10.0, Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 0..20 {
            let Due::Nothing(wait) = pacer.due(now, 100) else {
                panic!("nothing can be due at {now:?}");
            };
            now += wait;
            assert_eq!(pacer.due(now, 100), Due::Rows(1), "at {now:?}");
            pacer.give(1);
        }
        assert!(
            now.abs_diff(Duration::from_secs(2)) < Duration::from_micros(1),
            "{now:?}"
        );
    }
}
