//! One attempt at a job: recover, make the subtasks, wait for the end.

use std::path::Path;
use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext};
use actix_rt::{Arbiter, System};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::outcome::JobOutcome;
use super::run::{BACKGROUND_TIMEOUT, JobRun};
use crate::coordinator::JobState;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::PhysicalPlan;
use crate::runtime::coordinator::JobEnd;
use crate::runtime::coordinator_actor::CoordinatorActor;
use crate::runtime::executor::{BackgroundThreads, SharedExecutor};
use crate::runtime::seed::SubtaskSeed;
use crate::snapshot::{LoadedCheckpoint, Recovery};

/// How many threads do background work. Most of it waits for a disk.
const BACKGROUND_THREADS: usize = 2;

/// One attempt at a job, with the threads that do its background work.
pub(super) struct Attempt<'run> {
    run: &'run JobRun,
    plan: PhysicalPlan,
    background: Runtime,
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
            background: background_runtime()?,
        })
    }

    /// Recovers the job and runs it to its end, on this thread. `started` is told of the coordinator when there is
    /// one to control the job with.
    ///
    /// # Errors
    /// When the subtasks could not be made, so that nothing has run.
    pub(super) fn perform(
        self,
        started: impl FnOnce(Addr<CoordinatorActor>),
    ) -> Result<JobOutcome> {
        let recovery = self
            .background
            .block_on(self.run.recover(&self.background))?;
        let outcome = System::new().block_on(self.run_actors(recovery, started));
        // What has not begun is dropped: nobody waits for it any more. What has begun must come to its end while the
        // job is locked, or it would meddle with the files of the next run.
        self.background.shutdown_timeout(BACKGROUND_TIMEOUT);
        outcome
    }

    async fn run_actors(
        &self,
        recovery: Recovery,
        started: impl FnOnce(Addr<CoordinatorActor>),
    ) -> Result<JobOutcome> {
        let (end_sender, end) = oneshot::channel();
        let executor: SharedExecutor =
            Arc::new(BackgroundThreads(self.background.handle().clone()));
        let coordinator = self.start_coordinator(&recovery, &executor, end_sender);
        let seeds = self.seeds(&recovery, &executor, &coordinator)?;
        // The loaded bytes are needed by the subtasks alone from here on.
        drop(recovery);
        let workers: Vec<Arbiter> = (0..self.run.graph.parallelism)
            .map(|_| Arbiter::new())
            .collect();
        for seed in seeds {
            let coordinator = coordinator.clone();
            workers[seed.parts.id.index].spawn_fn(move || seed.grow(coordinator));
        }
        started(coordinator);
        let end = end.await;
        for worker in workers {
            worker.stop();
            // A worker that panicked has reported through its subtasks.
            let _ = worker.join();
        }
        // Everything in here belonged to the subtasks, which are gone; what a crash leaves is emptied by the next run.
        if let Some(directory) = &self.run.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
        match end {
            Ok(end) => Ok(outcome(end).await),
            Err(_) => Ok(JobOutcome::Failed(Error::new(
                ErrorKind::Bug,
                "the coordinator is gone without an outcome",
            ))),
        }
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

pub(super) fn background_runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(BACKGROUND_THREADS)
        .thread_name("floodmark-background")
        .enable_all()
        .build()
        .map_err(|error| Error::io("start the background threads", error))
}
