//! Making a job this process's own, before it runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::info;

use super::background_runtime::BackgroundRuntime;
use super::heart::Heart;
use super::run::{BACKGROUND_TIMEOUT, JobRun};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Claimant, Fence, JobLock};

/// The time for which a job is this process's own.
pub(super) struct Tenure {
    /// Shows other machines that it is.
    heart: Option<Heart>,
    /// Shows this machine.
    lock: JobLock,
}

/// How a job is made this process's own.
#[derive(Clone, Debug)]
pub(crate) struct JobClaim {
    /// Whether it is taken even from a process that lives.
    pub takes_over: bool,
    /// How long an owner on another machine must not be heard of until it is taken to be gone.
    pub lease: Duration,
}

impl JobRun {
    /// Makes the job this process's own, until [`JobRun::give_up`].
    ///
    /// # Errors
    /// When it belongs to another process, or its folder cannot be written to.
    pub(super) fn claim(&mut self) -> Result<Option<Tenure>> {
        let Some(JobClaim { takes_over, lease }) = self.claim else {
            return Ok(None);
        };
        let claimant = Claimant {
            process: std::process::id(),
            now_unix_millis: self.clock.unix_millis(),
            takes_over,
        };
        let runtime = BackgroundRuntime::start()?;
        let (store, lock) = runtime.block_on(self.store.claim(&claimant, lease))?;
        self.store = store;
        let Some(owner) = self.store.fence().map(Fence::record) else {
            return Ok(None);
        };
        let heartbeat = self.store.heartbeat(lease);
        let heart = heartbeat.map(|heartbeat| Heart::start(heartbeat, owner.generation));
        if let (Some(directory), generation @ 1..) = (&self.directory, owner.taken_over_at) {
            self.directory = Some(apart(directory, generation));
        }
        Ok(Some(Tenure {
            heart: heart.transpose()?,
            lock,
        }))
    }

    /// Gives the job up, of which nothing may be at work any more.
    pub(super) fn give_up(&self, tenure: Option<Tenure>) {
        let Some(Tenure { heart, lock }) = tenure else {
            return;
        };
        drop(heart);
        let given_up = BackgroundRuntime::start().and_then(|runtime| {
            runtime.block_on(async {
                let giving_up = tokio::time::timeout(BACKGROUND_TIMEOUT, self.store.give_up());
                giving_up.await.unwrap_or_else(|_| {
                    let message = "the store has not answered in time";
                    Err(Error::new(ErrorKind::Environment, message))
                })
            })
        });
        if let Err(error) = given_up {
            // A process that has lost the job has nothing to give up.
            let reason = error.full_message();
            info!(
                reason,
                "the next owner of the job has to find out that this one has ended"
            );
        }
        drop(lock);
    }
}

/// The folder of working segments that a process which may still be alive does not know of: it would empty its own.
fn apart(directory: &Path, generation: u64) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{generation}"));
    directory.with_file_name(name)
}
