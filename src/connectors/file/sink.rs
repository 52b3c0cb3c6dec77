//! The file sink.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::config::FileSinkConfig;
use super::part::{Part, PartFolder, PartState, failure};
use super::part_recovery::{
    Ownership, PartItem, Recovered, SinkItem, restore, restored_items, start_fresh,
};
use super::part_writer::PartWriter;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId, SharedClock};
use crate::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

/// Writes part files into a folder, exactly once.
///
/// A part is written under a hidden name (`.part-0-000007.csv.inprogress`). A barrier closes it when it is old or large
/// enough (`.pending`), and the checkpoint's completion gives it the name that readers look for
/// (`part-0-000007.csv`). A restore brings the folder back to exactly what the checkpoint says.
///
/// ```
/// use floodmark::connectors::{FileSink, FileSinkConfig};
///
/// let config: FileSinkConfig = toml::from_str(
///     "path = 'out'
///      format = 'csv'
///      roll_interval = '0s'",
/// )?;
/// let sink = FileSink::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileSink {
    config: FileSinkConfig,
    folder: PartFolder,
    opened: Option<OpenedSink>,
}

struct OpenedSink {
    subtask: usize,
    clock: SharedClock,
    next_sequence: u64,
    writer: Option<PartWriter>,
    /// Parts that are whole, and wait for a barrier; with their lengths.
    closed: Vec<(Part, u64)>,
    pending: Vec<PendingPart>,
}

/// A part that waits for its checkpoint to complete, or for the rename that this brings.
///
/// It stays in every snapshot until its new name is safe on disk. Otherwise a checkpoint that completes in between
/// would know nothing of a file that still has its old name.
struct PendingPart {
    part: Part,
    length: u64,
    checkpoint: CheckpointId,
    /// Whether its bytes are safe on disk. Set by the background work.
    synced: Arc<AtomicBool>,
    /// Whether it has its final name. Set by the background work.
    finished: Arc<AtomicBool>,
}

impl FileSink {
    /// A sink that is not open yet.
    pub fn new(config: FileSinkConfig) -> Self {
        let folder = PartFolder {
            path: config.path.clone(),
            format: config.format,
        };
        Self {
            config,
            folder,
            opened: None,
        }
    }

    fn opened(&mut self) -> Result<(&mut OpenedSink, &PartFolder, &FileSinkConfig)> {
        let not_open = || Error::new(ErrorKind::Bug, "the sink was used before it was opened");
        let opened = self.opened.as_mut().ok_or_else(not_open)?;
        Ok((opened, &self.folder, &self.config))
    }
}

impl Sink for FileSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let owner = Ownership {
            subtask: context.subtask,
            parallelism: context.parallelism,
        };
        let items = context.restored.map(restored_items).transpose()?;
        let recovered = match items {
            Some(items) if !items.is_empty() => restore(&self.folder, owner, items)?,
            _ => start_fresh(&self.folder, owner, self.config.existing)?,
        };
        let clock = context.clock.clone();
        self.opened = Some(OpenedSink::new(&self.folder, owner, clock, recovered)?);
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        let (opened, folder, config) = self.opened()?;
        let batch = batch.into_columns()?;
        let writer = opened.writer(folder)?;
        writer.write(&batch)?;
        if writer.length() >= config.roll_size.bytes() {
            opened.close()?;
        }
        Ok(())
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let (opened, folder, config) = self.opened()?;
        opened.roll(config)?;
        opened.make_pending(folder, checkpoint)?;
        let item = opened.item(folder);
        let item = serde_json::to_value(item).map_err(|error| {
            Error::new(ErrorKind::Bug, "the sink's state cannot be written").with_source(error)
        })?;
        Ok(OperatorSnapshot {
            items: vec![item],
            background: vec![opened.sync_work(folder)?],
        })
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        let (opened, folder, _) = self.opened()?;
        Ok(opened.finish_work(folder, checkpoint).into_iter().collect())
    }

    fn finish(&mut self) -> Result<()> {
        self.opened()?.0.close()
    }
}

impl OpenedSink {
    fn new(
        folder: &PartFolder,
        owner: Ownership,
        clock: SharedClock,
        recovered: Recovered,
    ) -> Result<Self> {
        let resume = |(part, length)| PartWriter::resume(folder, part, length, clock.elapsed());
        Ok(Self {
            subtask: owner.subtask,
            next_sequence: recovered.next_sequence,
            writer: recovered.in_progress.map(resume).transpose()?,
            closed: recovered.closed,
            pending: Vec::new(),
            clock,
        })
    }

    /// The part in progress; a new one is begun if there is none.
    fn writer(&mut self, folder: &PartFolder) -> Result<&mut PartWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let part = Part {
                    subtask: self.subtask,
                    sequence: self.next_sequence,
                };
                let writer = PartWriter::create(folder, part, self.clock.elapsed())?;
                self.next_sequence += 1;
                writer
            }
        };
        Ok(self.writer.insert(writer))
    }

    fn close(&mut self) -> Result<()> {
        if let Some(mut writer) = self.writer.take() {
            writer.flush()?;
            self.closed.push((writer.part(), writer.length()));
        }
        Ok(())
    }

    /// Hands everything to the operating system, and closes the part in progress when it is due.
    fn roll(&mut self, config: &FileSinkConfig) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        writer.flush()?;
        let age: Duration = self.clock.elapsed().saturating_sub(writer.opened_at());
        if age >= config.roll_interval.0 || writer.length() >= config.roll_size.bytes() {
            self.close()?;
        }
        Ok(())
    }

    fn make_pending(&mut self, folder: &PartFolder, checkpoint: CheckpointId) -> Result<()> {
        self.pending
            .retain(|pending| !pending.finished.load(Ordering::Acquire));
        for (part, length) in self.closed.drain(..) {
            folder.rename(part, PartState::InProgress, PartState::Pending)?;
            self.pending.push(PendingPart {
                part,
                length,
                checkpoint,
                synced: Arc::default(),
                finished: Arc::default(),
            });
        }
        Ok(())
    }

    fn item(&self, folder: &PartFolder) -> SinkItem {
        let item = |part: Part, length| PartItem {
            name: part.name(folder.format),
            length,
        };
        let in_progress = self.writer.as_ref();
        let pending = self.pending.iter();
        SinkItem {
            subtask: self.subtask,
            next_seq: self.next_sequence,
            in_progress: in_progress.map(|writer| item(writer.part(), writer.length())),
            pending: pending
                .map(|pending| item(pending.part, pending.length))
                .collect(),
        }
    }

    /// Makes safe on disk what the snapshot speaks of. The folder is always synced: opening the sink may have renamed
    /// files that no later snapshot speaks of.
    fn sync_work(&self, folder: &PartFolder) -> Result<BackgroundWork> {
        let in_progress = match &self.writer {
            Some(writer) => {
                let path = folder.path_of(writer.part(), PartState::InProgress);
                let file = writer.file();
                Some((file.map_err(|error| failure("sync", &path, error))?, path))
            }
            None => None,
        };
        let pending = self.pending.iter();
        let unsynced: Vec<_> = pending
            .filter(|pending| !pending.synced.load(Ordering::Acquire))
            .map(|pending| {
                let path = folder.path_of(pending.part, PartState::Pending);
                (path, pending.synced.clone())
            })
            .collect();
        let folder = folder.clone();
        Ok(Box::new(move || {
            if let Some((file, path)) = in_progress {
                file.sync_all()
                    .map_err(|error| failure("sync", &path, error))?;
            }
            for (path, is_synced) in &unsynced {
                // Work of an earlier checkpoint has seen to it, and a commit may have given it its final name since.
                if is_synced.load(Ordering::Acquire) {
                    continue;
                }
                let synced = File::open(path).and_then(|file| file.sync_all());
                synced.map_err(|error| failure("sync", path, error))?;
                is_synced.store(true, Ordering::Release);
            }
            folder.sync()
        }))
    }

    /// Makes visible what `checkpoint` covers, if there is anything.
    fn finish_work(&self, folder: &PartFolder, checkpoint: CheckpointId) -> Option<BackgroundWork> {
        let covered = self.pending.iter().filter(|pending| {
            pending.checkpoint <= checkpoint && !pending.finished.load(Ordering::Acquire)
        });
        let covered: Vec<_> = covered
            .map(|pending| (pending.part, pending.finished.clone()))
            .collect();
        if covered.is_empty() {
            return None;
        }
        let folder = folder.clone();
        Some(Box::new(move || {
            for (part, _) in &covered {
                folder.finish(*part)?;
            }
            folder.sync()?;
            for (_, finished) in &covered {
                finished.store(true, Ordering::Release);
            }
            Ok(())
        }))
    }
}

#[cfg(test)]
mod tests;
