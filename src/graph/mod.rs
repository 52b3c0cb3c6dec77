//! What a job does: the builder and the job file, the logical graph that both make, and the physical plan.

mod builder;
mod component_types;
mod exchange;
mod from_config;
mod job_graph;
mod keyed_stream;
mod new_job;
mod outline;
mod plan;

pub use builder::{Stream, StreamBuilder};
pub use exchange::{ExchangeTargets, KeyExchange, Partitioner, PartitionerFactory};
pub use from_config::build;
pub use job_graph::{Component, Edge, Factory, JobGraph, Node, Partitioning};
pub use keyed_stream::KeyedStream;
pub use outline::{JobOutline, ShipStrategy, VertexOutline};
pub use plan::{Chain, PhysicalPlan};
