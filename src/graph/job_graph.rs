//! The logical graph of a job: what the builder or the TOML file describes.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MAX_PARALLELISM_DEFAULT, MAX_PARALLELISM_LIMIT, OperatorId};
use crate::operator::{Operator, Sink, Source};
use crate::snapshot::GraphOperator;

use super::exchange::KeyExchange;

/// Makes an instance of a component. It is called once for each subtask, on the thread that the subtask will run on.
pub type Factory<T> = Arc<dyn Fn() -> Result<Box<T>> + Send + Sync>;

/// A job as it is described: nodes in an order in which every node comes after its inputs.
#[derive(Clone)]
pub struct JobGraph {
    /// The job's name; its checkpoints lie in a folder of this name.
    pub name: String,
    /// How many subtasks each operator has.
    pub parallelism: usize,
    /// How many key groups there are. Fixed for the life of the job's state.
    pub max_parallelism: u16,
    nodes: Vec<Node>,
}

/// One operator of the graph.
#[derive(Clone)]
pub struct Node {
    /// Its id, unique in the job.
    pub id: OperatorId,
    /// What it is, for people: for example `aggregate`.
    pub type_name: String,
    /// How its instances are made.
    pub component: Component,
    /// Where its records come from; empty for a source.
    pub inputs: Vec<Edge>,
}

/// What a node does, as a factory of instances.
#[derive(Clone)]
pub enum Component {
    /// Records come from here.
    Source(Factory<dyn Source>),
    /// Records are turned into others.
    Operator(Factory<dyn Operator>),
    /// Records leave here.
    Sink(Factory<dyn Sink>),
}

/// An input of a node.
#[derive(Clone)]
pub struct Edge {
    /// The index of the node that the records come from.
    pub from: usize,
    /// Which subtask of the reader each record goes to.
    pub partitioning: Partitioning,
}

/// Which subtask a record goes to.
#[derive(Clone)]
pub enum Partitioning {
    /// Subtask *i* sends to subtask *i*.
    Forward,
    /// The record's key decides.
    KeyExchange(KeyExchange),
    /// Every subtask is sent a copy of every record.
    Broadcast,
}

impl JobGraph {
    /// A graph without nodes, with a parallelism of 1.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            parallelism: 1,
            max_parallelism: MAX_PARALLELISM_DEFAULT,
            nodes: Vec::new(),
        }
    }

    /// The nodes; every one comes after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes, as snapshots name them.
    pub fn snapshot_operators(&self) -> Vec<GraphOperator> {
        let operator = |node: &Node| GraphOperator {
            id: node.id.clone(),
            type_name: node.type_name.clone(),
            inputs: node
                .inputs
                .iter()
                .map(|edge| self.nodes[edge.from].id.clone())
                .collect(),
            parallelism: self.parallelism,
        };
        self.nodes.iter().map(operator).collect()
    }

    /// Adds a node after its inputs, and gives its index.
    pub fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The exchanges by key on which no barrier can overtake, since their records cannot be stored: each as the operators
    /// before and behind it.
    pub fn aligned_exchanges(&self) -> Vec<(&OperatorId, &OperatorId)> {
        let edges = self.nodes.iter().flat_map(|node| {
            let edges = node.inputs.iter();
            edges.map(move |edge| (edge, &node.id))
        });
        let aligned = edges.filter(|(edge, _)| match &edge.partitioning {
            Partitioning::KeyExchange(exchange) => exchange.codec.is_none(),
            Partitioning::Forward | Partitioning::Broadcast => false,
        });
        aligned
            .map(|(edge, reader)| (&self.nodes[edge.from].id, reader))
            .collect()
    }

    /// Checks what every later step relies on.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the operator, when an id stands twice, a node that is not a source has no
    /// input, a source has one, a sink is read, or nobody reads a source or operator; and when the parallelism does
    /// not lie between 1 and `max_parallelism`, or that not between 1 and 32 768.
    pub fn validate(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Configuration, message));
        if self.max_parallelism == 0 || self.max_parallelism > MAX_PARALLELISM_LIMIT {
            return wrong(format!(
                "max_parallelism is {}, it must lie between 1 and {MAX_PARALLELISM_LIMIT}",
                self.max_parallelism
            ));
        }
        if self.parallelism == 0 || self.parallelism > usize::from(self.max_parallelism) {
            return wrong(format!(
                "parallelism is {}, it must lie between 1 and max_parallelism, which is {}",
                self.parallelism, self.max_parallelism
            ));
        }
        if self.nodes.is_empty() {
            return wrong("the job has no source".to_owned());
        }
        let mut ids = BTreeSet::new();
        let mut read = vec![false; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            if !ids.insert(&node.id) {
                return wrong(format!("operator id \"{}\" stands twice", node.id));
            }
            let is_source = matches!(node.component, Component::Source(_));
            if is_source != node.inputs.is_empty() {
                let problem = if is_source {
                    "is a source and cannot have an input"
                } else {
                    "has no input"
                };
                return wrong(format!("operator \"{}\" {problem}", node.id));
            }
            for edge in &node.inputs {
                let Some(from) = self.nodes[..index].get(edge.from) else {
                    return wrong(format!(
                        "operator \"{}\" reads one that comes after it",
                        node.id
                    ));
                };
                if matches!(from.component, Component::Sink(_)) {
                    return wrong(format!(
                        "operator \"{}\" reads \"{}\", a sink",
                        node.id, from.id
                    ));
                }
                read[edge.from] = true;
            }
        }
        let unread = |(node, read): &(&Node, &bool)| {
            !**read && !matches!(node.component, Component::Sink(_))
        };
        if let Some((node, _)) = self.nodes.iter().zip(&read).find(unread) {
            return wrong(format!("nobody reads \"{}\"", node.id));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::{BlackholeSink, MemorySource, RowCount};

    fn source() -> Component {
        Component::Source(Arc::new(|| {
            Ok(Box::new(MemorySource::of_rows(vec![1_u64], 1)?))
        }))
    }

    fn sink() -> Component {
        Component::Sink(Arc::new(|| {
            Ok(Box::new(BlackholeSink::new(RowCount::default())))
        }))
    }

    /// A graph of nodes given as id, component and the indexes of their inputs.
    fn graph(nodes: Vec<(&str, Component, &[usize])>) -> JobGraph {
        let mut graph = JobGraph::new("job");
        for (id, component, inputs) in nodes {
            let edge = |from: &usize| Edge {
                from: *from,
                partitioning: Partitioning::Forward,
            };
            graph.add(Node {
                id: id.into(),
                type_name: "test".to_owned(),
                component,
                inputs: inputs.iter().map(edge).collect(),
            });
        }
        graph
    }

    fn check(graph: &JobGraph, expected: &str) {
        let error = graph.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_graph_whose_parts_do_not_fit_is_refused() {
        check(&graph(vec![]), "the job has no source");
        check(&graph(vec![("in", source(), &[])]), "nobody reads \"in\"");
        check(
            &graph(vec![("in", source(), &[]), ("in", sink(), &[0])]),
            "operator id \"in\" stands twice",
        );
        check(
            &graph(vec![("in", source(), &[]), ("out", sink(), &[])]),
            "operator \"out\" has no input",
        );
        check(
            &graph(vec![("in", source(), &[]), ("two", source(), &[0])]),
            "operator \"two\" is a source and cannot have an input",
        );
        check(
            &graph(vec![("in", source(), &[]), ("out", sink(), &[1])]),
            "operator \"out\" reads one that comes after it",
        );
        check(
            &graph(vec![
                ("in", source(), &[]),
                ("a", sink(), &[0]),
                ("b", sink(), &[1]),
            ]),
            "operator \"b\" reads \"a\", a sink",
        );
    }

    #[test]
    fn exchanges_stay_aligned_whose_records_cannot_be_stored() {
        use crate::graph::StreamBuilder;
        let job = StreamBuilder::new("job");
        let numbers = job.source::<u64, _>("in", || MemorySource::of_rows(vec![1_u64], 1));
        let counts = numbers.key_by(|number: &u64| *number).unaligned().reduce(
            "counts",
            |_| 0_u64,
            |number, _| *number,
        );
        counts
            .key_by(|number: &u64| number % 10)
            .reduce("sums", |_| 0_u64, |number, _| *number)
            .sink("out", || Ok(BlackholeSink::new(RowCount::default())));
        let graph = job.build().unwrap();
        let (counts, sums) = ("counts".into(), "sums".into());
        assert_eq!(graph.aligned_exchanges(), [(&counts, &sums)]);
    }

    #[test]
    fn the_parallelism_lies_between_one_and_its_maximum() {
        let mut graph = graph(vec![("in", source(), &[]), ("out", sink(), &[0])]);
        graph.validate().unwrap();
        graph.parallelism = 129;
        check(
            &graph,
            "parallelism is 129, it must lie between 1 and max_parallelism, which is 128",
        );
        graph.parallelism = 0;
        check(
            &graph,
            "parallelism is 0, it must lie between 1 and max_parallelism, which is 128",
        );
        graph.max_parallelism = 40_000;
        check(
            &graph,
            "max_parallelism is 40000, it must lie between 1 and 32768",
        );
    }
}
