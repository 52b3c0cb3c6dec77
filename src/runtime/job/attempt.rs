//! One attempt at a job: recover, make the subtasks, wait for the end.

use std::path::Path;
use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext};
use actix_rt::{Arbiter, System};
use tokio::sync::oneshot;

use super::background_runtime::BackgroundRuntime;
use super::control::Relay;
use super::outcome::JobOutcome;
use super::recovery::UsedIds;
use super::run::{BACKGROUND_TIMEOUT, JobRun};
use crate::coordinator::{AttemptFailure, JobState};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::PhysicalPlan;
use crate::runtime::coordinator::JobEnd;
use crate::runtime::coordinator_actor::{CoordinatorActor, EndRequested};
use crate::runtime::executor::{BackgroundThreads, SharedExecutor};
use crate::runtime::seed::SubtaskSeed;
use crate::snapshot::{LoadedCheckpoint, Recovery};

/// One attempt at a job, with the threads that do its background work.
pub(super) struct Attempt<'run> {
    run: &'run JobRun,
    plan: PhysicalPlan,
    background: BackgroundRuntime,
}

/// How an attempt ended.
pub(super) enum AttemptEnd {
    /// The job has come to its end.
    Ended(JobOutcome),
    /// It has failed.
    Failed(AttemptFailure),
}

impl<'run> Attempt<'run> {
    /// An attempt that has not begun.
    ///
    /// # Errors
    /// When the background threads cannot be started.
    pub(super) fn new(run: &'run JobRun) -> Result<Self> {
        Ok(Self {
            run,
            plan: PhysicalPlan::of(&run.graph),
            background: BackgroundRuntime::start()?,
        })
    }

    /// Recovers the job and runs it to its end, on this thread. `started` is called when `relay` leads to somebody.
    ///
    /// # Errors
    /// When the subtasks could not be made, so that nothing has run.
    pub(super) fn perform(
        self,
        used: &mut UsedIds,
        relay: &Relay,
        started: impl FnOnce(),
    ) -> Result<AttemptEnd> {
        let recovered = self.run.recover(used, self.background.handle());
        let recovery = self.background.block_on(recovered)?;
        let completed = self.run.status.snapshot().checkpoints_completed;
        let mut end = System::new().block_on(self.run_actors(recovery, used, relay, started))?;
        // What has not begun is dropped: nobody waits for it any more. What has begun must come to its end while the
        // job is locked, or it would meddle with the files of the next run.
        let all_ended = self.background.shut_down(BACKGROUND_TIMEOUT);
        if let AttemptEnd::Failed(failure) = &mut end {
            failure.is_torn_down = all_ended;
            failure.has_progressed = self.run.status.snapshot().checkpoints_completed > completed;
        }
        Ok(end)
    }

    async fn run_actors(
        &self,
        recovery: Recovery,
        used: &mut UsedIds,
        relay: &Relay,
        started: impl FnOnce(),
    ) -> Result<AttemptEnd> {
        let (end_sender, end) = oneshot::channel();
        let threads = Arc::new(BackgroundThreads::new(self.background.handle().clone()));
        let executor: SharedExecutor = threads.clone();
        let coordinator = self.start_coordinator(&recovery, &executor, end_sender);
        let seeds = self.seeds(&recovery, &executor, &coordinator);
        let parallelism = self.run.graph.parallelism;
        let made = seeds.and_then(|seeds| Ok((seeds, start_workers(parallelism)?)));
        let (seeds, workers) = match made {
            Ok(made) => made,
            Err(error) => {
                // An actor that is dropped before it has started is started by that, when nothing runs any more.
                let _ = coordinator.send(EndRequested).await;
                return Err(error);
            }
        };
        // The loaded bytes are needed by the subtasks alone from here on.
        drop(recovery);
        for seed in seeds {
            let coordinator = coordinator.clone();
            workers[seed.parts.id.index].spawn_fn(move || seed.grow(coordinator));
        }
        relay.attach(coordinator.clone());
        started();
        let end = end.await;
        stop_workers(workers);
        // Everything in here belonged to the subtasks, which are gone; what a crash leaves is emptied by the next run.
        if let Some(directory) = &self.run.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
        relay.detach();
        // Whoever asked before that was asking the coordinator, which can be past hearing it.
        let end_requested = coordinator.send(EndRequested).await.unwrap_or_default();
        let end = end.map_err(|_| {
            let message = "the coordinator is gone without an outcome";
            Error::new(ErrorKind::Bug, message)
        })?;
        used.note(end.next_id);
        let has_run = end.has_run;
        Ok(match outcome(end).await {
            JobOutcome::Failed(error) => AttemptEnd::Failed(AttemptFailure {
                has_run,
                end_requested,
                ..AttemptFailure::at_the_start(error)
            }),
            ended => {
                // Nobody may come after it and clean up.
                let _ = tokio::time::timeout(BACKGROUND_TIMEOUT, threads.wait()).await;
                AttemptEnd::Ended(ended)
            }
        })
    }

    fn start_coordinator(
        &self,
        recovery: &Recovery,
        executor: &SharedExecutor,
        end: oneshot::Sender<JobEnd>,
    ) -> Addr<CoordinatorActor> {
        CoordinatorActor::create(|context| {
            let address = context.address();
            let store_reporter = Arc::new(move |report| address.do_send(report));
            let coordinator = self
                .run
                .coordinator(&self.plan, recovery, executor, store_reporter);
            CoordinatorActor::new(coordinator, self.run.clock.clone(), end)
        })
    }

    fn seeds(
        &self,
        recovery: &Recovery,
        executor: &SharedExecutor,
        coordinator: &Addr<CoordinatorActor>,
    ) -> Result<Vec<SubtaskSeed>> {
        if !recovery
            .checkpoint
            .as_ref()
            .is_some_and(LoadedCheckpoint::is_deferred)
        {
            self.run
                .directory
                .as_deref()
                .map_or(Ok(()), empty_directory)?;
        }
        let coordinator = coordinator.clone();
        let reporter = Arc::new(move |report| coordinator.do_send(report));
        self.run.seeds(&self.plan, recovery, executor, reporter)
    }
}

/// One worker thread for each subtask of an operator.
///
/// # Errors
/// [`ErrorKind::Environment`] when the system has no more threads to give; none is left then.
fn start_workers(parallelism: usize) -> Result<Vec<Arbiter>> {
    let mut workers = Vec::with_capacity(parallelism);
    for _ in 0..parallelism {
        match Arbiter::try_new() {
            Ok(worker) => workers.push(worker),
            Err(error) => {
                stop_workers(workers);
                return Err(Error::io("start the worker threads", error));
            }
        }
    }
    Ok(workers)
}

/// Waits until all of them have ended, and what lived on them is gone.
fn stop_workers(workers: Vec<Arbiter>) {
    for worker in workers {
        worker.stop();
        // A panic outside of a subtask ends that subtask's actor, which reports its end.
        let _ = worker.join();
    }
}

/// What is in the folder is left from a run that crashed: nobody else has it, since the job is locked.
fn empty_directory(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(
            format!(
                "empty the folder of working segments {}",
                directory.display()
            ),
            error,
        )),
    }
}

async fn outcome(end: JobEnd) -> JobOutcome {
    let tasks = async {
        for task in end.tasks {
            task.await;
        }
    };
    // The same holds for one that takes longer.
    let _ = tokio::time::timeout(BACKGROUND_TIMEOUT, tasks).await;
    let failure = || Error::new(ErrorKind::Bug, "the job failed without saying why");
    match end.state {
        JobState::Finished => JobOutcome::Finished,
        JobState::Stopped => JobOutcome::Stopped,
        JobState::Cancelled => JobOutcome::Cancelled,
        _ => JobOutcome::Failed(end.failure.unwrap_or_else(failure)),
    }
}
