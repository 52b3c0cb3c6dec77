//! The locks of the operating system that say whether an owner lives. They go with their process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::PathBuf;

use super::claim::Holder;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::StoreLocation;
use crate::storage::machine_folder::make_machine_folder;

const CLAIM_FILE: &str = "claim.lock";
const LOCK_PREFIX: &str = "lock-";

/// Held while a process takes a job over: nobody else can at the same time.
#[derive(Debug)]
pub struct ClaimLock {
    folder: PathBuf,
    _file: File,
}

/// Held as long as a process owns a job.
#[derive(Debug)]
pub struct JobLock {
    _file: File,
}

impl ClaimLock {
    /// Takes the lock of `job`; makes the job's folder on this machine if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when another process is just taking the job over; [`ErrorKind::Environment`] when the
    /// job's folder cannot be written to.
    pub fn acquire(location: &StoreLocation, job: &str) -> Result<Self> {
        let folder = make_machine_folder(location, job)?;
        let path = folder.join(CLAIM_FILE);
        match lock(path.clone())? {
            Some(file) => Ok(Self {
                folder,
                _file: file,
            }),
            None => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "job \"{job}\" is just being started by another process, which holds {}",
                    path.display()
                ),
            )),
        }
    }

    /// Whether the owner with this generation lives.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`].
    pub fn holder(&self, generation: u64) -> Result<Holder> {
        let path = self.path(generation);
        if !path.exists() {
            return Ok(Holder::Gone);
        }
        Ok(match lock(path)? {
            Some(_) => Holder::Gone,
            None => Holder::Alive,
        })
    }

    /// The same; nothing when no lock tells, because somebody has cleaned the folder up.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`].
    pub(super) fn known_holder(&self, generation: u64) -> Result<Option<Holder>> {
        match self.path(generation).exists() {
            true => self.holder(generation).map(Some),
            false => Ok(None),
        }
    }

    /// Shows from now on that the owner with this generation lives. Files of former ones are removed.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`].
    pub fn hold(&self, generation: u64) -> Result<JobLock> {
        let path = self.path(generation);
        let file = lock(path.clone())?.ok_or_else(|| {
            let message = format!("{} is locked although nobody owns it", path.display());
            Error::new(ErrorKind::Conflict, message)
        })?;
        self.remove_below(generation);
        Ok(JobLock { _file: file })
    }

    /// A file that stays behind is removed by the next owner.
    fn remove_below(&self, generation: u64) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix(LOCK_PREFIX));
            let number = number.and_then(|number| number.parse::<u64>().ok());
            if number.is_some_and(|number| number < generation) {
                _ = fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("{LOCK_PREFIX}{generation}"))
    }
}

/// The locked file; nothing when another process holds it.
fn lock(path: PathBuf) -> Result<Option<File>> {
    let failed = |error| Error::io(format!("lock {}", path.display()), error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
