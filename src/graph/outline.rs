//! What a job consists of, in words: for whoever watches it.

use crate::model::OperatorId;

use super::job_graph::{JobGraph, Partitioning};
use super::plan::PhysicalPlan;

/// What a job consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOutline {
    /// The job's name.
    pub name: String,
    /// How many subtasks each operator has.
    pub parallelism: usize,
    /// How many key groups there are.
    pub max_parallelism: u16,
    /// The chains that run as subtasks; every one comes after those it reads.
    pub vertices: Vec<VertexOutline>,
}

/// A chain of operators that runs as subtasks: a vertex, as Flink calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexOutline {
    /// The id of its first operator.
    pub id: OperatorId,
    /// The ids of all its operators, in the order in which a record passes them.
    pub operators: Vec<OperatorId>,
    /// What it reads: the first operator of another chain, and how its records are sent.
    pub inputs: Vec<(OperatorId, ShipStrategy)>,
}

/// How records get from one chain to another, in Flink's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShipStrategy {
    /// Subtask *i* sends to subtask *i*.
    Forward,
    /// The record's key decides.
    Hash,
    /// Every subtask is sent a copy.
    Broadcast,
}

impl JobOutline {
    /// The outline of a job.
    pub fn of(graph: &JobGraph) -> Self {
        let plan = PhysicalPlan::of(graph);
        let nodes = graph.nodes();
        let vertices = plan.chains.iter().map(|chain| {
            let first = chain.nodes.first().and_then(|node| nodes.get(*node));
            let edges = first.into_iter().flat_map(|node| &node.inputs);
            let inputs = chain.inputs.iter().zip(edges).map(|(from, edge)| {
                let strategy = match edge.partitioning {
                    Partitioning::Forward => ShipStrategy::Forward,
                    Partitioning::KeyExchange(_) => ShipStrategy::Hash,
                    Partitioning::Broadcast => ShipStrategy::Broadcast,
                };
                (plan.chains[*from].id.clone(), strategy)
            });
            VertexOutline {
                id: chain.id.clone(),
                operators: chain
                    .nodes
                    .iter()
                    .map(|node| nodes[*node].id.clone())
                    .collect(),
                inputs: inputs.collect(),
            }
        });
        Self {
            name: graph.name.clone(),
            parallelism: graph.parallelism,
            max_parallelism: graph.max_parallelism,
            vertices: vertices.collect(),
        }
    }

    /// How many subtasks the job has.
    pub fn subtasks(&self) -> usize {
        self.vertices.len() * self.parallelism
    }
}

impl VertexOutline {
    /// Its operators in one line: `numbers -> double`.
    pub fn name(&self) -> String {
        let names: Vec<&str> = self.operators.iter().map(OperatorId::as_str).collect();
        names.join(" -> ")
    }
}

impl ShipStrategy {
    /// Flink's name of the strategy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "FORWARD",
            Self::Hash => "HASH",
            Self::Broadcast => "BROADCAST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::{BlackholeSink, MemorySource, RowCount};
    use crate::graph::StreamBuilder;

    #[test]
    fn a_job_is_its_chains_and_how_they_are_linked() {
        let job = StreamBuilder::new("job").parallelism(2);
        let numbers = job.source("in", || MemorySource::of_rows(vec![1_u64], 1));
        let counted = numbers
            .map("double", |number: u64| number * 2)
            .key_by(|number: &u64| *number)
            .reduce("count", |_| 0_u64, |number, _| *number);
        counted
            .broadcast()
            .sink("out", || Ok(BlackholeSink::new(RowCount::default())));
        let outline = JobOutline::of(&job.build().unwrap());
        assert_eq!((outline.subtasks(), outline.max_parallelism), (6, 128));
        let shown: Vec<String> = outline
            .vertices
            .iter()
            .map(|vertex| {
                let inputs = vertex.inputs.iter();
                let inputs: Vec<String> = inputs
                    .map(|(from, strategy)| format!(" <- {from} {}", strategy.name()))
                    .collect();
                vertex.name() + &inputs.concat()
            })
            .collect();
        assert_eq!(
            shown,
            ["in -> double", "count <- in HASH", "out <- count BROADCAST"]
        );
    }
}
