//! The rows of all files that one subtask reads, batch by batch.

use arrow_array::RecordBatch;

use super::config::FileSourceConfig;
use super::input_file::InputFiles;
use super::row_reader::{BadRow, FilePosition, RowRead, RowReader, RowSyntax};
use super::source_files::SourceFile;
use crate::connectors::dead_letters::{BadRows, OnError};
use crate::connectors::format::RowBuilder;
use crate::error::Result;

/// The files of one subtask, and how far they are read.
pub(super) struct SourceRows {
    config: FileSourceConfig,
    syntax: RowSyntax,
    input: InputFiles,
    files: Vec<SourceFile>,
    /// Which of `files` is being read.
    current: usize,
    reader: Option<RowReader>,
    rows: RowBuilder,
}

/// One batch, and what it leaves to do.
pub(super) struct RowsRead {
    pub(super) batch: RecordBatch,
    pub(super) bad_rows: BadRows,
    /// How far each file is read of which this batch has rows.
    pub(super) progress: Vec<FileProgress>,
}

/// How far a file is read.
pub(super) struct FileProgress {
    /// Which of the subtask's files it is.
    pub(super) file: usize,
    pub(super) position: FilePosition,
    pub(super) finished: bool,
}

impl SourceRows {
    /// The rows of `files`, which lie in `input`, from their positions on.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Configuration`], naming the key that is wrong.
    pub(super) fn new(
        config: &FileSourceConfig,
        input: InputFiles,
        files: Vec<SourceFile>,
    ) -> Result<Self> {
        Ok(Self {
            syntax: RowSyntax {
                format: config.row_format()?,
                delimiter: config.delimiter_byte()?,
                row_bytes_max: config.max_row_size.bytes(),
            },
            rows: RowBuilder::new(&config.columns, &config.null_markers()?, config.batch_rows),
            config: config.clone(),
            input,
            files,
            current: 0,
            reader: None,
        })
    }

    /// Whether all files are read to their ends.
    pub(super) fn is_finished(&self) -> bool {
        self.current == self.files.len()
    }

    /// Reads up to `rows_max` rows, counting bad ones; less only when all files are at their end.
    ///
    /// # Errors
    /// When a file cannot be read, or a bad row is to fail the job.
    pub(super) fn read(&mut self, rows_max: usize) -> Result<RowsRead> {
        let rows_max = rows_max.min(self.config.batch_rows);
        let mut bad_rows = BadRows::default();
        let mut progress = Vec::new();
        while !self.is_finished() && self.rows.len() < rows_max {
            if !self.files[self.current].finished {
                progress.push(self.read_file(rows_max, &mut bad_rows)?);
            }
            if self.files[self.current].finished {
                self.current += 1;
            }
        }
        Ok(RowsRead {
            batch: self.rows.finish()?,
            bad_rows,
            progress,
        })
    }

    fn read_file(&mut self, rows_max: usize, bad_rows: &mut BadRows) -> Result<FileProgress> {
        let file = &mut self.files[self.current];
        let reader = match &mut self.reader {
            Some(reader) => reader,
            closed => closed.insert(RowReader::open(
                &self.input,
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
        let position = reader.position();
        if file.finished {
            self.reader = None;
        }
        Ok(FileProgress {
            file: self.current,
            position,
            finished: file.finished,
        })
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
