//! The contracts of sources, operators and sinks, and the built-in operators, one a file.

mod contract;

pub use contract::{
    BackgroundWork, Emission, FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output,
    RestoredOperatorState, Sink, Source, SourceStatus,
};
