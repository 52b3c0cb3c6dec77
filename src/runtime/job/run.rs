//! A job that is about to run, and its way to the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tracing::warn;

use super::attempt::Attempt;
use super::control::JobControl;
use super::outcome::JobOutcome;
use crate::channel::LinkLimits;
use crate::config::CheckpointMode;
use crate::coordinator::CheckpointSettings;
use crate::error::{Error, Result};
use crate::graph::{ExchangeTargets, JobGraph};
use crate::model::SharedClock;
use crate::runtime::setting::{LocalRuns, Setting};
use crate::snapshot::{CheckpointStore, StartFrom};
use crate::telemetry::JobStatus;

/// How long the end of a job waits for the store's work that is left, and then for what operators have begun in the
/// background. It is meant for a disk that has stopped answering, and is not reached otherwise.
pub(super) const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(10);

/// A job that is about to run.
pub(crate) struct JobRun {
    /// What it does.
    pub graph: JobGraph,
    /// Where its checkpoints lie.
    pub store: CheckpointStore,
    /// How many checkpoints are kept.
    pub retained_max: usize,
    /// Whether the checkpoints of earlier runs are passed over.
    pub fresh: bool,
    /// The snapshot that the job is to be started from.
    pub start_from: Option<StartFrom>,
    /// Whether the state of operators that the job no longer has is dropped.
    pub allow_non_restored_state: bool,
    /// Where savepoints go when whoever asks does not say.
    pub savepoint_directory: Option<String>,
    /// When checkpoints are taken.
    pub checkpoints: CheckpointSettings,
    /// What a barrier promises.
    pub mode: CheckpointMode,
    /// The bounds of each link.
    pub limits: LinkLimits,
    /// The folder of the working segments, which belongs to this job alone; without one they end with the process.
    pub directory: Option<PathBuf>,
    /// Where the time comes from.
    pub clock: SharedClock,
    /// Where figures go.
    pub status: Arc<JobStatus>,
    /// A number that no other run of the job has drawn.
    pub nonce: u64,
    /// A number that stands for this start of the machine; nothing when the next process is not to take up the working
    /// segments, should this one be killed.
    pub boot: Option<u64>,
}

impl JobRun {
    /// Runs the job to its end, on this thread. `started` is told once, when the job can be controlled or when it
    /// could not be started.
    pub(crate) fn run(self, started: &SyncSender<Result<JobControl>>) -> JobOutcome {
        let tell = |message| {
            // When the starter has gone there is nobody to tell.
            let _ = started.send(message);
        };
        if self.checkpoints.overtaking_after.is_some() {
            for (input, reader) in self.graph.aligned_exchanges() {
                warn!(
                    %input,
                    %reader,
                    "unaligned checkpoints wait for the records of this exchange: they cannot be stored; call \
                     unaligned() on the keyed stream"
                );
            }
        }
        let ended = Attempt::new(&self)
            .and_then(|attempt| attempt.perform(|coordinator| tell(Ok(JobControl(coordinator)))));
        ended.unwrap_or_else(|error| {
            let message = error.full_message();
            let outcome = JobOutcome::Failed(Error::new(error.kind(), message));
            tell(Err(error));
            outcome
        })
    }

    /// What the job sets for all its subtasks.
    pub(super) fn setting(&self) -> Setting {
        Setting {
            targets: ExchangeTargets {
                parallelism: self.graph.parallelism,
                max_parallelism: self.graph.max_parallelism,
            },
            mode: self.mode,
            unaligned: self.checkpoints.overtaking_after.is_some(),
            incremental: self.checkpoints.interval.is_some(),
            local_recovery: self.boot.map(|boot| LocalRuns {
                nonce: self.nonce,
                boot,
            }),
            clock: self.clock.clone(),
            status: self.status.clone(),
        }
    }
}
