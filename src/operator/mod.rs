//! The contracts of sources, operators and sinks, and the built-in operators, one a file.

mod aggregate;
mod column_key;
mod column_value;
mod columns;
mod contract;
mod filter;
mod job_context;
mod key_partitioner;
mod project;
mod row_format;
#[cfg(test)]
mod test_support;
mod typed;

pub use aggregate::{AggregateConfig, AggregateOperator, Emit};
pub use column_key::{EncodedKeys, KeyDecoder, KeyEncoder};
pub use contract::{
    BackgroundWork, Emission, FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output,
    RestoredOperatorState, Sink, Source, SourceStatus,
};
pub use filter::{FilterConfig, FilterOp, FilterOperator};
pub use job_context::JobContext;
pub use key_partitioner::KeyPartitioner;
pub use project::{ProjectColumn, ProjectConfig, ProjectOperator, RenamedColumn};
pub use row_format::RowFormat;
pub use typed::{
    FilterRows, FlatMapRows, KeyedProcess, KeyedReduce, MapBatch, MapRows, ProcessContext,
    ProcessFunction,
};
