//! The part file that a sink is writing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::time::Duration;

use arrow_array::RecordBatch;

use super::part::{Part, PartFolder, PartState, failure};
use crate::connectors::format::RowWriter;
use crate::error::Result;

/// A part file in progress.
pub(super) struct PartWriter {
    part: Part,
    writer: RowWriter<CountedFile>,
    opened_at: Duration,
}

/// A file that knows its length without asking for it.
struct CountedFile {
    file: File,
    length: u64,
}

impl PartWriter {
    /// Begins a new part.
    pub(super) fn create(folder: &PartFolder, part: Part, now: Duration) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        Self::open(folder, part, &options, 0, now)
    }

    /// Goes on with a part that was left at `length`, and has that length.
    pub(super) fn resume(
        folder: &PartFolder,
        part: Part,
        length: u64,
        now: Duration,
    ) -> Result<Self> {
        Self::open(folder, part, OpenOptions::new().append(true), length, now)
    }

    fn open(
        folder: &PartFolder,
        part: Part,
        options: &OpenOptions,
        length: u64,
        opened_at: Duration,
    ) -> Result<Self> {
        let path = folder.path_of(part, PartState::InProgress);
        let file = options
            .open(&path)
            .map_err(|error| failure("open", &path, error))?;
        // It shows others that somebody writes the file; whoever takes the job over then leaves it alone. Where there are
        // no locks, it shows nothing.
        _ = file.try_lock();
        let file = CountedFile { file, length };
        let header = length == 0;
        let writer = RowWriter::new(folder.format, file, header, path.display());
        Ok(Self {
            part,
            writer,
            opened_at,
        })
    }

    /// Writes all rows of a batch; some of the text may stay in the buffer.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch)
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.writer.flush()
    }

    /// The same file again, to be synced on another thread, whatever its name is by then.
    pub(super) fn file(&self) -> io::Result<File> {
        self.writer.destination().file.try_clone()
    }

    /// Which part this is.
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// The clock's time at which the file was opened.
    pub(super) fn opened_at(&self) -> Duration {
        self.opened_at
    }

    /// How long the file is, without what is still in the buffer.
    pub(super) fn length(&self) -> u64 {
        self.writer.destination().length
    }
}

impl Write for CountedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
