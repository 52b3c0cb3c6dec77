//! One process a job: the lock that a second copy runs into.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};

use super::location::StoreLocation;
use super::paths::StoragePaths;
use crate::error::{Error, ErrorKind, Result};

/// Held as long as a process runs a job. It is the operating system's lock on a file in the job's folder, so it goes
/// with the process, however that ends.
#[derive(Debug)]
pub struct JobLock {
    _file: File,
}

impl JobLock {
    /// Takes the lock of `job`.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`], with the id of the other process, when the job is already running;
    /// [`ErrorKind::Environment`] when the job's folder cannot be written to.
    pub fn acquire(location: &StoreLocation, job: &str) -> Result<Self> {
        let paths = StoragePaths::new(job)?;
        let folder = location.root().join(paths.job_folder().as_str());
        let path = folder.join("lock");
        let failed = |error| Error::io(format!("lock {}", path.display()), error);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message; without it the path says enough.
                let _ = file.read_to_string(&mut holder);
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "job \"{job}\" is already running: process {} holds {}",
                        holder.trim(),
                        path.display()
                    ),
                ));
            }
        }
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let location =
            StoreLocation::parse(folder.path().to_str().unwrap(), folder.path()).unwrap();
        let first = JobLock::acquire(&location, "job").unwrap();
        let error = JobLock::acquire(&location, "job").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let process = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&process), "{error}");
        JobLock::acquire(&location, "another").unwrap();
        drop(first);
        JobLock::acquire(&location, "job").unwrap();
    }
}
