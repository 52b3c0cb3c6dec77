//! One run of a job, on a thread of its own: recover, make the subtasks, wait for the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext};
use actix_rt::{Arbiter, System};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::channel::LinkLimits;
use crate::config::CheckpointMode;
use crate::coordinator::{CheckpointSettings, JobState};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{ExchangeTargets, JobGraph, PhysicalPlan};
use crate::model::{KeyGroupRange, OperatorId, SharedClock, SubtaskId};
use crate::snapshot::{
    CheckpointStore, Deferral, GraphOperator, LoadedCheckpoint, Manifest, Recovery, Retention,
    SnapshotWriter, SubtaskEntry,
};
use crate::state::KeyedStateBackend;
use crate::telemetry::JobStatus;

use super::committer::{Committer, JobIdentity};
use super::coordinator::{Coordinator, JobEnd, Request};
use super::coordinator_actor::CoordinatorActor;
use super::executor::{BackgroundThreads, SharedExecutor};
use super::seed::{OperatorSeed, SharedParts, SubtaskParts, SubtaskSeed};
use super::setting::{LocalRuns, Setting};
use super::wiring::lay_links;

/// How many threads do background work. Most of it waits for a disk.
const BACKGROUND_THREADS: usize = 2;

/// How long the end of a job waits for the store's work that is left, and then for what operators have begun in the
/// background. It is meant for a disk that has stopped answering, and is not reached otherwise.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Controls a running job, from any thread. Once the job has ended, nothing that is asked for has an effect.
#[derive(Clone)]
pub struct JobControl(Addr<CoordinatorActor>);

impl JobControl {
    /// Asks for a checkpoint now.
    pub fn checkpoint(&self) {
        self.0.do_send(Request::Checkpoint);
    }

    /// Asks the job to stop with a last checkpoint, from which it can be resumed.
    pub fn stop(&self) {
        self.0.do_send(Request::Stop);
    }

    /// Asks the job to end at once; it can be resumed from its newest checkpoint.
    pub fn cancel(&self) {
        self.0.do_send(Request::Cancel);
    }
}

/// How a job ended.
#[derive(Debug)]
pub enum JobOutcome {
    /// All input was worked off and all output is committed.
    Finished,
    /// It was asked to stop, and did so with a checkpoint that it can be resumed from.
    Stopped,
    /// It was asked to end at once. It can be resumed from its newest checkpoint.
    Cancelled,
    /// It failed. It can be resumed from its newest checkpoint.
    Failed(Error),
}

impl JobOutcome {
    /// Nothing but the error of a job that failed, for callers to whom every other end is as good.
    ///
    /// # Errors
    /// What the job failed with.
    pub fn into_result(self) -> Result<()> {
        match self {
            Self::Finished | Self::Stopped | Self::Cancelled => Ok(()),
            Self::Failed(error) => Err(error),
        }
    }
}

impl JobRun {
    /// Runs the job to its end, on this thread. `started` is told once, when the job can be controlled or when it
    /// could not be started.
    pub(crate) fn run(self, started: &SyncSender<Result<JobControl>>) -> JobOutcome {
        let prepared = background_runtime().and_then(|background| {
            let recovery = background.block_on(self.recover(&background))?;
            Ok((background, recovery))
        });
        match prepared {
            Ok((background, recovery)) => {
                let outcome =
                    System::new().block_on(self.run_actors(recovery, &background, started));
                // What has not begun is dropped: nobody waits for it any more. What has begun must come to its end while
                // the job is locked, or it would meddle with the files of the next run.
                background.shutdown_timeout(BACKGROUND_TIMEOUT);
                outcome
            }
            Err(error) => {
                let message = error.full_message();
                let outcome = JobOutcome::Failed(Error::new(error.kind(), message));
                // When the starter has gone there is nobody to tell.
                let _ = started.send(Err(error));
                outcome
            }
        }
    }

    /// Finds the checkpoint to go on from, and says which were passed over.
    async fn recover(&self, background: &Runtime) -> Result<Recovery> {
        self.store.prepare().await?;
        if self.fresh {
            let recovery = self.store.start_fresh().await?;
            self.store.sweep_orphans(None).await;
            return Ok(recovery);
        }
        let deferral = self.deferral(background);
        let recovery = self.store.load_newest(Some(&deferral)).await?;
        for damaged in &recovery.damaged {
            warn!(
                checkpoint = %damaged.checkpoint,
                folder = damaged.folder,
                damage = %damaged.damage,
                "a damaged checkpoint is passed over"
            );
        }
        let newest_valid = recovery
            .checkpoint
            .as_ref()
            .map(|loaded| loaded.manifest().checkpoint);
        match (&recovery.checkpoint, newest_valid) {
            (Some(loaded), Some(checkpoint)) if loaded.manifest().finished => {
                info!(%checkpoint, "the job had already finished, nothing is left to do; --fresh runs it again");
            }
            (Some(loaded), Some(checkpoint)) => {
                self.refuse_lost_operators(loaded)?;
                info!(%checkpoint, "the job is resumed from a checkpoint");
            }
            _ => {}
        }
        self.store.sweep_orphans(newest_valid).await;
        Ok(recovery)
    }

    /// Keyed state need not be read when the working segments of the run that took the checkpoint may have survived.
    fn deferral(&self, background: &Runtime) -> Deferral {
        let setting = self.setting();
        let directory = self.directory.clone();
        let allows = move |manifest: &Manifest| {
            manifest.max_parallelism == setting.targets.max_parallelism
                && manifest.operators.iter().all(|(operator, entry)| {
                    let keyed = entry
                        .subtasks
                        .iter()
                        .filter(|subtask| !subtask.keyed.is_empty());
                    let mut settings = keyed.map(|subtask| {
                        setting.state_settings(
                            directory.as_deref(),
                            operator,
                            subtask.index,
                            subtask.local,
                        )
                    });
                    entry.subtasks.len() == setting.targets.parallelism
                        && settings.all(|settings| KeyedStateBackend::may_survive(&settings))
                })
        };
        let (store, handle) = (self.store.clone(), background.handle().clone());
        Deferral::new(allows, move |manifest| {
            // Whoever asks is on a worker's thread, which must not drive the store's futures itself.
            let (sender, receiver) = sync_channel(1);
            let (store, manifest) = (store.clone(), manifest.clone());
            handle.spawn(async move {
                // When nobody waits any more, nobody needs it.
                let _ = sender.send(store.load_whole(&manifest).await);
            });
            receiver.recv().unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Bug,
                    "the background of the job is gone",
                ))
            })
        })
    }

    /// State of an operator that the job no longer has would be lost with the next checkpoint: better to stop here.
    fn refuse_lost_operators(&self, loaded: &LoadedCheckpoint) -> Result<()> {
        let manifest = loaded.manifest();
        let is_known = |id: &OperatorId| self.graph.nodes().iter().any(|node| node.id == *id);
        let lost = manifest.operators.iter().find(|(id, entry)| {
            let holds_state = |subtask: &SubtaskEntry| {
                !subtask.items.is_empty()
                    || !subtask.operator_state.is_empty()
                    || !subtask.keyed.is_empty()
            };
            !is_known(id) && entry.subtasks.iter().any(holds_state)
        });
        match lost {
            None => Ok(()),
            Some((id, _)) => Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "checkpoint {} holds state of operator \"{id}\", which the job no longer has; bring it back under \
                     this id, or start with --fresh",
                    manifest.checkpoint
                ),
            )),
        }
    }

    async fn run_actors(
        self,
        recovery: Recovery,
        background: &Runtime,
        started: &SyncSender<Result<JobControl>>,
    ) -> JobOutcome {
        let (end_sender, end) = oneshot::channel();
        let plan = PhysicalPlan::of(&self.graph);
        let executor: SharedExecutor = Arc::new(BackgroundThreads(background.handle().clone()));
        let coordinator = self.start_coordinator(&plan, &recovery, &executor, end_sender);
        let seeds = match self.seeds(&plan, &recovery, &executor, &coordinator) {
            Ok(seeds) => seeds,
            Err(error) => {
                let message = error.full_message();
                let outcome = JobOutcome::Failed(Error::new(error.kind(), message));
                let _ = started.send(Err(error));
                return outcome;
            }
        };
        // The loaded bytes are needed by the subtasks alone from here on.
        drop(recovery);
        let workers: Vec<Arbiter> = (0..self.graph.parallelism)
            .map(|_| Arbiter::new())
            .collect();
        for seed in seeds {
            let coordinator = coordinator.clone();
            workers[seed.parts.id.index].spawn_fn(move || seed.grow(coordinator));
        }
        let _ = started.send(Ok(JobControl(coordinator)));
        let end = end.await;
        for worker in workers {
            worker.stop();
            // A worker that panicked has reported through its subtasks.
            let _ = worker.join();
        }
        // Everything in here belonged to the subtasks, which are gone; what a crash leaves is emptied by the next run.
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
        match end {
            Ok(end) => outcome(end).await,
            Err(_) => JobOutcome::Failed(Error::new(
                ErrorKind::Bug,
                "the coordinator is gone without an outcome",
            )),
        }
    }

    fn subtask_ids(&self, plan: &PhysicalPlan) -> Vec<SubtaskId> {
        let ids = plan.chains.iter().flat_map(|chain| {
            (0..self.graph.parallelism).map(|index| SubtaskId::new(chain.id.clone(), index))
        });
        ids.collect()
    }

    fn start_coordinator(
        &self,
        plan: &PhysicalPlan,
        recovery: &Recovery,
        executor: &SharedExecutor,
        end: oneshot::Sender<JobEnd>,
    ) -> Addr<CoordinatorActor> {
        let nodes = self.graph.nodes();
        let graph = nodes.iter().map(|node| GraphOperator {
            id: node.id.clone(),
            type_name: node.type_name.clone(),
            inputs: node
                .inputs
                .iter()
                .map(|edge| nodes[edge.from].id.clone())
                .collect(),
            parallelism: self.graph.parallelism,
        });
        let committer = Committer::new(
            self.store.clone(),
            Retention::new(self.retained_max, recovery.found.clone()),
            JobIdentity {
                job: self.graph.name.clone(),
                max_parallelism: self.graph.max_parallelism,
                graph: graph.collect(),
            },
            Arc::clone(executor),
            self.clock.clone(),
        );
        CoordinatorActor::create(|context| {
            let address = context.address();
            let coordinator = Coordinator::new(
                self.checkpoints.clone(),
                committer,
                self.subtask_ids(plan).into_iter(),
                recovery.next_id(),
                self.clock.clone(),
                self.status.clone(),
                Arc::new(move |written| address.do_send(written)),
            );
            CoordinatorActor::new(coordinator, self.clock.clone(), end)
        })
    }

    fn setting(&self) -> Setting {
        Setting {
            targets: ExchangeTargets {
                parallelism: self.graph.parallelism,
                max_parallelism: self.graph.max_parallelism,
            },
            mode: self.mode,
            incremental: self.checkpoints.interval.is_some(),
            local_recovery: self.boot.map(|boot| LocalRuns {
                nonce: self.nonce,
                boot,
            }),
            clock: self.clock.clone(),
            status: self.status.clone(),
        }
    }

    fn seeds(
        &self,
        plan: &PhysicalPlan,
        recovery: &Recovery,
        executor: &SharedExecutor,
        coordinator: &Addr<CoordinatorActor>,
    ) -> Result<Vec<SubtaskSeed>> {
        if !recovery
            .checkpoint
            .as_ref()
            .is_some_and(LoadedCheckpoint::is_deferred)
        {
            self.directory.as_deref().map_or(Ok(()), empty_directory)?;
        }
        let (parallelism, max_parallelism) = (self.graph.parallelism, self.graph.max_parallelism);
        let shared = SharedParts {
            setting: self.setting(),
            executor: Arc::clone(executor),
            reporter: {
                let coordinator = coordinator.clone();
                Arc::new(move |report| coordinator.do_send(report))
            },
        };
        let mut seeds = Vec::new();
        let wiring = lay_links(&self.graph, plan, self.limits);
        for (chain, wiring) in plan.chains.iter().zip(wiring) {
            for (index, wiring) in wiring.into_iter().enumerate() {
                let id = SubtaskId::new(chain.id.clone(), index);
                let key_groups = KeyGroupRange::of_subtask(index, parallelism, max_parallelism);
                let operators = chain.nodes.iter().map(|node| {
                    let node = &self.graph.nodes()[*node];
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
                let writer =
                    SnapshotWriter::new(self.store.clone(), id.clone(), key_groups, self.nonce);
                seeds.push(SubtaskSeed {
                    parts: SubtaskParts {
                        id,
                        operators,
                        wiring,
                        directory: self.directory.clone(),
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

fn background_runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(BACKGROUND_THREADS)
        .thread_name("floodmark-background")
        .enable_all()
        .build()
        .map_err(|error| Error::io("start the background threads", error))
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

#[cfg(test)]
mod tests;
