//! The logical graph of a job: what the builder or the TOML file describes.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MAX_PARALLELISM_DEFAULT, MAX_PARALLELISM_LIMIT, OperatorId};
use crate::operator::{Operator, Sink, Source};

use super::exchange::PartitionerFactory;

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
    KeyExchange(PartitionerFactory),
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

    /// Adds a node after its inputs, and gives its index.
    pub fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
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
