//! The second thread: it brings what barriers gave to the disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use floodmark::error::{Error, Result};
use floodmark::state::{BaseContent, SealedState};

/// Two checkpoints are kept; what only older ones need is deleted.
const FILES_KEPT: usize = 64;

/// Writes checkpoints one after the other, each into a file of its own, synced.
pub(crate) struct Disk {
    sender: Option<SyncSender<Vec<SealedState>>>,
    done: Arc<AtomicU64>,
    sent: u64,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Disk {
    pub(crate) fn start(folder: PathBuf) -> Self {
        let (sender, receiver) = sync_channel::<Vec<SealedState>>(64);
        let done = Arc::new(AtomicU64::new(0));
        let finished = Arc::clone(&done);
        #[expect(
            clippy::disallowed_methods,
            reason = "a benchmark has threads of its own"
        )]
        let thread = std::thread::spawn(move || {
            let mut bytes = 0;
            for (number, states) in receiver.iter().enumerate() {
                let path = folder.join(number.to_string());
                let written = write(&path, &states);
                bytes += written.map_err(|error| Error::io("write a checkpoint", error))?;
                drop(states);
                finished.fetch_add(1, Ordering::Release);
                if let Some(old) = number.checked_sub(FILES_KEPT) {
                    // One that cannot be deleted takes room, nothing else.
                    let _ = fs::remove_file(folder.join(old.to_string()));
                }
            }
            Ok(bytes)
        });
        Self {
            sender: Some(sender),
            done,
            sent: 0,
            thread: Some(thread),
        }
    }

    /// Hands a checkpoint over.
    pub(crate) fn send(&mut self, states: Vec<SealedState>) {
        self.sent += 1;
        if let Some(sender) = &self.sender {
            // A writer that has failed says so at the end.
            let _ = sender.send(states);
        }
    }

    /// Whether all that was handed over is on the disk.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.sent
    }

    /// Waits for the rest; how many bytes were written.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.sender = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            _ => Ok(0),
        }
    }
}

fn write(path: &PathBuf, states: &[SealedState]) -> std::io::Result<u64> {
    let mut file = File::create(path)?;
    let mut bytes = 0;
    for state in states {
        let base = state.base.iter().flat_map(|base| match &base.content {
            BaseContent::Bytes(bytes) => &bytes.chunks[..],
            // Nobody takes bases here before their barrier.
            BaseContent::Streamed { .. } => &[],
        });
        for chunk in state.delta.chunks.iter().chain(base) {
            file.write_all(chunk)?;
            bytes += chunk.len() as u64;
        }
    }
    file.sync_data()?;
    Ok(bytes)
}
