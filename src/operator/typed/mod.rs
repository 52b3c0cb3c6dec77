//! Operators of typed Rust jobs: closures over rows.

mod filter_rows;
mod flat_map_rows;
mod keyed_process;
mod keyed_reduce;
mod map_batch;
mod map_rows;
mod process_function;

pub use filter_rows::FilterRows;
pub use flat_map_rows::FlatMapRows;
pub use keyed_process::KeyedProcess;
pub use keyed_reduce::KeyedReduce;
pub use map_batch::MapBatch;
pub use map_rows::MapRows;
pub use process_function::{ProcessContext, ProcessFunction};

#[cfg(test)]
mod tests;
