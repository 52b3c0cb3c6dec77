//! The files of a file sink: their names, and the states that a name tells.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::connectors::format::RowFormat;
use crate::error::{Error, ErrorKind, Result};

/// One part file, whatever its state: which subtask began it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) subtask: usize,
    pub(super) sequence: u64,
}

/// How far a part file has come. Only finished ones have a name that readers look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PartState {
    /// It is being written.
    InProgress,
    /// It is whole, and waits for its checkpoint to complete.
    Pending,
    /// It is visible, and will not change.
    Finished,
}

/// The folder of a sink, and the format of the files in it.
#[derive(Clone, Debug)]
pub(super) struct PartFolder {
    pub(super) path: PathBuf,
    pub(super) format: RowFormat,
}

impl Part {
    /// The name that the part has when it is finished, and by which checkpoints know it.
    pub(super) fn name(self, format: RowFormat) -> String {
        let Self { subtask, sequence } = self;
        format!("part-{subtask}-{sequence:06}.{}", format.extension())
    }

    /// Which part has this name, if it is one that [`Part::name`] gives.
    pub(super) fn of_name(name: &str, format: RowFormat) -> Option<Self> {
        let stem = name.strip_prefix("part-")?;
        let stem = stem.strip_suffix(format.extension())?.strip_suffix('.')?;
        let (subtask, sequence) = stem.split_once('-')?;
        let part = Self {
            subtask: subtask.parse().ok()?,
            sequence: sequence.parse().ok()?,
        };
        // Other spellings of the same numbers are not files of ours.
        (part.name(format) == name).then_some(part)
    }

    /// The part that a checkpoint knows by this name, and holds as unfinished.
    pub(super) fn of_item(name: &str, format: RowFormat) -> Result<Self> {
        Self::of_name(name, format).ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                format!(
                    "format: the checkpoint has an unfinished file {name}, and the job now writes .{}",
                    format.extension()
                ),
            )
        })
    }
}

impl PartState {
    const ALL: [Self; 3] = [Self::InProgress, Self::Pending, Self::Finished];
}

impl PartFolder {
    /// Where `part` lies in `state`.
    pub(super) fn path_of(&self, part: Part, state: PartState) -> PathBuf {
        let name = part.name(self.format);
        self.path.join(match state {
            PartState::InProgress => format!(".{name}.inprogress"),
            PartState::Pending => format!(".{name}.pending"),
            PartState::Finished => name,
        })
    }

    /// Makes the folder, if need be, and lists its part files. Other files are passed over.
    pub(super) fn list(&self) -> Result<Vec<(Part, PartState)>> {
        let list = || -> io::Result<Vec<_>> {
            fs::create_dir_all(&self.path)?;
            let mut parts = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                parts.extend(
                    entry?
                        .file_name()
                        .to_str()
                        .and_then(|name| self.parse(name)),
                );
            }
            parts.sort();
            Ok(parts)
        };
        list()
            .map_err(|error| Error::io(format_args!("read folder {}", self.path.display()), error))
    }

    /// The states in which `part` is there, with the length of each.
    pub(super) fn find(&self, part: Part) -> Result<Option<(PartState, u64)>> {
        for state in PartState::ALL {
            let path = self.path_of(part, state);
            match fs::metadata(&path) {
                Ok(metadata) => return Ok(Some((state, metadata.len()))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failure("read", &path, error)),
            }
        }
        Ok(None)
    }

    /// Brings `part` from one state to another.
    pub(super) fn rename(&self, part: Part, from: PartState, to: PartState) -> Result<()> {
        let (old, new) = (self.path_of(part, from), self.path_of(part, to));
        fs::rename(&old, &new).map_err(|error| failure("rename", &old, error))
    }

    /// Makes a pending part visible. It may have been made so before.
    pub(super) fn finish(&self, part: Part) -> Result<()> {
        let pending = self.path_of(part, PartState::Pending);
        let finished = self.path_of(part, PartState::Finished);
        match fs::rename(&pending, &finished) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && finished.exists() => Ok(()),
            result => result.map_err(|error| failure("rename", &pending, error)),
        }
    }

    /// Removes `part` in `state`.
    pub(super) fn remove(&self, part: Part, state: PartState) -> Result<()> {
        let path = self.path_of(part, state);
        fs::remove_file(&path).map_err(|error| failure("remove", &path, error))
    }

    /// Makes safe which files there are, and under which names.
    pub(super) fn sync(&self) -> Result<()> {
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failure("sync", &self.path, error))
    }

    fn parse(&self, name: &str) -> Option<(Part, PartState)> {
        let Some(hidden) = name.strip_prefix('.') else {
            return Some((Part::of_name(name, self.format)?, PartState::Finished));
        };
        let (name, state) = match hidden.rsplit_once('.')? {
            (name, "inprogress") => (name, PartState::InProgress),
            (name, "pending") => (name, PartState::Pending),
            _ => return None,
        };
        Some((Part::of_name(name, self.format)?, state))
    }
}

/// An error of `action` on the file or folder at `path`.
pub(super) fn failure(action: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format_args!("{action} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_tells_its_part_and_state() {
        let folder = PartFolder {
            path: PathBuf::from("out"),
            format: RowFormat::Csv,
        };
        for sequence in [0, 12, 999_999, 1_000_000] {
            let part = Part {
                subtask: 3,
                sequence,
            };
            for state in PartState::ALL {
                let path = folder.path_of(part, state);
                let name = path.file_name().unwrap().to_str().unwrap();
                assert_eq!(folder.parse(name), Some((part, state)), "{name}");
            }
        }
    }

    #[test]
    fn files_that_are_not_ours_are_left_alone() {
        let folder = PartFolder {
            path: PathBuf::from("out"),
            format: RowFormat::Csv,
        };
        for name in [
            "part-0-1.csv",
            "part-0-000001.json",
            "part-0-000001.csv.bak",
            "part-00-000001.csv",
            "part--1-000001.csv",
            ".part-0-000001.csv",
            "part-0-000001.csv.pending",
            "notes.csv",
        ] {
            assert_eq!(folder.parse(name), None, "{name}");
        }
    }
}
