//! Which files a source reads, which subtask reads which, and what a checkpoint says about them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::FileSourceConfig;
use super::input_file::InputFiles;
use super::row_reader::FilePosition;
use crate::connectors::dead_letters::DeadLetterItem;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::RestoredOperatorState;
use crate::storage::{FileStore, StoreLocation};

/// The files that a source's pattern matched, sorted.
///
/// It is made once and shared by all subtasks: if each looked for itself, a file that arrives in between could be read
/// by two of them, or by none.
#[derive(Clone, Debug)]
pub struct FileList {
    input: InputFiles,
    paths: Arc<[String]>,
}

/// One file of a source, and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) offset: u64,
    pub(super) line: u64,
    /// Whether `offset` was the file's end. It is there for whoever reads the manifest: a file that has grown since
    /// is read on.
    pub(super) finished: bool,
}

/// One item of a file source in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum SourceItem {
    File(SourceFile),
    DeadLetters(DeadLetterItem),
}

/// What a checkpoint says about all subtasks of a file source.
#[derive(Debug, Default)]
pub(super) struct RestoredSource {
    pub(super) files: BTreeMap<String, SourceFile>,
    /// The length of each dead-letter file, by the subtask that wrote it.
    pub(super) dead_letters: BTreeMap<usize, u64>,
}

impl FileList {
    /// Looks for the files that match the pattern of `config`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a bad pattern, [`ErrorKind::Environment`] for a folder that cannot be read. No
    /// match is no error yet: the source to be resumed may have read all its files.
    pub fn find(config: &FileSourceConfig) -> Result<Self> {
        let (input, mut paths) = match config.location()? {
            Some(location) => {
                let (store, paths) = find_stored(&config.path, &location)?;
                (InputFiles::Stored(store), paths)
            }
            None => (InputFiles::Local, find_local(&config.path)?),
        };
        paths.sort();
        Ok(Self {
            input,
            paths: paths.into(),
        })
    }

    /// The paths, sorted.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Where the files lie.
    pub(super) fn input(&self) -> &InputFiles {
        &self.input
    }
}

fn find_local(pattern: &str) -> Result<Vec<String>> {
    let paths = glob::glob(pattern).map_err(|error| not_a_pattern(pattern, error))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| {
            let folder = error.path().display().to_string();
            Error::io(format_args!("read {folder}"), io::Error::from(error))
        })?;
        if !path.is_file() {
            continue;
        }
        files.push(path.into_os_string().into_string().map_err(|path| {
            let message = format!("path: the name {} is not valid UTF-8", path.display());
            Error::new(ErrorKind::Configuration, message)
        })?);
    }
    Ok(files)
}

/// The store of the files that match a pattern, `location` being where it begins to be one, and their addresses.
fn find_stored(pattern: &str, location: &StoreLocation) -> Result<(FileStore, Vec<String>)> {
    let store = FileStore::open(location)?;
    let pattern = glob::Pattern::new(pattern).map_err(|error| not_a_pattern(pattern, error))?;
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    let names = store.list()?.into_iter();
    let addresses = names.map(|name| store.address_of(&name));
    let matching = addresses.filter(|address| pattern.matches_with(address, options));
    Ok((store.clone(), matching.collect()))
}

fn not_a_pattern(pattern: &str, error: glob::PatternError) -> Error {
    let message = format!("path: \"{pattern}\" is not a glob pattern");
    Error::new(ErrorKind::Configuration, message).with_source(error)
}

impl RestoredSource {
    pub(super) fn of_state(state: &RestoredOperatorState) -> Result<Self> {
        let mut restored = Self::default();
        for item in state.items() {
            match SourceItem::from_value(item)? {
                SourceItem::File(file) => {
                    restored.files.insert(file.path.clone(), file);
                }
                SourceItem::DeadLetters(item) => {
                    restored.dead_letters.insert(item.dead_letters, item.length);
                }
            }
        }
        Ok(restored)
    }
}

impl SourceItem {
    pub(super) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Bug, "a source position cannot be written").with_source(error)
        })
    }

    fn from_value(value: &Value) -> Result<Self> {
        Self::deserialize(value).map_err(|error| {
            let message = format!("the checkpoint's file position {value} cannot be read");
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })
    }
}

impl SourceFile {
    fn new(path: String) -> Self {
        let FilePosition { offset, line } = FilePosition::START;
        Self {
            path,
            offset,
            line,
            finished: false,
        }
    }

    pub(super) fn position(&self) -> FilePosition {
        FilePosition {
            offset: self.offset,
            line: self.line,
        }
    }

    pub(super) fn set_position(&mut self, position: FilePosition) {
        self.offset = position.offset;
        self.line = position.line;
    }

    /// Compares the position with the file as it is now: what lies behind the position must still be there.
    fn check(&mut self, input: &InputFiles) -> Result<()> {
        let Self { path, offset, .. } = &*self;
        let missing = |problem| {
            let message = format!("{path} {problem}; put it back, or start afresh");
            Err(Error::new(ErrorKind::Data, message))
        };
        let Some(length) = input.length(path)? else {
            // Of a file that was read to its end, nothing is needed any more.
            if self.finished {
                return Ok(());
            }
            return missing(format!(
                "has vanished, and the checkpoint has read it only up to byte {offset}"
            ));
        };
        if length < *offset {
            return missing(format!(
                "has {length} bytes, and the checkpoint has read it up to byte {offset}"
            ));
        }
        // An empty file has not even a header, so it counts as read.
        self.finished = length == *offset;
        Ok(())
    }
}

/// The files that one subtask reads: every `parallelism`-th of all known ones, sorted, at their restored positions.
pub(super) fn assign_files(
    found: &FileList,
    restored: Option<&RestoredSource>,
    subtask: usize,
    parallelism: usize,
) -> Result<Vec<SourceFile>> {
    let mut known = restored.map_or_else(BTreeMap::new, |restored| restored.files.clone());
    for path in found.paths() {
        known
            .entry(path.clone())
            .or_insert_with(|| SourceFile::new(path.clone()));
    }
    let own = known.into_values().skip(subtask).step_by(parallelism);
    let mut files: Vec<SourceFile> = own.collect();
    for file in &mut files {
        file.check(found.input())?;
    }
    Ok(files)
}
