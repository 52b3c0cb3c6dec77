//! Rows that could not be read, kept in a file that follows the checkpoints: each such row is in it exactly once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::model::OperatorId;
use crate::operator::BackgroundWork;
use crate::telemetry::{JobStatus, Metric, count};

/// What becomes of a row that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// It fails the job.
    #[default]
    Fail,
    /// It is counted and passed over.
    Skip,
    /// It is written to a file, exactly once.
    DeadLetter,
}

/// What a checkpoint knows of one dead-letter file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadLetterItem {
    /// Whose file it is: the subtask's index.
    pub(super) dead_letters: usize,
    pub(super) length: u64,
}

/// What became of the bad rows of one batch.
#[derive(Default)]
pub(super) struct BadRows {
    /// How many there were.
    pub(super) count: u64,
    /// Their lines for the dead-letter file, if they go there.
    pub(super) dead_letters: String,
}

/// The dead-letter file of one subtask.
///
/// `bad.jsonl` is the name in the job; the file of subtask 2 is `bad-2.jsonl`. Each subtask also looks after the files
/// that subtasks beyond the present parallelism have left, by their index modulo the parallelism.
pub(super) struct DeadLetters {
    base: PathBuf,
    subtask: usize,
    /// The lengths of all files that this subtask looks after, by the subtask that wrote them.
    lengths: BTreeMap<usize, u64>,
    file: Option<File>,
}

impl OnError {
    /// Checks that there is a dead-letter file when it is needed, and only then.
    pub(super) fn check(self, dead_letter: Option<&Path>) -> Result<()> {
        let message = match (self, dead_letter) {
            (Self::DeadLetter, None) => {
                "dead_letter: on_error = \"dead-letter\" needs the path of a file here"
            }
            (Self::Fail | Self::Skip, Some(_)) => {
                "dead_letter: only goes with on_error = \"dead-letter\""
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Configuration, message))
    }
}

impl BadRows {
    /// Counts the rows, and writes them down if there is a file for them.
    pub(super) fn settle(
        self,
        dead_letters: Option<&mut DeadLetters>,
        operator: &OperatorId,
        subtask: usize,
        status: &JobStatus,
    ) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let metric = match dead_letters {
            Some(dead_letters) => {
                dead_letters.append(&self.dead_letters)?;
                Metric::RecordsDeadLettered
            }
            None => Metric::RecordsSkipped,
        };
        count(metric, operator, subtask, self.count);
        status.add_records_skipped(self.count);
        Ok(())
    }
}

impl DeadLetters {
    /// Cuts every file that this subtask looks after back to its length in the checkpoint; a file that the checkpoint
    /// does not know is removed. So a fresh start begins with no dead letters.
    pub(super) fn open(
        base: &Path,
        subtask: usize,
        parallelism: usize,
        restored: &BTreeMap<usize, u64>,
    ) -> Result<Self> {
        let mut letters = Self {
            base: base.to_owned(),
            subtask,
            lengths: BTreeMap::new(),
            file: None,
        };
        let folder = letters.folder();
        fs::create_dir_all(&folder)
            .map_err(|error| Error::io(format_args!("make {}", folder.display()), error))?;
        for writer in letters.writers()? {
            if writer % parallelism != subtask {
                continue;
            }
            let path = letters.path(writer);
            match restored.get(&writer) {
                Some(&length) => {
                    let length = truncate(&path, length).map_err(|error| failure(&path, error))?;
                    letters.lengths.insert(writer, length);
                }
                None => fs::remove_file(&path).map_err(|error| failure(&path, error))?,
            }
        }
        Ok(letters)
    }

    /// Appends lines.
    pub(super) fn append(&mut self, lines: &str) -> Result<()> {
        let path = self.path(self.subtask);
        let file = match &mut self.file {
            Some(file) => file,
            closed => {
                let file = OpenOptions::new().create(true).append(true).open(&path);
                closed.insert(file.map_err(|error| failure(&path, error))?)
            }
        };
        file.write_all(lines.as_bytes())
            .map_err(|error| failure(&path, error))?;
        *self.lengths.entry(self.subtask).or_insert(0) += lines.len() as u64;
        Ok(())
    }

    /// What a checkpoint needs to know.
    pub(super) fn items(&self) -> impl Iterator<Item = DeadLetterItem> {
        let item = |(&dead_letters, &length)| DeadLetterItem {
            dead_letters,
            length,
        };
        self.lengths.iter().map(item)
    }

    /// Makes safe on disk what was appended so far.
    pub(super) fn sync(&self) -> Result<Option<BackgroundWork>> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let path = self.path(self.subtask);
        let folder = self.folder();
        let file = file.try_clone().map_err(|error| failure(&path, error))?;
        Ok(Some(Box::new(move || {
            file.sync_all().map_err(|error| failure(&path, error))?;
            let synced = File::open(&folder).and_then(|folder| folder.sync_all());
            synced.map_err(|error| failure(&folder, error))
        })))
    }

    fn folder(&self) -> PathBuf {
        match self.base.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    fn path(&self, writer: usize) -> PathBuf {
        let (stem, extension) = self.name();
        self.folder().join(format!("{stem}-{writer}{extension}"))
    }

    /// The subtasks that have a file now.
    fn writers(&self) -> Result<Vec<usize>> {
        let folder = self.folder();
        let (stem, extension) = self.name();
        let writer_of = |name: &str| -> Option<usize> {
            let index = name.strip_prefix(&stem)?.strip_prefix('-')?;
            index.strip_suffix(&extension)?.parse().ok()
        };
        let list = || -> std::io::Result<Vec<usize>> {
            let mut writers = Vec::new();
            for entry in fs::read_dir(&folder)? {
                writers.extend(entry?.file_name().to_str().and_then(writer_of));
            }
            Ok(writers)
        };
        list().map_err(|error| failure(&folder, error))
    }

    /// The file name's stem, and its extension with the dot.
    fn name(&self) -> (String, String) {
        let text =
            |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let stem = text(self.base.file_stem()).unwrap_or_default();
        let extension = text(self.base.extension());
        (
            stem,
            extension.map_or_else(String::new, |extension| format!(".{extension}")),
        )
    }
}

/// Cuts a file to at most `length` bytes; returns how long it is then. Somebody may have emptied it meanwhile.
fn truncate(path: &Path, length: u64) -> std::io::Result<u64> {
    let file = OpenOptions::new().write(true).open(path)?;
    let length = length.min(file.metadata()?.len());
    file.set_len(length)?;
    Ok(length)
}

fn failure(path: &Path, error: std::io::Error) -> Error {
    Error::io(format_args!("dead-letter file {}", path.display()), error)
}
