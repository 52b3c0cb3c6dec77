//! The links of a job, laid before any of its actors exists.

use std::sync::Arc;

use crate::channel::{LinkLimits, LinkReceiver, LinkSender, link};
use crate::graph::{Edge, JobGraph, KeyExchange, Partitioning, PhysicalPlan};
use crate::model::OperatorId;

use super::output::{OutputEdge, Outputs};
use super::setting::Setting;
use super::wake::ActorWake;

/// What connects one subtask with the others.
pub(super) struct SubtaskWiring {
    /// Links to read, edge after edge; of an exchange or a broadcast, one from each subtask of the writer.
    pub(super) inputs: Vec<InputWiring>,
    /// Edges to write, in the order of the plan.
    pub(super) outputs: Vec<EdgeWiring>,
    /// Wakes the subtask's actor.
    pub(super) wake: Arc<ActorWake>,
}

/// A link to read, and where it comes from.
pub(super) struct InputWiring {
    pub(super) receiver: LinkReceiver,
    pub(super) origin: InputOrigin,
}

/// Where a link comes from.
#[derive(Clone)]
pub(super) struct InputOrigin {
    /// The operator whose records it brings.
    pub(super) input: OperatorId,
    /// Which of the edges from that operator it belongs to, from 0.
    pub(super) edge: usize,
    /// The subtask of that operator.
    pub(super) upstream: usize,
    /// The exchange by key, if it is one.
    pub(super) exchange: Option<KeyExchange>,
}

/// One edge that leaves a subtask.
pub(super) struct EdgeWiring {
    partitioning: Partitioning,
    links: Vec<LinkSender>,
}

impl SubtaskWiring {
    /// The output side, made on the thread that the subtask runs on.
    pub(super) fn make_outputs(edges: Vec<EdgeWiring>, setting: &Setting) -> Outputs {
        let edges = edges.into_iter().map(|edge| {
            let (partitioner, may_overtake) = match &edge.partitioning {
                Partitioning::Forward | Partitioning::Broadcast => (None, false),
                Partitioning::KeyExchange(exchange) => (
                    Some((exchange.partitioner)(setting.targets)),
                    setting.may_overtake(exchange),
                ),
            };
            OutputEdge::new(partitioner, edge.links, may_overtake)
        });
        Outputs::new(edges.collect())
    }
}

/// Lays all links of a plan. Gives the wiring of each chain's subtasks: one list a chain, one entry a subtask.
pub(super) fn lay_links(
    graph: &JobGraph,
    plan: &PhysicalPlan,
    limits: LinkLimits,
) -> Vec<Vec<SubtaskWiring>> {
    let subtasks = 0..graph.parallelism;
    let mut wiring: Vec<Vec<SubtaskWiring>> = plan
        .chains
        .iter()
        .map(|_| {
            let unconnected = |_| SubtaskWiring {
                inputs: Vec::new(),
                outputs: Vec::new(),
                wake: Arc::new(ActorWake::default()),
            };
            subtasks.clone().map(unconnected).collect()
        })
        .collect();
    // In the order of each reader's inputs, so that its links stand edge after edge.
    for (reader, chain) in plan.chains.iter().enumerate() {
        let edges = &graph.nodes()[chain.nodes[0]].inputs;
        for (index, (edge, writer)) in edges.iter().zip(&chain.inputs).enumerate() {
            let origin = origin(graph, &edges[..=index], edge);
            for from in subtasks.clone() {
                let to = match edge.partitioning {
                    Partitioning::Forward => from..from + 1,
                    Partitioning::KeyExchange(_) | Partitioning::Broadcast => subtasks.clone(),
                };
                let mut links = Vec::with_capacity(to.len());
                for to in to {
                    let (sender, receiver) = link(limits);
                    sender.set_wake(wiring[*writer][from].wake.clone());
                    receiver.set_wake(wiring[reader][to].wake.clone());
                    wiring[reader][to].inputs.push(InputWiring {
                        receiver,
                        origin: InputOrigin {
                            upstream: from,
                            ..origin.clone()
                        },
                    });
                    links.push(sender);
                }
                wiring[*writer][from].outputs.push(EdgeWiring {
                    partitioning: edge.partitioning.clone(),
                    links,
                });
            }
        }
    }
    wiring
}

/// The origin of the links of `edge`, the last of these edges, from the first subtask.
fn origin(graph: &JobGraph, edges: &[Edge], edge: &Edge) -> InputOrigin {
    let same = edges.iter().filter(|other| other.from == edge.from);
    InputOrigin {
        input: graph.nodes()[edge.from].id.clone(),
        edge: same.count() - 1,
        upstream: 0,
        exchange: match &edge.partitioning {
            Partitioning::KeyExchange(exchange) => Some(exchange.clone()),
            Partitioning::Forward | Partitioning::Broadcast => None,
        },
    }
}
