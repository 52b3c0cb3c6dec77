//! What an attempt is put together from, whoever runs it: the coordinator, and the seeds of the subtasks.

use std::sync::Arc;

use super::run::JobRun;
use crate::error::Result;
use crate::graph::PhysicalPlan;
use crate::model::{KeyGroupRange, SubtaskId};
use crate::runtime::committer::{Committer, JobIdentity};
use crate::runtime::coordinator::{Coordinator, JobSubtasks};
use crate::runtime::executor::SharedExecutor;
use crate::runtime::message::{Reporter, StoreReporter};
use crate::runtime::past::ChainPasts;
use crate::runtime::seed::{OperatorSeed, SharedParts, SubtaskParts, SubtaskSeed};
use crate::runtime::wiring::lay_links;
use crate::snapshot::{LoadedCheckpoint, Recovery, Retention, SnapshotWriter};

impl JobRun {
    /// The coordinator of an attempt that goes on from `recovery`. `store_reporter` is told what comes of work in the
    /// store.
    pub(in crate::runtime) fn coordinator(
        &self,
        plan: &PhysicalPlan,
        recovery: &Recovery,
        executor: &SharedExecutor,
        store_reporter: StoreReporter,
    ) -> Coordinator {
        let nodes = self.graph.nodes();
        let manifest = recovery.checkpoint.as_ref().map(LoadedCheckpoint::manifest);
        let id = |node: &usize| nodes[*node].id.clone();
        let chains = plan.chains.iter();
        let chains = chains.map(|chain| (chain.id.clone(), chain.nodes.iter().map(id).collect()));
        let committer = Committer::new(
            self.store.clone(),
            Retention::new(self.retained_max, recovery.found.clone()),
            JobIdentity {
                job: self.graph.name.clone(),
                max_parallelism: self.graph.max_parallelism,
                graph: self.graph.snapshot_operators(),
                chains: chains.collect(),
                started_from: manifest.and_then(|manifest| manifest.started_from.clone()),
            },
            Arc::clone(executor),
            self.clock.clone(),
            self.savepoint_directory.clone(),
        );
        Coordinator::new(
            self.checkpoints.clone(),
            committer,
            JobSubtasks {
                all: self.subtask_ids(plan).collect(),
                finished: ChainPasts::new(&self.graph, plan, manifest).finished_for_good(),
            },
            recovery.next_id(),
            self.clock.clone(),
            self.status.clone(),
            store_reporter,
        )
    }

    /// All subtasks, in the order of their seeds.
    pub(in crate::runtime) fn subtask_ids(
        &self,
        plan: &PhysicalPlan,
    ) -> impl Iterator<Item = SubtaskId> {
        plan.chains.iter().flat_map(|chain| {
            (0..self.graph.parallelism).map(|index| SubtaskId::new(chain.id.clone(), index))
        })
    }

    /// The seeds of all subtasks of an attempt that goes on from `recovery`.
    ///
    /// # Errors
    /// When the checkpoint does not fit the graph.
    pub(in crate::runtime) fn seeds(
        &self,
        plan: &PhysicalPlan,
        recovery: &Recovery,
        executor: &SharedExecutor,
        reporter: Reporter,
    ) -> Result<Vec<SubtaskSeed>> {
        let (parallelism, max_parallelism) = (self.graph.parallelism, self.graph.max_parallelism);
        let shared = SharedParts {
            setting: self.setting(),
            executor: Arc::clone(executor),
            reporter,
        };
        let manifest = recovery.checkpoint.as_ref().map(LoadedCheckpoint::manifest);
        let pasts = ChainPasts::new(&self.graph, plan, manifest);
        pasts.check()?;
        let mut seeds = Vec::new();
        let wiring = lay_links(&self.graph, plan, self.limits);
        let chains = plan.chains.iter().zip(pasts.pasts());
        for ((chain, pasts_of_chain), wiring) in chains.zip(wiring) {
            let leaves_finished_behind = pasts.leaves_finished_behind(chain);
            for (index, wiring) in wiring.into_iter().enumerate() {
                let id = SubtaskId::new(chain.id.clone(), index);
                let key_groups = KeyGroupRange::of_subtask(index, parallelism, max_parallelism);
                let operators = chain.nodes.iter().map(|node| {
                    let node = &self.graph.nodes()[*node];
                    let restored = match &recovery.checkpoint {
                        Some(loaded) => loaded.restore_plan(
                            &node.id,
                            index,
                            parallelism,
                            max_parallelism,
                            leaves_finished_behind,
                        )?,
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
                        past: pasts_of_chain[index],
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
