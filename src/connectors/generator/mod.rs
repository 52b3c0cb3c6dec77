//! Made-up records: each follows from its index alone, so a run can be repeated and resumed.

mod columns;
mod config;
mod key_value;
mod market_signals;
mod mix;
mod pacer;
mod rows;
mod source;

pub use super::splits::SplitRange;
pub use columns::ColumnsGenerator;
pub use config::{GeneratorConfig, GeneratorSchema};
pub use rows::RowsGenerator;
pub use source::{GenerateRows, GeneratorSource};
