//! How far the subtasks of a job had come in the checkpoint that it goes on from.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Chain, JobGraph, Node, Partitioning, PhysicalPlan};
use crate::model::{OperatorId, SubtaskId};
use crate::snapshot::{Manifest, OperatorEntry, SubtaskEntry};
use crate::state::OperatorStateKind;

/// How far a subtask had come in the checkpoint that it is restored from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Past {
    /// It was at work, or not there.
    #[default]
    AtWork,
    /// It had worked off all input, and the checkpoint holds state of it: output to commit, for one.
    Finished,
    /// The same, and all that it did was committed: nothing is left of it, and it is not opened again.
    FinishedForGood,
}

impl Past {
    /// Whether it had worked off all input.
    pub(super) fn has_finished(self) -> bool {
        self != Self::AtWork
    }
}

/// What a checkpoint says of the chains of a job.
pub(super) struct ChainPasts<'a> {
    graph: &'a JobGraph,
    plan: &'a PhysicalPlan,
    /// Nothing when the job begins anew.
    manifest: Option<&'a Manifest>,
    /// Of each chain of the plan the past of each subtask.
    pasts: Vec<Vec<Past>>,
}

impl<'a> ChainPasts<'a> {
    /// What the checkpoint with this manifest says of the job.
    pub(super) fn new(
        graph: &'a JobGraph,
        plan: &'a PhysicalPlan,
        manifest: Option<&'a Manifest>,
    ) -> Self {
        let mut pasts = Self {
            graph,
            plan,
            manifest,
            pasts: Vec::with_capacity(plan.chains.len()),
        };
        // Every chain comes after those that it reads.
        for chain in &plan.chains {
            let of_chain = (0..graph.parallelism).map(|index| pasts.judge(chain, index));
            let of_chain = of_chain.collect();
            pasts.pasts.push(of_chain);
        }
        pasts
    }

    /// The pasts of the subtasks of each chain of the plan.
    pub(super) fn pasts(&self) -> &[Vec<Past>] {
        &self.pasts
    }

    /// How far a subtask had come. It goes on from its own past, unless a restore deals out anew what the subtasks of its
    /// chain hold: then all of them had finished or none. The same is true of a source: a restore may deal its input out
    /// anew, and find more of it.
    ///
    /// A subtask had finished only if all that it reads had: in at-least-once mode its last barrier can come before the
    /// end of an input, and records before that end are still to follow.
    fn judge(&self, chain: &Chain, index: usize) -> Past {
        let own = (!chain.inputs.is_empty() && !self.deals_out(chain)).then_some(index);
        let operators = || chain.nodes.iter().map(|node| self.entry(*node));
        let edges = self.head(chain).inputs.iter().zip(&chain.inputs);
        let mut inputs = edges.map(|(edge, input)| match edge.partitioning {
            Partitioning::Forward => self.pasts[*input][index].has_finished(),
            Partitioning::KeyExchange(_) | Partitioning::Broadcast => self.has_ended(*input),
        });
        let has_finished = |entry| self.is_finished(entry, own);
        if !operators().all(has_finished) || !inputs.all(|has_ended| has_ended) {
            return Past::AtWork;
        }
        let is_for_good = |subtask: &SubtaskEntry| subtask.finished && subtask.is_stateless();
        let mut subtasks = operators().flatten().flat_map(|entry| &entry.subtasks);
        match subtasks.all(is_for_good) {
            true => Past::FinishedForGood,
            false => Past::Finished,
        }
    }

    /// Whether keyed state of the subtasks of `chain` that had finished is left behind. It would come to subtasks that go
    /// on working, and is of no use to them if all input had ended: those that had finished have given out all that they
    /// make of it.
    pub(super) fn leaves_finished_behind(&self, chain: &Chain) -> bool {
        let inputs = &chain.inputs;
        let has_input_ended =
            !inputs.is_empty() && inputs.iter().all(|input| self.has_ended(*input));
        let mut operators = chain.nodes.iter().map(|node| self.entry(*node));
        has_input_ended
            && self.deals_out(chain)
            && !operators.all(|entry| self.is_finished(entry, None))
    }

    /// The subtasks that had finished for good.
    pub(super) fn finished_for_good(&self) -> BTreeSet<SubtaskId> {
        let chains = self.plan.chains.iter().zip(&self.pasts);
        let subtasks = chains.flat_map(|(chain, pasts)| {
            let pasts = pasts.iter().enumerate();
            let for_good = pasts.filter(|(_, past)| **past == Past::FinishedForGood);
            for_good.map(|(index, _)| SubtaskId::new(chain.id.clone(), index))
        });
        subtasks.collect()
    }

    /// An operator that had finished is not run again, so nothing new can come to it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the job has been changed so that something would.
    pub(super) fn check(&self) -> Result<()> {
        for chain in &self.plan.chains {
            let (finished, others): (Vec<usize>, Vec<usize>) = chain
                .nodes
                .iter()
                .partition(|node| self.is_finished(self.entry(**node), None));
            if let (Some(finished), Some(other)) = (finished.first(), others.first()) {
                return Err(self.refusal(*finished, *other, "runs in the same chain"));
            }
            let head = chain.nodes[0];
            if !finished.contains(&head) {
                continue;
            }
            for edge in &self.head(chain).inputs {
                let is_finished = self.is_finished(self.entry(edge.from), None);
                if !is_finished && !self.was_input(edge.from, head) {
                    return Err(self.refusal(head, edge.from, "is now an input of it"));
                }
            }
        }
        Ok(())
    }

    /// Whether a subtask of `chain` may be given what another one had: at another parallelism, and whenever an operator has
    /// a union list, of which each subtask is given all items and chooses its own.
    fn deals_out(&self, chain: &Chain) -> bool {
        let entries = chain.nodes.iter().filter_map(|node| self.entry(*node));
        let mut subtasks = entries.map(|entry| &entry.subtasks);
        subtasks.any(|subtasks| {
            let mut states = subtasks.iter().flat_map(|subtask| &subtask.operator_state);
            subtasks.len() != self.graph.parallelism
                || states.any(|state| state.descriptor.kind == OperatorStateKind::UnionList)
        })
    }

    /// Whether all subtasks of a chain had finished.
    fn has_ended(&self, chain: usize) -> bool {
        self.pasts[chain].iter().all(|past| past.has_finished())
    }

    fn head(&self, chain: &Chain) -> &'a Node {
        &self.graph.nodes()[chain.nodes[0]]
    }

    fn id(&self, node: usize) -> &'a OperatorId {
        &self.graph.nodes()[node].id
    }

    fn entry(&self, node: usize) -> Option<&'a OperatorEntry> {
        self.manifest?.operators.get(self.id(node))
    }

    /// Whether all subtasks of an operator had finished, or that with `index` only.
    fn is_finished(&self, entry: Option<&OperatorEntry>, index: Option<usize>) -> bool {
        let Some(subtasks) = entry.map(|entry| &entry.subtasks[..]) else {
            return false;
        };
        let own = match index {
            Some(index) => &subtasks[index..=index],
            None => subtasks,
        };
        own.iter().all(|subtask| subtask.finished)
    }

    fn was_input(&self, from: usize, to: usize) -> bool {
        let operators = self.manifest.iter().flat_map(|manifest| &manifest.graph);
        let mut readers = operators.filter(|operator| operator.id == *self.id(to));
        readers.any(|reader| reader.inputs.contains(self.id(from)))
    }

    fn refusal(&self, finished: usize, other: usize, relation: &str) -> Error {
        let (finished, other) = (self.id(finished), self.id(other));
        let checkpoint = self.manifest.map(|manifest| manifest.checkpoint);
        let checkpoint = checkpoint.unwrap_or_default();
        Error::new(
            ErrorKind::Configuration,
            format!(
                "operator {finished} had worked off all its input in checkpoint {checkpoint}, but operator {other} had \
                 not, and {relation}: take that change of the job back, or start with --fresh"
            ),
        )
    }
}

#[cfg(test)]
mod tests;
