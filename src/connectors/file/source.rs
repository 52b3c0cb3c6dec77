//! The file source.

use std::sync::Arc;
use std::time::Duration;

use super::config::FileSourceConfig;
use super::input_file::InputFiles;
use super::row_feed::RowFeed;
use super::source_files::{FileList, RestoredSource, SourceFile, SourceItem, assign_files};
use super::source_rows::{RowsRead, SourceRows};
use crate::connectors::dead_letters::DeadLetters;
use crate::connectors::event_time::WatermarkTracker;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId, OperatorId};
use crate::operator::{OperatorContext, OperatorSnapshot, Output, Source, SourceStatus};
use crate::telemetry::JobStatus;

/// How long a source sleeps that waits for its feed, should nobody wake it.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Reads files row by row, each file once. Its position is a byte offset and a line number for each file.
///
/// Files are dealt out to the subtasks in the order of their names, and a subtask reads its own one after the other. A
/// restored source reads on where the checkpoint was, and also reads files that are new and what has been added at the
/// end of old ones.
///
/// ```
/// use floodmark::connectors::{FileList, FileSource, FileSourceConfig};
///
/// let config: FileSourceConfig = toml::from_str(
///     "path = 'flights/*.csv'
///      null = ['NA', '']
///      columns = { carrier = 'string', dep_delay = 'int64' }",
/// )?;
/// let files = FileList::find(&config)?;
/// let source = FileSource::new(config, files)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileSource {
    config: FileSourceConfig,
    found: FileList,
    /// How far each file is read.
    files: Vec<SourceFile>,
    /// How many of them are not read to their end.
    unfinished: usize,
    rows: Option<Rows>,
    watermarks: Option<WatermarkTracker>,
    dead_letters: Option<DeadLetters>,
    operator: OperatorId,
    subtask: usize,
    /// Where bad rows are counted for the progress line.
    status: Arc<JobStatus>,
}

/// Where the rows are read.
enum Rows {
    /// In the poll itself.
    Here(Box<SourceRows>),
    /// On another thread.
    Fed(RowFeed),
}

impl FileSource {
    /// A source of the files `found`; they are the same for all subtasks.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the key that is wrong.
    pub fn new(config: FileSourceConfig, found: FileList) -> Result<Self> {
        config.check()?;
        Ok(Self {
            watermarks: config.watermarks()?,
            config,
            found,
            files: Vec::new(),
            unfinished: 0,
            rows: None,
            dead_letters: None,
            operator: OperatorId::new(""),
            subtask: 0,
            status: JobStatus::shared(),
        })
    }

    /// Reads the next rows; nothing when they have not come yet.
    fn read(&mut self, rows_max: usize) -> Result<Option<RowsRead>> {
        match &mut self.rows {
            _ if self.unfinished == 0 => Ok(None),
            Some(Rows::Here(rows)) => rows.read(rows_max).map(Some),
            Some(Rows::Fed(feed)) => feed.take(),
            None => Err(Error::new(
                ErrorKind::Bug,
                "the source was polled before it was opened",
            )),
        }
    }

    /// Takes note of how far the files are read.
    fn advance(&mut self, read: &RowsRead) {
        for progress in &read.progress {
            let file = &mut self.files[progress.file];
            file.set_position(progress.position);
            file.finished = progress.finished;
            self.unfinished -= usize::from(progress.finished);
        }
    }
}

impl Source for FileSource {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let restored = context.restored.map(RestoredSource::of_state).transpose()?;
        let known = restored.as_ref().map_or(0, |restored| restored.files.len());
        if known == 0 && self.found.paths().is_empty() {
            let message = format!("path: no file matches \"{}\"", self.config.path);
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let (subtask, parallelism) = (context.subtask, context.parallelism);
        self.files = assign_files(&self.found, restored.as_ref(), subtask, parallelism)?;
        self.unfinished = self.files.iter().filter(|file| !file.finished).count();
        if let Some(base) = &self.config.dead_letter {
            let lengths = restored.unwrap_or_default().dead_letters;
            let dead_letters = DeadLetters::open(base, subtask, parallelism, &lengths)?;
            self.dead_letters = Some(dead_letters);
        }
        let input = self.found.input();
        let rows = SourceRows::new(&self.config, input.clone(), self.files.clone())?;
        self.rows = Some(match input {
            InputFiles::Local => Rows::Here(Box::new(rows)),
            InputFiles::Stored(store) => Rows::Fed(RowFeed::start(
                store,
                rows,
                self.config.batch_rows,
                Arc::clone(context.wake),
            )),
        });
        self.operator = context.operator.clone();
        self.status = Arc::clone(context.status);
        self.subtask = subtask;
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        if let Some(read) = self.read(rows_max)? {
            self.advance(&read);
            let dead_letters = self.dead_letters.as_mut();
            read.bad_rows
                .settle(dead_letters, &self.operator, self.subtask, &self.status)?;
            let watermark = self
                .watermarks
                .as_mut()
                .and_then(|watermarks| watermarks.observe(&read.batch));
            output.emit(Batch::Columns(read.batch));
            if let Some(watermark) = watermark {
                output.emit_watermark(watermark);
            }
        } else if self.unfinished > 0 {
            return Ok(SourceStatus::Wait(SLEEP_MAX));
        }
        match self.unfinished {
            0 => Ok(SourceStatus::Finished),
            _ => Ok(SourceStatus::Ready),
        }
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        for file in &self.files {
            snapshot
                .items
                .push(SourceItem::File(file.clone()).to_value()?);
        }
        if let Some(dead_letters) = &self.dead_letters {
            for item in dead_letters.items() {
                snapshot
                    .items
                    .push(SourceItem::DeadLetters(item).to_value()?);
            }
            snapshot.background.extend(dead_letters.sync()?);
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests;
