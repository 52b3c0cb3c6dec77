//! Processor time, for a machine that does other things as well.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// What the kernel counts the machine's processor time in.
const MILLIS_PER_TICK: u64 = 10;

/// The processor time of one thread.
pub(crate) struct ThreadTime {
    statistics: File,
}

impl ThreadTime {
    /// That of the calling thread; other threads may read it as well.
    pub(crate) fn of_this_thread() -> Self {
        Self {
            statistics: File::open("/proc/thread-self/schedstat").unwrap(),
        }
    }

    /// What the thread has had so far, as of the last tick of its processor.
    pub(crate) fn elapsed(&self) -> Duration {
        let mut bytes = [0; 64];
        let length = self.statistics.read_at(&mut bytes, 0).unwrap_or_default();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
        Duration::from_nanos(nanos.unwrap_or_default())
    }
}

/// What all processors have done so far, for whomever.
pub(crate) fn machine_time() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.lines().next().unwrap_or_default().split_whitespace();
    // After the name: user, nice, system, idle, waiting, interrupts, soft interrupts.
    let busy = ticks.skip(1).take(7).enumerate();
    busy.filter(|(column, _)| ![3, 4].contains(column))
        .filter_map(|(_, ticks)| ticks.parse::<u64>().ok())
        .map(|ticks| Duration::from_millis(ticks * MILLIS_PER_TICK))
        .sum()
}
