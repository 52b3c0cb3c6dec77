//! The file sink of a bucket.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::config::FileSinkConfig;
use super::part::Part;
use super::part_recovery::Ownership;
use crate::channel::Wake;
use crate::connectors::format::RowWriter;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId};
use crate::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};
use crate::storage::{FileStore, PendingResult, StoreLocation};
use parts::{PartNames, StoredPart, StoredSinkItem};

mod parts;
mod recovery;
#[cfg(test)]
mod tests;

/// How many parts are on their way to the store at most, until the sink takes no more records.
const UPLOADS_MAX: usize = 2;

/// Writes part files into a bucket, exactly once.
///
/// An object cannot be renamed, nor written further once it is there. So a part ends at every barrier, and before that when it
/// has reached its largest size. It is uploaded under a name that no reader looks for
/// (`.pending/part-0-000007.csv.<attempt>`); when its checkpoint is complete, the store copies it to the name that they do look
/// for (`part-0-000007.csv`). The parts that are written and those on their way are in memory.
pub struct StoredFileSink {
    config: FileSinkConfig,
    location: StoreLocation,
    opened: Option<OpenedSink>,
}

struct OpenedSink {
    store: FileStore,
    names: PartNames,
    subtask: usize,
    next_sequence: u64,
    writer: Option<PartInMemory>,
    pending: Vec<PendingPart>,
    wake: Arc<dyn Wake>,
    finished: Finished,
}

/// A part that is being written.
struct PartInMemory {
    part: Part,
    writer: RowWriter<Vec<u8>>,
}

/// A part that is whole, until it has its final name.
struct PendingPart {
    part: StoredPart,
    upload: Arc<Upload>,
    /// The first checkpoint that covers it; nothing before its barrier.
    checkpoint: Option<CheckpointId>,
}

/// The parts that have their final names since the last look.
type Finished = Arc<Mutex<Vec<Part>>>;

/// An upload that more than one checkpoint may wait for, one after the other.
struct Upload(Mutex<Option<PendingResult<()>>>);

impl StoredFileSink {
    /// A sink that is not open yet, of the bucket at `location`.
    pub fn new(config: FileSinkConfig, location: StoreLocation) -> Self {
        Self {
            config,
            location,
            opened: None,
        }
    }

    fn opened(&mut self) -> Result<(&mut OpenedSink, &FileSinkConfig)> {
        let not_open = || Error::new(ErrorKind::Bug, "the sink was used before it was opened");
        let opened = self.opened.as_mut().ok_or_else(not_open)?;
        Ok((opened, &self.config))
    }

    fn open_over(&mut self, store: FileStore, context: &mut OperatorContext<'_>) -> Result<()> {
        let owner = Ownership {
            subtask: context.subtask,
            parallelism: context.parallelism,
        };
        let names = PartNames {
            format: self.config.format,
            attempt: context.job.attempt,
        };
        let items = context.restored.map(recovery::restored_items).transpose()?;
        let next_sequence = match items {
            Some(items) if !items.is_empty() => recovery::restore(&store, &names, owner, &items)?,
            _ => recovery::start_fresh(&store, &names, owner, self.config.existing)?,
        };
        self.opened = Some(OpenedSink {
            store,
            names,
            subtask: context.subtask,
            next_sequence,
            writer: None,
            pending: Vec::new(),
            wake: Arc::clone(context.wake),
            finished: Finished::default(),
        });
        Ok(())
    }
}

impl Sink for StoredFileSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.open_over(FileStore::open(&self.location)?, context)
    }

    fn has_room(&mut self, _awaits_barrier: bool) -> bool {
        let pending = self.opened.iter().flat_map(|opened| &opened.pending);
        let uploads = pending.filter(|part| !part.upload.has_ended()).count();
        uploads < UPLOADS_MAX
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        let (opened, config) = self.opened()?;
        let batch = batch.into_columns()?;
        let part = opened.part();
        part.writer.write(&batch)?;
        // All of it is in memory: this only brings it to where it is counted.
        part.writer.flush()?;
        if part.writer.destination().len() as u64 >= config.roll_size.bytes() {
            opened.close()?;
        }
        Ok(())
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let (opened, _) = self.opened()?;
        opened.close()?;
        opened.forget_finished();
        let mut uploads = Vec::new();
        for part in &mut opened.pending {
            part.checkpoint.get_or_insert(checkpoint);
            uploads.push(Arc::clone(&part.upload));
        }
        let wait: BackgroundWork =
            Box::new(move || uploads.iter().try_for_each(|upload| upload.wait()));
        Ok(OperatorSnapshot {
            items: vec![opened.item().to_value()?],
            background: vec![wait],
        })
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        let (opened, _) = self.opened()?;
        Ok(opened.finish_work(checkpoint).into_iter().collect())
    }
}

impl OpenedSink {
    /// The part in progress; a new one is begun if there is none.
    fn part(&mut self) -> &mut PartInMemory {
        let part = self.writer.take().unwrap_or_else(|| {
            let part = Part {
                subtask: self.subtask,
                sequence: self.next_sequence,
            };
            self.next_sequence += 1;
            let name = self.names.finished(part);
            PartInMemory {
                part,
                writer: RowWriter::new(self.names.format, Vec::new(), true, name),
            }
        });
        self.writer.insert(part)
    }

    /// Ends the part in progress, and sends it on its way.
    fn close(&mut self) -> Result<()> {
        let Some(PartInMemory { part, writer }) = self.writer.take() else {
            return Ok(());
        };
        let content = Bytes::from(writer.into_destination()?);
        let part = StoredPart {
            part,
            staged: self.names.staged(part),
            length: content.len() as u64,
        };
        let wake = Arc::clone(&self.wake);
        let put = self
            .store
            .start_put(&part.staged, content, move || wake.wake());
        self.pending.push(PendingPart {
            part,
            upload: Arc::new(Upload(Mutex::new(Some(put)))),
            checkpoint: None,
        });
        Ok(())
    }

    fn forget_finished(&mut self) {
        let finished = std::mem::take(&mut *lock(&self.finished));
        self.pending
            .retain(|pending| !finished.contains(&pending.part.part));
    }

    fn item(&self) -> StoredSinkItem {
        let pending = self.pending.iter();
        StoredSinkItem {
            subtask: self.subtask,
            next_seq: self.next_sequence,
            pending: pending
                .map(|pending| self.names.item(&pending.part))
                .collect(),
        }
    }

    /// Makes visible what `checkpoint` covers, if there is anything.
    fn finish_work(&mut self, checkpoint: CheckpointId) -> Option<BackgroundWork> {
        self.forget_finished();
        let covered = self
            .pending
            .iter()
            .filter(|pending| pending.checkpoint.is_some_and(|first| first <= checkpoint));
        let covered: Vec<_> = covered.map(|pending| pending.part.clone()).collect();
        if covered.is_empty() {
            return None;
        }
        let (store, names) = (self.store.clone(), self.names.clone());
        let finished = Arc::clone(&self.finished);
        Some(Box::new(move || {
            recovery::finish(&store, &names, &covered)?;
            lock(&finished).extend(covered.iter().map(|part| part.part));
            Ok(())
        }))
    }
}

impl Upload {
    fn has_ended(&self) -> bool {
        lock(&self.0).as_ref().is_none_or(PendingResult::has_ended)
    }

    /// Waits for the end. Later calls find it well.
    fn wait(&self) -> Result<()> {
        let pending = lock(&self.0).take();
        pending.map_or(Ok(()), PendingResult::wait)
    }
}

/// Whoever panicked with the lock held has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
