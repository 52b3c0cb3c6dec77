//! One attempt at a job: recover, make the subtasks, wait for the end.

use std::path::Path;

use actix::{Actor, Addr};
use actix_rt::{Arbiter, System};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::outcome::JobOutcome;
use super::run::{BACKGROUND_TIMEOUT, JobRun};
use crate::coordinator::JobState;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::PhysicalPlan;
use crate::model::{KeyGroupRange, SubtaskId};
use crate::runtime::committer::{Committer, JobIdentity};
use crate::runtime::coordinator_actor::{CoordinatorActor, JobEnd};
use crate::runtime::seed::{OperatorSeed, SharedParts, SubtaskParts, SubtaskSeed};
use crate::runtime::wiring::lay_links;
use crate::snapshot::{GraphOperator, LoadedCheckpoint, Recovery, Retention, SnapshotWriter};

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
        let coordinator = self.start_coordinator(&recovery, end_sender);
        let seeds = self.seeds(&recovery, &coordinator)?;
        // The loaded bytes are needed by the subtasks alone from here on.
        drop(recovery);
        let workers: Vec<Arbiter> = (0..self.run.graph.parallelism)
            .map(|_| Arbiter::new())
            .collect();
        for seed in seeds {
            workers[seed.parts.id.index].spawn_fn(move || seed.grow());
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

    fn subtask_ids(&self) -> Vec<SubtaskId> {
        let ids = self.plan.chains.iter().flat_map(|chain| {
            (0..self.run.graph.parallelism).map(|index| SubtaskId::new(chain.id.clone(), index))
        });
        ids.collect()
    }

    fn start_coordinator(
        &self,
        recovery: &Recovery,
        end: oneshot::Sender<JobEnd>,
    ) -> Addr<CoordinatorActor> {
        let nodes = self.run.graph.nodes();
        let graph = nodes.iter().map(|node| GraphOperator {
            id: node.id.clone(),
            type_name: node.type_name.clone(),
            inputs: node
                .inputs
                .iter()
                .map(|edge| nodes[edge.from].id.clone())
                .collect(),
            parallelism: self.run.graph.parallelism,
        });
        let committer = Committer::new(
            self.run.store.clone(),
            Retention::new(self.run.retained_max, recovery.found.clone()),
            JobIdentity {
                job: self.run.graph.name.clone(),
                max_parallelism: self.run.graph.max_parallelism,
                graph: graph.collect(),
            },
            self.background.handle().clone(),
            self.run.clock.clone(),
        );
        CoordinatorActor::new(
            self.run.checkpoints.clone(),
            committer,
            self.subtask_ids().into_iter(),
            recovery.next_id(),
            self.run.clock.clone(),
            self.run.status.clone(),
            end,
        )
        .start()
    }

    fn seeds(
        &self,
        recovery: &Recovery,
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
        let (parallelism, max_parallelism) =
            (self.run.graph.parallelism, self.run.graph.max_parallelism);
        let shared = SharedParts {
            setting: self.run.setting(),
            background: self.background.handle().clone(),
            coordinator: coordinator.clone().recipient(),
        };
        let mut seeds = Vec::new();
        let wiring = lay_links(&self.run.graph, &self.plan, self.run.limits);
        for (chain, wiring) in self.plan.chains.iter().zip(wiring) {
            for (index, wiring) in wiring.into_iter().enumerate() {
                let id = SubtaskId::new(chain.id.clone(), index);
                let key_groups = KeyGroupRange::of_subtask(index, parallelism, max_parallelism);
                let operators = chain.nodes.iter().map(|node| {
                    let node = &self.run.graph.nodes()[*node];
                    let restored = match &recovery.checkpoint {
                        Some(loaded) => {
                            loaded.restore_plan(&node.id, index, parallelism, max_parallelism)?
                        }
                        None => None,
                    };
                    Ok(OperatorSeed {
                        id: node.id.clone(),
                        component: node.component.clone(),
                        restored,
                    })
                });
                let operators = operators.collect::<Result<_>>()?;
                let writer = SnapshotWriter::new(
                    self.run.store.clone(),
                    id.clone(),
                    key_groups,
                    self.run.nonce,
                );
                seeds.push(SubtaskSeed {
                    parts: SubtaskParts {
                        id,
                        operators,
                        wiring,
                        directory: self.run.directory.clone(),
                    },
                    writer,
                    shared: shared.clone(),
                });
            }
        }
        Ok(seeds)
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
            // A task that panicked has left nothing that the next start does not find.
            let _ = task.await;
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
