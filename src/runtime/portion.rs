//! How much of a batch is worked off at a time, so that no barrier waits long for a slow operator.

use std::time::Duration;

/// A portion that took longer is followed by smaller ones.
const DURATION_MAX: Duration = Duration::from_millis(4);

/// How many rows of a batch are worked off at a time. What is left of the batch can be overtaken.
#[derive(Debug)]
pub(super) struct Portion {
    rows_max: usize,
}

impl Default for Portion {
    fn default() -> Self {
        Self {
            rows_max: usize::MAX,
        }
    }
}

impl Portion {
    /// How many rows the next portion may have.
    pub(super) fn rows_max(&self) -> usize {
        self.rows_max
    }

    /// So many rows were worked off, and took so long.
    pub(super) fn took(&mut self, rows: usize, duration: Duration) {
        if duration > DURATION_MAX {
            // Half the time, since the next rows may take longer.
            let share = DURATION_MAX.as_secs_f64() / 2.0 / duration.as_secs_f64();
            self.rows_max = ((rows as f64 * share) as usize).max(1);
        } else if duration < DURATION_MAX / 4 && rows >= self.rows_max {
            self.rows_max = self.rows_max.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_follow_the_time_that_rows_take() {
        let mut portion = Portion::default();
        let mut check = |rows, millis, expected| {
            portion.took(rows, Duration::from_millis(millis));
            assert_eq!(portion.rows_max(), expected, "{rows} rows in {millis} ms");
        };
        // Whole batches as long as they are fast.
        check(1000, 3, usize::MAX);
        check(1000, 40, 50);
        check(50, 2, 50);
        check(50, 0, 100);
        check(100, 20, 10);
        // A batch that is smaller than a portion says nothing about larger ones.
        check(3, 0, 10);
        check(1, 1000, 1);
        check(1, 0, 2);
    }
}
