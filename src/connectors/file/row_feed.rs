//! Rows that are read on another thread, because reading them blocks.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use super::source_rows::{RowsRead, SourceRows};
use crate::channel::Wake;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::FileStore;

/// How many batches wait at most to be taken.
const BATCHES_MAX: usize = 8;

/// The batches of a [`SourceRows`] that is at work on a thread of its store. It ends when the feed is dropped.
pub(super) struct RowFeed(Receiver<Result<RowsRead>>);

impl RowFeed {
    /// Begins to read batches of `batch_rows` rows; `wake` is called when one has come.
    pub(super) fn start(
        store: &FileStore,
        mut rows: SourceRows,
        batch_rows: usize,
        wake: Arc<dyn Wake>,
    ) -> Self {
        let (sender, receiver) = sync_channel(BATCHES_MAX);
        store.run_blocking(move || {
            while !rows.is_finished() {
                let read = rows.read(batch_rows);
                let has_failed = read.is_err();
                if sender.send(read).is_err() || has_failed {
                    break;
                }
                wake.wake();
            }
            // The reader has to hear of an error, and of a thread that has ended too early.
            drop(sender);
            wake.wake();
        });
        Self(receiver)
    }

    /// The next batch, if it has come.
    ///
    /// # Errors
    /// When a file cannot be read, or a bad row is to fail the job.
    pub(super) fn take(&mut self) -> Result<Option<RowsRead>> {
        match self.0.try_recv() {
            Ok(read) => read.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Error::new(
                ErrorKind::Bug,
                "the thread that reads the files has ended too early",
            )),
        }
    }
}
