//! The thread that fetches for one subtask.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::fetch_client::FetchClient;
use super::fetch_queue::{FetchEvent, FetchQueue};
use super::fetcher::Fetcher;
use crate::error::{Error, ErrorKind, Result};
use crate::model::SharedClock;

/// A fetching thread. It ends with this handle.
pub(super) struct FetchThread {
    queue: Arc<FetchQueue>,
    thread: Option<JoinHandle<()>>,
}

impl FetchThread {
    /// Starts a thread called `name`. The fetcher is made on it; what it has to tell goes to `queue`, and so does the error
    /// that it ends with.
    pub(super) fn start<C: FetchClient>(
        name: String,
        queue: Arc<FetchQueue>,
        clock: SharedClock,
        make: impl FnOnce() -> Result<Fetcher<C>> + Send + 'static,
    ) -> Result<Self> {
        let told = Arc::clone(&queue);
        let run = move || {
            let fetch = || fetch(make, &told, &clock);
            // A panic must not look like a topic without records.
            let ended = catch_unwind(AssertUnwindSafe(fetch)).unwrap_or_else(|_| {
                let message = "the thread that reads from Kafka has panicked";
                Err(Error::new(ErrorKind::Bug, message))
            });
            if let Err(error) = ended {
                told.push(FetchEvent::Failed(error));
            }
        };
        let thread = Builder::new().name(name).spawn(run);
        let thread =
            thread.map_err(|error| Error::io("start a thread that reads from Kafka", error))?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }
}

impl Drop for FetchThread {
    /// Waits for the thread: librdkafka must be done with its own threads before the process may end. It takes no longer
    /// than one question to the broker.
    fn drop(&mut self) {
        self.queue.stop();
        if let Some(thread) = self.thread.take() {
            // A panic was told of by the thread itself.
            let _ = thread.join();
        }
    }
}

fn fetch<C: FetchClient>(
    make: impl FnOnce() -> Result<Fetcher<C>>,
    queue: &FetchQueue,
    clock: &SharedClock,
) -> Result<()> {
    let mut fetcher = make()?;
    while !queue.is_stopped() {
        let wait = fetcher.turn(clock.elapsed())?;
        queue.wait(wait);
    }
    Ok(())
}
