//! The threads that do the background work of one attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// How many threads do background work. Most of it waits for a disk.
const THREADS: usize = 2;

/// The threads that do the background work of one attempt, and those that block for it.
pub(super) struct BackgroundRuntime {
    runtime: Runtime,
    /// How many of them there are.
    alive: Arc<AtomicUsize>,
}

impl BackgroundRuntime {
    /// Starts them.
    ///
    /// # Errors
    /// When the system has none to give.
    pub(super) fn start() -> Result<Self> {
        let alive = Arc::<AtomicUsize>::default();
        let (started, stopped) = (Arc::clone(&alive), Arc::clone(&alive));
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("floodmark-background")
            .on_thread_start(move || {
                started.fetch_add(1, Ordering::SeqCst);
            })
            .on_thread_stop(move || {
                stopped.fetch_sub(1, Ordering::SeqCst);
            })
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the background threads", error))?;
        Ok(Self { runtime, alive })
    }

    /// What work is handed over with.
    pub(super) fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Waits for a future, on this thread.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Ends them. What has not begun is dropped; what has begun may take until `timeout` to come to its end. Whether it
    /// did.
    pub(super) fn shut_down(self, timeout: Duration) -> bool {
        self.runtime.shutdown_timeout(timeout);
        self.alive.load(Ordering::SeqCst) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn work_that_hangs_is_noticed() {
        let threads = BackgroundRuntime::start().unwrap();
        threads.handle().spawn_blocking(|| {});
        assert!(threads.shut_down(Duration::from_secs(60)));

        let threads = BackgroundRuntime::start().unwrap();
        let (began, has_begun) = sync_channel(1);
        let (_hold, held) = sync_channel::<()>(0);
        threads.handle().spawn_blocking(move || {
            began.send(()).unwrap();
            held.recv()
        });
        has_begun.recv().unwrap();
        assert!(!threads.shut_down(Duration::ZERO));
    }
}
