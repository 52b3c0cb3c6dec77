//! A clock for tests, which stands still unless it is moved.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::time::Clock;

/// A clock that only a test moves. Its wall-clock time begins at the epoch.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Moves the clock on, the time since it was made and the wall-clock time alike.
    pub fn advance(&self, duration: Duration) {
        self.0
            .fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn unix_millis(&self) -> i64 {
        self.elapsed().as_millis() as i64
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
