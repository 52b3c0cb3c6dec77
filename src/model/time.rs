//! Event time, and the clock as a parameter.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point of event time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every event: the watermark of an input that has said nothing yet.
    pub const MIN: Self = Self(i64::MIN);
    /// After every event: the watermark of an input that has ended.
    pub const MAX: Self = Self(i64::MAX);
}

impl fmt::Display for EventTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => formatter.write_str("none"),
            Self::MAX => formatter.write_str("end"),
            Self(millis) => match jiff::Timestamp::from_millisecond(millis) {
                Ok(timestamp) => timestamp.fmt(formatter),
                Err(_) => write!(formatter, "{millis} ms"),
            },
        }
    }
}

/// Where time comes from. Everything that needs the time is handed one of these, so that a test can set it.
pub trait Clock: Send + Sync {
    /// Wall-clock time, in milliseconds since the Unix epoch. It can jump.
    fn unix_millis(&self) -> i64;

    /// Time since the clock was made. It never goes back.
    fn elapsed(&self) -> Duration;
}

/// A clock shared by all parts of a job.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::elapsed`] starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// The same, ready to be shared.
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn unix_millis(&self) -> i64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
