//! Where the commands call the rest of the crate, one function a command.

use super::checkpoint_row::{CheckpointDetail, CheckpointRow};
use super::running_job::RunningJob;
use crate::config::JobFile;
use crate::error::{Error, ErrorKind, Result};

/// Checks what the components' options mean, and whether the columns fit together.
pub(super) fn check_graph(_job: &JobFile) -> Result<()> {
    Ok(())
}

/// Starts the job; `fresh` ignores its checkpoints.
pub(super) fn start(job: &JobFile, _fresh: bool) -> Result<RunningJob> {
    Err(not_connected(job))
}

/// The job's checkpoints, the newest first.
pub(super) fn checkpoints(job: &JobFile) -> Result<Vec<CheckpointRow>> {
    Err(not_connected(job))
}

/// What checkpoint `id`, or the newest one, consists of.
pub(super) fn checkpoint(job: &JobFile, _id: Option<u64>) -> Result<CheckpointDetail> {
    Err(not_connected(job))
}

fn not_connected(job: &JobFile) -> Error {
    let message = format!("job {}: this build has no engine", job.job.name);
    Error::new(ErrorKind::Bug, message)
}
