//! A job file's components, put together as a graph of Arrow columns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::SchemaRef;

use crate::config::{ComponentRole, ComponentSection, JobFile};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, OperatorId};
use crate::operator::KeyPartitioner;
use crate::snapshot::ColumnCodec;

use super::component_types::{Built, build_operator, build_sink, build_source};
use super::exchange::{ExchangeTargets, KeyExchange, Partitioner};
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
    let mut folders = BTreeMap::new();
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
            match place(section, &nodes, &mut folders, &mut graph) {
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
    folders: &mut BTreeMap<PathBuf, OperatorId>,
    graph: &mut JobGraph,
) -> Result<PlacedNode> {
    let Built {
        component,
        output,
        key,
        folder,
    } = match section.role {
        ComponentRole::Source => build_source(section)?,
        ComponentRole::Operator => build_operator(section, input_schema(section, nodes)?)?,
        ComponentRole::Sink => {
            let input = input_schema(section, nodes)?;
            build_sink(section, &input)?
        }
    };
    if let Some(folder) = folder
        && let Some(other) = folders.insert(absolute(&folder)?, section.id.clone())
    {
        // Each would take the other's files for its own when it resumes.
        return Err(Error::new(
            ErrorKind::Configuration,
            format!("path: sink \"{other}\" writes to this folder already"),
        ));
    }
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

/// The same text for the same folder, as far as the text tells.
fn absolute(folder: &Path) -> Result<PathBuf> {
    std::path::absolute(folder)
        .map(|folder| folder.components().collect())
        .map_err(|error| Error::io("path", error))
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
    Ok(Partitioning::KeyExchange(KeyExchange {
        partitioner: Arc::new(move |targets: ExchangeTargets| {
            Box::new(ColumnPartitioner {
                targets,
                partitioner: partitioner.clone(),
            })
        }),
        codec: Some(Arc::new(ColumnCodec::new(Arc::clone(schema)))),
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "[job]\nname = 'j'\nparallelism = 2\n\
        [[source]]\nid = 'in'\ntype = 'generator'\nschema = 'key-value'\nrows = 1\n";

    fn check(rest: &str, expected: Result<&[&str], &[&str]>) {
        let file = JobFile::parse("job.toml", &format!("{SOURCE}{rest}")).unwrap();
        match (build(&file), expected) {
            (Ok(graph), Ok(ids)) => {
                let found: Vec<&str> = graph.nodes().iter().map(|node| node.id.as_str()).collect();
                assert_eq!(found, ids, "{rest}");
            }
            (Err(error), Err(parts)) => {
                assert_eq!(error.kind(), ErrorKind::Configuration, "{rest}");
                for part in parts {
                    assert!(error.to_string().contains(part), "{rest}: {error}");
                }
            }
            (found, expected) => panic!("{rest}: {:?}, expected {expected:?}", found.err()),
        }
    }

    #[test]
    fn components_can_stand_in_any_order() {
        check(
            "[[operator]]\nid = 'b'\ntype = 'filter'\ninput = 'a'\ncolumn = 'value'\nop = 'is not null'\n\
             [[operator]]\nid = 'a'\ntype = 'project'\ninput = 'in'\ncolumns = ['value']\n\
             [[sink]]\nid = 'out'\ntype = 'blackhole'\ninput = 'b'\n",
            Ok(&["in", "a", "b", "out"]),
        );
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        check(
            "[[operator]]\nid = 'a'\ntype = 'agregate'\ninput = 'in'\n\
             [[operator]]\nid = 'b'\ntype = 'filter'\ninput = 'in'\ncolumn = 'valu'\nop = 'is null'\n\
             [[sink]]\nid = 'out'\ntype = 'blackhole'\ninput = ['a', 'b']\n",
            Err(&[
                "job.toml:11:8: operator a: type: there is no operator of type \"agregate\"",
                "did you mean \"aggregate\"?",
                "job.toml:17:10: operator b: column: unknown column \"valu\"; did you mean \"value\"?",
            ]),
        );
    }

    #[test]
    fn inputs_with_different_columns_cannot_be_read_together() {
        check(
            "[[operator]]\nid = 'a'\ntype = 'project'\ninput = 'in'\ncolumns = ['value']\n\
             [[sink]]\nid = 'out'\ntype = 'blackhole'\ninput = ['in', 'a']\n",
            Err(&["job.toml:17:9: sink out: input: \"a\" and \"in\" do not have the same columns"]),
        );
    }

    #[test]
    fn two_sinks_cannot_share_a_folder() {
        check(
            "[[sink]]\nid = 'one'\ntype = 'file'\ninput = 'in'\npath = 'out'\nformat = 'csv'\n\
             [[sink]]\nid = 'two'\ntype = 'file'\ninput = 'in'\npath = './out/'\nformat = 'csv'\n",
            Err(&["sink two: path: sink \"one\" writes to this folder already"]),
        );
    }
}
