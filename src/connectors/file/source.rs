//! The file source.

use std::sync::Arc;

use super::config::FileSourceConfig;
use super::row_reader::{BadRow, RowRead, RowReader, RowSyntax};
use super::source_files::{FileList, RestoredSource, SourceFile, SourceItem, assign_files};
use crate::connectors::dead_letters::{BadRows, DeadLetters, OnError};
use crate::connectors::event_time::WatermarkTracker;
use crate::connectors::format::RowBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId, OperatorId};
use crate::operator::{OperatorContext, OperatorSnapshot, Output, Source, SourceStatus};
use crate::telemetry::JobStatus;

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
    syntax: RowSyntax,
    found: FileList,
    files: Vec<SourceFile>,
    /// Which of `files` is being read.
    current: usize,
    reader: Option<RowReader>,
    rows: RowBuilder,
    watermarks: Option<WatermarkTracker>,
    dead_letters: Option<DeadLetters>,
    operator: OperatorId,
    subtask: usize,
    /// Where bad rows are counted for the progress line.
    status: Arc<JobStatus>,
}

impl FileSource {
    /// A source of the files `found`; they are the same for all subtasks.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the key that is wrong.
    pub fn new(config: FileSourceConfig, found: FileList) -> Result<Self> {
        config.check()?;
        Ok(Self {
            syntax: RowSyntax {
                format: config.row_format()?,
                delimiter: config.delimiter_byte()?,
                row_bytes_max: config.max_row_size.bytes(),
            },
            rows: RowBuilder::new(&config.columns, &config.null_markers()?, config.batch_rows),
            watermarks: config.watermarks()?,
            config,
            found,
            files: Vec::new(),
            current: 0,
            reader: None,
            dead_letters: None,
            operator: OperatorId::new(""),
            subtask: 0,
            status: JobStatus::shared(),
        })
    }

    /// Reads rows until the batch holds `rows_max`, counting bad ones, or all files are at their end.
    fn read_rows(&mut self, rows_max: usize) -> Result<BadRows> {
        let mut bad_rows = BadRows::default();
        while self.current < self.files.len() && self.rows.len() < rows_max {
            if self.files[self.current].finished {
                self.current += 1;
                continue;
            }
            self.read_file(rows_max, &mut bad_rows)?;
        }
        Ok(bad_rows)
    }

    fn read_file(&mut self, rows_max: usize, bad_rows: &mut BadRows) -> Result<()> {
        let file = &mut self.files[self.current];
        let reader = match &mut self.reader {
            Some(reader) => reader,
            closed => closed.insert(RowReader::open(
                self.syntax,
                &self.config.columns,
                &file.path,
                file.position(),
            )?),
        };
        while self.rows.len() < rows_max {
            match reader.read(&mut self.rows)? {
                RowRead::Row => {}
                RowRead::Bad(row) => {
                    add_bad_row(bad_rows, &row, self.config.on_error, &file.path)?;
                }
                RowRead::End => {
                    file.finished = true;
                    break;
                }
            }
        }
        file.set_position(reader.position());
        if file.finished {
            self.reader = None;
        }
        Ok(())
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
        if let Some(base) = &self.config.dead_letter {
            let lengths = restored.unwrap_or_default().dead_letters;
            let dead_letters = DeadLetters::open(base, subtask, parallelism, &lengths)?;
            self.dead_letters = Some(dead_letters);
        }
        self.operator = context.operator.clone();
        self.status = Arc::clone(context.status);
        self.subtask = subtask;
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        let bad_rows = self.read_rows(rows_max.min(self.config.batch_rows))?;
        let dead_letters = self.dead_letters.as_mut();
        bad_rows.settle(dead_letters, &self.operator, self.subtask, &self.status)?;
        let batch = self.rows.finish()?;
        let watermark = self
            .watermarks
            .as_mut()
            .and_then(|watermarks| watermarks.observe(&batch));
        output.emit(Batch::Columns(batch));
        if let Some(watermark) = watermark {
            output.emit_watermark(watermark);
        }
        if self.current == self.files.len() {
            return Ok(SourceStatus::Finished);
        }
        Ok(SourceStatus::Ready)
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

/// Takes note of a bad row of the file at `path`.
fn add_bad_row(bad_rows: &mut BadRows, row: &BadRow, on_error: OnError, path: &str) -> Result<()> {
    match on_error {
        OnError::Fail => return Err(row.to_error(path)),
        OnError::Skip => {}
        OnError::DeadLetter => bad_rows.dead_letters.push_str(&row.to_dead_letter(path)),
    }
    bad_rows.count += 1;
    Ok(())
}

#[cfg(test)]
mod tests;
