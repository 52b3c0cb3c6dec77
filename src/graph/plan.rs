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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::{BlackholeSink, MemorySource, RowCount};
    use crate::graph::{Stream, StreamBuilder};

    fn source(job: &StreamBuilder, id: &str) -> Stream<u64> {
        job.source(id, || MemorySource::of_rows(vec![1_u64], 1))
    }

    fn sink(stream: &Stream<u64>, id: &str) {
        stream.sink(id, || Ok(BlackholeSink::new(RowCount::default())));
    }

    /// Each chain as its operators, and the indexes of the chains that it reads.
    fn check(job: StreamBuilder, expected: &[(&str, &[usize])]) {
        let graph = job.build().unwrap();
        let found: Vec<(String, Vec<usize>)> = PhysicalPlan::of(&graph)
            .chains
            .into_iter()
            .map(|chain| {
                let ids = chain
                    .nodes
                    .iter()
                    .map(|node| graph.nodes()[*node].id.as_str());
                (ids.collect::<Vec<_>>().join(" "), chain.inputs)
            })
            .collect();
        let expected: Vec<(String, Vec<usize>)> = expected
            .iter()
            .map(|(ids, inputs)| ((*ids).to_owned(), inputs.to_vec()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn operators_are_chained_up_to_an_exchange() {
        let job = StreamBuilder::new("job");
        let counted = source(&job, "in")
            .map("double", |number| number * 2)
            .key_by(|number| *number)
            .reduce("count", |_| 0_u64, |number, _| *number);
        sink(&counted, "out");
        check(job, &[("in double", &[]), ("count out", &[0])]);
    }

    #[test]
    fn a_stream_with_two_readers_ends_a_chain() {
        let job = StreamBuilder::new("job");
        let numbers = source(&job, "in");
        sink(&numbers, "one");
        sink(&numbers.filter("even", |number| number % 2 == 0), "two");
        check(job, &[("in", &[]), ("one", &[0]), ("even two", &[0])]);
    }

    #[test]
    fn a_broadcast_ends_a_chain() {
        let job = StreamBuilder::new("job");
        let numbers = source(&job, "in").filter("even", |number| number % 2 == 0);
        sink(&numbers.broadcast(), "out");
        check(job, &[("in even", &[]), ("out", &[0])]);
    }

    #[test]
    fn a_union_begins_a_chain() {
        let job = StreamBuilder::new("job");
        let both = source(&job, "left").union(source(&job, "right"));
        sink(&both.map("same", |number| number), "out");
        check(job, &[("left", &[]), ("right", &[]), ("same out", &[0, 1])]);
    }
}
