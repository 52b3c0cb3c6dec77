//! The thread that shows other machines that the owner of a job lives.

use std::thread::{self, JoinHandle};

use futures_util::future::{Either, select};
use tokio::runtime::Builder;
use tokio::sync::oneshot::{self, Sender};
use tracing::warn;

use crate::error::{Error, Result};
use crate::storage::Heartbeat;

/// Writes heartbeats until it is dropped, whatever else the process is busy with.
pub(super) struct Heart {
    /// When it is dropped, the thread ends.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    /// Starts the thread, for the owner with this generation.
    ///
    /// # Errors
    /// When the system has none to give.
    pub(super) fn start(heartbeat: Heartbeat, generation: u64) -> Result<Self> {
        let failed = |error| Error::io("start the thread of the heartbeat", error);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (stop, mut stopped) = oneshot::channel();
        let beat = async move {
            for count in 1.. {
                let beating = Box::pin(beat(&heartbeat, generation, count));
                match select(beating, &mut stopped).await {
                    Either::Left(_) => {}
                    Either::Right(_) => break,
                }
            }
        };
        let thread = thread::Builder::new()
            .name("floodmark-heart".to_owned())
            .spawn(move || runtime.block_on(beat))
            .map_err(failed)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

async fn beat(heartbeat: &Heartbeat, generation: u64, count: u64) {
    if let Err(error) = heartbeat.beat(generation, count).await {
        let reason = Error::from(error).full_message();
        warn!(
            reason,
            "the heartbeat could not be written: another machine may take the owner for gone"
        );
    }
    tokio::time::sleep(heartbeat.interval()).await;
}

impl Drop for Heart {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}
