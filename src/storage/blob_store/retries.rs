//! How often, and how soon, the store is asked again.

use std::time::Duration;

use opendal::layers::RetryEvent;
use tracing::warn;

/// How long one step of reading or writing a disk may take. Syncing a base of gigabytes to a slow disk is one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(300);

/// How often one operation is tried again when the trouble may pass.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Retries {
    pub(in crate::storage) max: usize,
    /// The pause before the first of them; each further one is twice as long.
    pub(in crate::storage) pause: Duration,
    /// But no pause is longer than this.
    pub(in crate::storage) pause_max: Duration,
    /// How long one step may take.
    pub(in crate::storage) timeout: Duration,
}

impl Retries {
    /// Those of a disk.
    pub(in crate::storage) const DISK: Self = Self {
        max: 3,
        pause: Duration::from_millis(100),
        pause_max: Duration::from_secs(60),
        timeout: STEP_TIMEOUT,
    };

    /// The pause before the attempt after this one, counted from 0.
    pub(super) fn pause_after(&self, attempt: usize) -> Duration {
        let doubled = u32::try_from(attempt).map_or(u32::MAX, |attempt| 1 << attempt.min(16));
        self.pause.saturating_mul(doubled).min(self.pause_max)
    }
}

/// Tells of a retry.
pub(super) fn log(event: RetryEvent<'_>) {
    warn!(
        operation = ?event.op,
        attempt = event.attempt,
        error = %event.err,
        "the store failed and will be tried again"
    );
}
