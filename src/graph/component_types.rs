//! The `type`s that a job file can name, and how each is made of its options.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};

use crate::config::ComponentSection;
use crate::connectors::{
    BlackholeConfig, BlackholeSink, ConsoleConfig, ConsoleSink, FileList, FileSink, FileSinkConfig,
    FileSource, FileSourceConfig, GeneratorConfig, RowCount, StoredFileSink,
};
#[cfg(feature = "kafka")]
use crate::connectors::{KafkaSink, KafkaSinkConfig, KafkaSource, KafkaSourceConfig, SourcePeers};
use crate::error::Result;
use crate::operator::{
    AggregateConfig, AggregateOperator, FilterConfig, FilterOperator, Operator, ProjectConfig,
    ProjectOperator, Sink,
};

use super::job_graph::{Component, Factory};

/// A component made of its options.
pub(super) struct Built {
    pub(super) component: Component,
    /// The columns that it emits; nothing for a sink.
    pub(super) output: Option<SchemaRef>,
    /// The columns that its input must be partitioned by, if it keeps keyed state.
    pub(super) key: Option<Vec<String>>,
    /// The folder that must belong to it alone, if it writes to one.
    pub(super) folder: Option<PathBuf>,
}

/// Makes the source that a section describes.
pub(super) fn build_source(section: &ComponentSection) -> Result<Built> {
    let options = &section.options;
    let (component, schema) = match section.kind.as_str() {
        "file" => {
            let config: FileSourceConfig = options.parse()?;
            let schema = config.schema()?;
            let files = FileList::find(&config)?;
            let make = move || Ok(Box::new(FileSource::new(config.clone(), files.clone())?) as _);
            (Component::Source(Arc::new(make)), schema)
        }
        "generator" => {
            let config: GeneratorConfig = options.parse()?;
            let schema = config.schema()?;
            let make = move || Ok(Box::new(config.source()?) as _);
            (Component::Source(Arc::new(make)), schema)
        }
        #[cfg(feature = "kafka")]
        "kafka" => {
            let config: KafkaSourceConfig = options.parse()?;
            let schema = config.schema()?;
            let peers = SourcePeers::default();
            let make = move || {
                let source = KafkaSource::new(config.clone(), peers.clone())?;
                Ok(Box::new(source) as _)
            };
            (Component::Source(Arc::new(make)), schema)
        }
        #[cfg(not(feature = "kafka"))]
        "kafka" => return Err(section.missing_feature("kafka")),
        _ => return Err(section.unknown_type(&["file", "generator", "kafka"])),
    };
    Ok(Built {
        component,
        output: Some(schema),
        key: None,
        folder: None,
    })
}

/// Makes the operator that a section describes, for input with these columns.
pub(super) fn build_operator(section: &ComponentSection, input: SchemaRef) -> Result<Built> {
    let options = &section.options;
    // Each is made once here, so that what is wrong with its options is found before the job starts.
    match section.kind.as_str() {
        "aggregate" => {
            let config: AggregateConfig = options.parse()?;
            let schema = config.output_schema(&input)?;
            let key = Some(config.key.clone());
            let make = move || Ok(Box::new(AggregateOperator::new(&config, &input)?) as _);
            Ok(operator(Arc::new(make), schema, key))
        }
        "filter" => {
            let config: FilterConfig = options.parse()?;
            FilterOperator::new(&config, &input)?;
            let schema = Arc::clone(&input);
            let make = move || Ok(Box::new(FilterOperator::new(&config, &input)?) as _);
            Ok(operator(Arc::new(make), schema, None))
        }
        "project" => {
            let config: ProjectConfig = options.parse()?;
            let schema = config.output_schema(&input)?;
            let make = move || Ok(Box::new(ProjectOperator::new(&config, &input)?) as _);
            Ok(operator(Arc::new(make), schema, None))
        }
        _ => Err(section.unknown_type(&["aggregate", "filter", "project"])),
    }
}

fn operator(make: Factory<dyn Operator>, schema: SchemaRef, key: Option<Vec<String>>) -> Built {
    Built {
        component: Component::Operator(make),
        output: Some(schema),
        key,
        folder: None,
    }
}

/// The types of sinks.
#[cfg(feature = "kafka")]
const SINKS: [&str; 4] = ["blackhole", "console", "file", "kafka"];
#[cfg(not(feature = "kafka"))]
const SINKS: [&str; 3] = ["blackhole", "console", "file"];

/// Makes the sink that a section describes.
#[cfg_attr(
    not(feature = "kafka"),
    expect(unused_variables, reason = "only a topic depends on the columns")
)]
pub(super) fn build_sink(section: &ComponentSection, input: &Schema) -> Result<Built> {
    let options = &section.options;
    let mut folder = None;
    let make: Factory<dyn Sink> = match section.kind.as_str() {
        "blackhole" => {
            let BlackholeConfig {} = options.parse()?;
            let count = RowCount::default();
            Arc::new(move || Ok(Box::new(BlackholeSink::new(count.clone())) as _))
        }
        "console" => {
            let config: ConsoleConfig = options.parse()?;
            Arc::new(move || Ok(Box::new(ConsoleSink::stdout(config.clone())) as _))
        }
        "file" => {
            let config: FileSinkConfig = options.parse()?;
            folder = Some(config.path.clone());
            match config.location()? {
                Some(location) => Arc::new(move || {
                    Ok(Box::new(StoredFileSink::new(config.clone(), location.clone())) as _)
                }),
                None => Arc::new(move || Ok(Box::new(FileSink::new(config.clone())) as _)),
            }
        }
        #[cfg(feature = "kafka")]
        "kafka" => {
            let config: KafkaSinkConfig = options.parse()?;
            KafkaSink::new(config.clone())?.check_columns(input)?;
            Arc::new(move || Ok(Box::new(KafkaSink::new(config.clone())?) as _))
        }
        _ => return Err(section.unknown_type(&SINKS)),
    };
    Ok(Built {
        component: Component::Sink(make),
        output: None,
        key: None,
        folder,
    })
}
