//! A job file's components, put together as a graph of Arrow columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;

use crate::config::{ComponentRole, ComponentSection, JobFile};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, OperatorId};
use crate::operator::KeyPartitioner;

use super::component_types::{Built, build_operator, build_sink, build_source};
use super::exchange::{ExchangeTargets, Partitioner};
use super::job_graph::{Edge, JobGraph, Node, Partitioning};

/// Puts the graph of a job file together. Every problem is reported, not only the first.
///
/// # Errors
/// [`ErrorKind::Configuration`], with file, line and key of each problem.
pub fn build(file: &JobFile) -> Result<JobGraph> {
    let mut graph = JobGraph::new(&file.job.name);
    graph.parallelism = file.job.parallelism;
    graph.max_parallelism = file.job.max_parallelism;
    let mut nodes: BTreeMap<OperatorId, PlacedNode> = BTreeMap::new();
    let mut problems = Vec::new();
    let components = file
        .sources
        .iter()
        .chain(&file.operators)
        .chain(&file.sinks);
    let mut waiting: Vec<&ComponentSection> = components.collect();
    // The file may name a component before those it reads; cycles were refused when it was parsed.
    while !waiting.is_empty() {
        let ready = |section: &&ComponentSection| {
            section.inputs.iter().all(|input| nodes.contains_key(input))
        };
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
        if now.is_empty() {
            // What remains reads something that had a problem, which is reported.
            break;
        }
        waiting = later;
        for section in now {
            match place(section, &nodes, &mut graph) {
                Ok(node) => {
                    nodes.insert(section.id.clone(), node);
                }
                Err(error) => problems.push(section.options.locate(error)),
            }
        }
    }
    if let Some(error) = join(problems) {
        return Err(error);
    }
    graph.validate()?;
    Ok(graph)
}

/// A node of the graph, and what it emits.
struct PlacedNode {
    index: usize,
    /// Nothing for a sink.
    schema: Option<SchemaRef>,
}

fn place(
    section: &ComponentSection,
    nodes: &BTreeMap<OperatorId, PlacedNode>,
    graph: &mut JobGraph,
) -> Result<PlacedNode> {
    let Built {
        component,
        output,
        key,
    } = match section.role {
        ComponentRole::Source => build_source(section)?,
        ComponentRole::Operator => build_operator(section, input_schema(section, nodes)?)?,
        ComponentRole::Sink => {
            input_schema(section, nodes)?;
            build_sink(section)?
        }
    };
    let partitioning = match key {
        Some(key) => exchange_by(&input_schema(section, nodes)?, &key)?,
        None => Partitioning::Forward,
    };
    let inputs = section
        .inputs
        .iter()
        .filter_map(|input| nodes.get(input))
        .map(|input| Edge {
            from: input.index,
            partitioning: partitioning.clone(),
        })
        .collect();
    let index = graph.add(Node {
        id: section.id.clone(),
        type_name: section.kind.clone(),
        component,
        inputs,
    });
    Ok(PlacedNode {
        index,
        schema: output,
    })
}

/// The one schema of all inputs of a component.
fn input_schema(
    section: &ComponentSection,
    nodes: &BTreeMap<OperatorId, PlacedNode>,
) -> Result<SchemaRef> {
    let schemas = section.inputs.iter().filter_map(|input| {
        let schema = nodes.get(input)?.schema.as_ref()?;
        Some((input, schema))
    });
    let mut common: Option<(&OperatorId, &SchemaRef)> = None;
    for (input, schema) in schemas {
        match common {
            None => common = Some((input, schema)),
            Some((first, expected)) if expected != schema => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    format!("input: \"{input}\" and \"{first}\" do not have the same columns"),
                ));
            }
            Some(_) => {}
        }
    }
    common.map(|(_, schema)| Arc::clone(schema)).ok_or_else(|| {
        Error::new(
            ErrorKind::Configuration,
            "input: none of the inputs has columns",
        )
    })
}

fn exchange_by(schema: &SchemaRef, key: &[String]) -> Result<Partitioning> {
    let partitioner = KeyPartitioner::new(schema, key)?;
    Ok(Partitioning::KeyExchange(Arc::new(
        move |targets: ExchangeTargets| {
            Box::new(ColumnPartitioner {
                targets,
                partitioner: partitioner.clone(),
            })
        },
    )))
}

/// The key exchange of a TOML job.
struct ColumnPartitioner {
    targets: ExchangeTargets,
    partitioner: KeyPartitioner,
}

impl Partitioner for ColumnPartitioner {
    fn partition(&mut self, batch: Batch) -> Result<Vec<Option<Batch>>> {
        let columns = batch.into_columns()?;
        let ExchangeTargets {
            parallelism,
            max_parallelism,
        } = self.targets;
        let parts = self
            .partitioner
            .partition(&columns, parallelism, max_parallelism)?;
        Ok(parts
            .into_iter()
            .map(|part| part.map(Batch::Columns))
            .collect())
    }
}

/// One error that says all that is wrong.
fn join(problems: Vec<Error>) -> Option<Error> {
    let mut problems = problems.into_iter();
    let first = problems.next()?;
    let rest: Vec<String> = problems.map(|problem| problem.full_message()).collect();
    if rest.is_empty() {
        return Some(first);
    }
    let message = format!("{}\n{}", first.full_message(), rest.join("\n"));
    Some(Error::new(ErrorKind::Configuration, message))
}
