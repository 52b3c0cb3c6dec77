//! How far the subtasks of a job had come in the checkpoint that it goes on from.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Chain, JobGraph, Node, Partitioning, PhysicalPlan};
use crate::model::{OperatorId, SubtaskId};
use crate::snapshot::{Manifest, OperatorEntry};

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
}

impl<'a> ChainPasts<'a> {
    /// What the checkpoint with this manifest says of the job.
    pub(super) fn new(
        graph: &'a JobGraph,
        plan: &'a PhysicalPlan,
        manifest: Option<&'a Manifest>,
    ) -> Self {
        Self {
            graph,
            plan,
            manifest,
        }
    }

    /// How far a subtask of `chain` had come. At the parallelism of the checkpoint each subtask goes on from its own past,
    /// at another one all of a chain had finished or none.
    ///
    /// A subtask had finished only if all that it reads had: in at-least-once mode its last barrier can come before the
    /// end of an input, and records before that end are still to follow.
    pub(super) fn past(&self, chain: &Chain, index: usize) -> Past {
        let operators = || chain.nodes.iter().map(|node| self.entry(*node));
        let inputs = &self.node(chain).inputs;
        let has_finished = operators().all(|entry| self.is_finished(entry, Some(index)))
            && inputs.iter().all(|edge| {
                let index = matches!(edge.partitioning, Partitioning::Forward).then_some(index);
                self.is_finished(self.entry(edge.from), index)
            });
        let is_empty = |entry: &OperatorEntry| entry.subtasks.iter().all(|it| it.is_stateless());
        match has_finished {
            false => Past::AtWork,
            true if operators()
                .flatten()
                .all(|entry| self.is_finished(Some(entry), None) && is_empty(entry)) =>
            {
                Past::FinishedForGood
            }
            true => Past::Finished,
        }
    }

    /// Whether keyed state of the subtasks of `chain` that had finished is of no use to the others, because all its input
    /// had ended: those that had finished have given out all that they make of it.
    pub(super) fn has_input_ended(&self, chain: &Chain) -> bool {
        let inputs = &self.node(chain).inputs;
        let mut ended = inputs
            .iter()
            .map(|edge| self.is_finished(self.entry(edge.from), None));
        !inputs.is_empty() && ended.all(|has_ended| has_ended)
    }

    /// The subtasks that had finished for good.
    pub(super) fn finished_for_good(&self) -> BTreeSet<SubtaskId> {
        let subtasks = self.plan.chains.iter().flat_map(|chain| {
            let indexes = 0..self.graph.parallelism;
            let past = indexes.map(move |index| {
                (
                    SubtaskId::new(chain.id.clone(), index),
                    self.past(chain, index),
                )
            });
            past.filter(|(_, past)| *past == Past::FinishedForGood)
        });
        subtasks.map(|(subtask, _)| subtask).collect()
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
            for edge in &self.node(chain).inputs {
                let is_finished = self.is_finished(self.entry(edge.from), None);
                if !is_finished && !self.was_input(edge.from, head) {
                    return Err(self.refusal(head, edge.from, "is now an input of it"));
                }
            }
        }
        Ok(())
    }

    fn node(&self, chain: &Chain) -> &'a Node {
        &self.graph.nodes()[chain.nodes[0]]
    }

    fn id(&self, node: usize) -> &'a OperatorId {
        &self.graph.nodes()[node].id
    }

    fn entry(&self, node: usize) -> Option<&'a OperatorEntry> {
        self.manifest?.operators.get(self.id(node))
    }

    /// Whether all subtasks of an operator had finished; that with `index` only, at the parallelism of the checkpoint.
    fn is_finished(&self, entry: Option<&OperatorEntry>, index: Option<usize>) -> bool {
        let Some(subtasks) = entry.map(|entry| &entry.subtasks[..]) else {
            return false;
        };
        let is_rescaled = subtasks.len() != self.graph.parallelism;
        let own = match index {
            Some(index) if !is_rescaled => &subtasks[index..=index],
            _ => subtasks,
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
