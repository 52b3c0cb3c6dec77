//! A job that is about to run, and its way to the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::warn;

use super::attempt::{Attempt, AttemptEnd};
use super::claim::JobClaim;
use super::control::{JobControl, Relay};
use super::outcome::JobOutcome;
use super::recovery::UsedIds;
use crate::channel::LinkLimits;
use crate::config::{CheckpointMode, OnCancel, RestartSection};
use crate::coordinator::{
    AttemptFailure, CheckpointSettings, RestartDecision, RestartStrategy, Restarts,
};
use crate::error::{Error, Result};
use crate::graph::{ExchangeTargets, JobGraph};
use crate::model::{SharedClock, hash_key};
use crate::operator::JobContext;
use crate::runtime::setting::{LocalRuns, Setting};
use crate::snapshot::{CheckpointStore, StartFrom};
use crate::telemetry::{JobPhase, JobStatus, Metric, count_in_job};

/// How long the end of a job waits for the store's work that is left, and then for what operators have begun in the
/// background. It is meant for a disk that has stopped answering, and is not reached otherwise.
pub(super) const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(10);

/// A job that is about to run.
pub(crate) struct JobRun {
    /// What it does.
    pub graph: JobGraph,
    /// Where its checkpoints lie.
    pub store: CheckpointStore,
    /// How the job is made this process's own; nothing when nobody else can get at the store.
    pub claim: Option<JobClaim>,
    /// How many checkpoints are kept.
    pub retained_max: usize,
    /// What becomes of them when the job is cancelled.
    pub on_cancel: OnCancel,
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
    /// What follows a failure.
    pub restart: RestartSection,
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
    /// A number that no other attempt at the job has drawn.
    pub nonce: u64,
    /// A number that stands for this start of the machine; nothing when the next process is not to take up the working
    /// segments, should this one be killed.
    pub boot: Option<u64>,
}

impl JobRun {
    /// Runs the job to its end, on this thread. `started` is told once, when the job can be controlled or when it
    /// could not be started.
    pub(crate) fn run(mut self, started: &SyncSender<Result<JobControl>>) -> JobOutcome {
        let outcome = match self.claim() {
            Ok(tenure) => {
                let relay = Arc::new(Relay::default());
                let outcome = self.attempt_until_it_ends(&relay, started);
                // A job can also be cancelled because it was to stop and had nothing to save yet.
                if matches!(outcome, JobOutcome::Cancelled) && relay.cancel_requested() {
                    self.heed_cancellation();
                }
                // The next run may start as soon as this one is heard to have ended.
                self.give_up(tenure);
                outcome
            }
            Err(error) => not_started(error, started),
        };
        self.status.set_phase(JobPhase::Ended);
        outcome
    }

    fn attempt_until_it_ends(
        &mut self,
        relay: &Arc<Relay>,
        started: &SyncSender<Result<JobControl>>,
    ) -> JobOutcome {
        self.warn_of_aligned_exchanges();
        let takes_checkpoints = self.checkpoints.interval.is_some();
        let strategy = RestartStrategy::new(self.restart.clone(), takes_checkpoints);
        let mut restarts = Restarts::new(strategy, self.restart.stop_on_repeat);
        let mut used = UsedIds::default();
        let mut is_started = false;
        loop {
            let ended = Attempt::new(self).and_then(|attempt| {
                attempt.perform(&mut used, relay, || {
                    if !is_started {
                        is_started = true;
                        // When the starter has gone there is nobody to tell.
                        let _ = started.send(Ok(JobControl::over(relay)));
                    }
                })
            });
            let failure = match ended {
                Ok(AttemptEnd::Ended(outcome)) => return outcome,
                Ok(AttemptEnd::Failed(failure)) => failure,
                Err(error) if is_started => AttemptFailure::at_the_start(error),
                Err(error) => return not_started(error, started),
            };
            self.draw_nonce();
            let cause = failure.error.full_message();
            let random = self.nonce as f64 / u64::MAX as f64;
            let decision = restarts.failed(failure, self.clock.elapsed(), random);
            let (delay, restart) = match decision {
                RestartDecision::GiveUp(error) => return JobOutcome::Failed(error),
                RestartDecision::Restart { delay, number } => (delay, number),
            };
            warn!(
                restart,
                ?delay,
                cause,
                "the job is restarted after the delay; stop it to end this"
            );
            self.status.restarting(&cause);
            count_in_job(Metric::Restarts, 1);
            if relay.wait(delay) {
                return JobOutcome::Cancelled;
            }
        }
    }

    /// No two attempts write to one name, nor take each other's working segments for their own.
    pub(crate) fn draw_nonce(&mut self) {
        self.nonce = hash_key(&self.nonce.to_le_bytes());
    }

    fn warn_of_aligned_exchanges(&self) {
        if self.checkpoints.overtaking_after.is_none() {
            return;
        }
        for (input, reader) in self.graph.aligned_exchanges() {
            warn!(
                %input,
                %reader,
                "unaligned checkpoints wait for the records of this exchange: they cannot be stored; call unaligned() \
                 on the keyed stream"
            );
        }
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
            job: self.context(),
            clock: self.clock.clone(),
            status: self.status.clone(),
        }
    }

    /// What operators are told about the job.
    fn context(&self) -> JobContext {
        let store = self.store.clone();
        // It is asked on threads that may block, which know the runtime that they belong to.
        let is_owner = move || Handle::current().block_on(store.ensure_owner());
        let mut context = JobContext::alone(&self.graph.name).with_ownership(is_owner);
        context.attempt = self.nonce;
        context.checkpoint_interval = self.checkpoints.interval;
        context.checkpoint_timeout = self.checkpoints.timeout;
        context
    }
}

/// Tells whoever has started the job that it could not be.
fn not_started(error: Error, started: &SyncSender<Result<JobControl>>) -> JobOutcome {
    let outcome = Error::new(error.kind(), error.full_message());
    // When the starter has gone there is nobody to tell.
    let _ = started.send(Err(error));
    JobOutcome::Failed(outcome)
}
