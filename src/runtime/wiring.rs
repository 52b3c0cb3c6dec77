//! The links of a job, laid before any of its actors exists.

use std::sync::Arc;

use crate::channel::{LinkLimits, LinkReceiver, LinkSender, link};
use crate::graph::{ExchangeTargets, JobGraph, Partitioning, PhysicalPlan};

use super::output::{OutputEdge, Outputs};
use super::wake::ActorWake;

/// What connects one subtask with the others.
pub(super) struct SubtaskWiring {
    /// Links to read, edge after edge; of an exchange or a broadcast, one from each subtask of the writer.
    pub(super) inputs: Vec<LinkReceiver>,
    /// Edges to write, in the order of the plan.
    pub(super) outputs: Vec<EdgeWiring>,
    /// Wakes the subtask's actor.
    pub(super) wake: Arc<ActorWake>,
}

/// One edge that leaves a subtask.
pub(super) struct EdgeWiring {
    partitioning: Partitioning,
    links: Vec<LinkSender>,
}

impl SubtaskWiring {
    /// The output side, made on the thread that the subtask runs on.
    pub(super) fn make_outputs(edges: Vec<EdgeWiring>, targets: ExchangeTargets) -> Outputs {
        let edges = edges.into_iter().map(|edge| {
            let partitioner = match edge.partitioning {
                Partitioning::Forward | Partitioning::Broadcast => None,
                Partitioning::KeyExchange(factory) => Some(factory(targets)),
            };
            OutputEdge::new(partitioner, edge.links)
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
        for (edge, writer) in edges.iter().zip(&chain.inputs) {
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
                    wiring[reader][to].inputs.push(receiver);
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
