//! Time, for those who measure it.

use std::time::{Duration, Instant};

/// Measures how long ago it was made.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets the measured threads run for a while.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn pass(duration: Duration) {
    std::thread::sleep(duration);
}
