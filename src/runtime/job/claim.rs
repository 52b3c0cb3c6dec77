//! Making a job this process's own, before it runs.

use std::path::{Path, PathBuf};

use super::background_runtime::BackgroundRuntime;
use super::run::JobRun;
use crate::error::Result;
use crate::storage::{Claimant, JobLock, StoreLocation};

/// How a job is made this process's own.
#[derive(Clone, Debug)]
pub(crate) struct JobClaim {
    /// The root of its checkpoints.
    pub location: StoreLocation,
    /// Whether it is taken even from a process that lives.
    pub takes_over: bool,
}

impl JobRun {
    /// Makes the job this process's own. The lock is to be held until nothing of the job is at work any more.
    ///
    /// # Errors
    /// When it belongs to another process, or its folder cannot be written to.
    pub(super) fn claim(&mut self) -> Result<Option<JobLock>> {
        let Some(JobClaim {
            location,
            takes_over,
        }) = &self.claim
        else {
            return Ok(None);
        };
        let claimant = Claimant {
            process: std::process::id(),
            now_unix_millis: self.clock.unix_millis(),
            takes_over: *takes_over,
        };
        let runtime = BackgroundRuntime::start()?;
        let (store, lock) = runtime.block_on(self.store.claim(location, &claimant))?;
        self.store = store;
        let taken_over_at = self.store.fence().map(|fence| fence.record().taken_over_at);
        if let (Some(directory), Some(generation @ 1..)) = (&self.directory, taken_over_at) {
            self.directory = Some(apart(directory, generation));
        }
        Ok(Some(lock))
    }
}

/// The folder of working segments that a process which may still be alive does not know of: it would empty its own.
fn apart(directory: &Path, generation: u64) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{generation}"));
    directory.with_file_name(name)
}
