//! The physical plan: which operators are chained into one subtask, and which chains are linked.

use crate::model::OperatorId;

use super::job_graph::{JobGraph, Partitioning};

/// What runs: chains of operators, each as `parallelism` subtasks, linked as their edges say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalPlan {
    /// The chains; every one comes after those it reads.
    pub chains: Vec<Chain>,
}

/// Operators that hand their batches to one another by a plain call, in one subtask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The id of its first operator.
    pub id: OperatorId,
    /// Indexes of the graph's nodes, in the order in which a record passes them.
    pub nodes: Vec<usize>,
    /// For each input edge of the first node: the chain that it comes from.
    pub inputs: Vec<usize>,
}

impl PhysicalPlan {
    /// Chains a node to its input where no exchange stands between them: the node has only that one input, by
    /// [`Partitioning::Forward`], and is its only reader.
    pub fn of(graph: &JobGraph) -> Self {
        let nodes = graph.nodes();
        let mut reader_counts = vec![0_usize; nodes.len()];
        for edge in nodes.iter().flat_map(|node| &node.inputs) {
            reader_counts[edge.from] += 1;
        }
        let mut chains: Vec<Chain> = Vec::new();
        let mut chain_of_node: Vec<usize> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            if let [edge] = &node.inputs[..]
                && matches!(edge.partitioning, Partitioning::Forward)
                && reader_counts[edge.from] == 1
            {
                let chain = chain_of_node[edge.from];
                chains[chain].nodes.push(index);
                chain_of_node.push(chain);
                continue;
            }
            let to = chains.len();
            let inputs = node
                .inputs
                .iter()
                .map(|edge| chain_of_node[edge.from])
                .collect();
            chains.push(Chain {
                id: node.id.clone(),
                nodes: vec![index],
                inputs,
            });
            chain_of_node.push(to);
        }
        Self { chains }
    }
}
