//! The files that a source reads, wherever they lie.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};

use super::row_reader::read_failure;
use super::stored_file::StoredFile;
use crate::error::{Error, Result};
use crate::storage::FileStore;

/// Where the files of a source lie.
#[derive(Clone, Debug)]
pub(super) enum InputFiles {
    /// On this machine: paths are those of the file system.
    Local,
    /// In a bucket: paths are addresses below that of the store. Reading blocks for the network.
    Stored(FileStore),
}

/// An open file.
pub(super) enum InputFile {
    Local(File),
    Stored(Box<StoredFile>),
}

impl InputFiles {
    /// Opens the file at `path`, at its start.
    pub(super) fn open(&self, path: &str) -> Result<InputFile> {
        match self {
            Self::Local => {
                let file = File::open(path).map_err(|error| read_failure(path, error))?;
                Ok(InputFile::Local(file))
            }
            Self::Stored(store) => {
                let name = store.name_of(path)?;
                let missing = || read_failure(path, io::Error::from(io::ErrorKind::NotFound));
                let length = store.length(name)?.ok_or_else(missing)?;
                let file = StoredFile::new(store.clone(), name.to_owned(), length);
                Ok(InputFile::Stored(Box::new(file)))
            }
        }
    }

    /// How many bytes the file at `path` has; nothing when there is no such file.
    pub(super) fn length(&self, path: &str) -> Result<Option<u64>> {
        match self {
            Self::Local => match fs::metadata(path) {
                Ok(metadata) => Ok(Some(metadata.len())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::io(format_args!("read {path}"), error)),
            },
            Self::Stored(store) => store.length(store.name_of(path)?),
        }
    }
}

impl Read for InputFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(buffer),
            Self::Stored(file) => file.read(buffer),
        }
    }
}

impl Seek for InputFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Local(file) => file.seek(to),
            Self::Stored(file) => file.seek(to),
        }
    }
}
