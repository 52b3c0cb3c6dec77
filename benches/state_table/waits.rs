//! How long the writer has waited for a processor: what of a slow batch is the machine's doing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// The waits of the thread that opened it, as Linux counts them.
pub(crate) struct ProcessorWaits {
    /// Nothing where there is no such file.
    file: Option<File>,
}

impl ProcessorWaits {
    pub(crate) fn of_this_thread() -> Self {
        Self {
            file: File::open("/proc/thread-self/schedstat").ok(),
        }
    }

    /// All time so far in which the thread could run and had no processor.
    pub(crate) fn total(&self) -> Duration {
        let mut bytes = [0; 64];
        let read = |file: &File| file.read_at(&mut bytes, 0).ok();
        let length = self.file.as_ref().and_then(read).unwrap_or(0);
        // Nanoseconds run, nanoseconds waited, times run.
        let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
        let waited = text.split_whitespace().nth(1);
        Duration::from_nanos(waited.and_then(|field| field.parse().ok()).unwrap_or(0))
    }
}
