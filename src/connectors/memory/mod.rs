//! Memory: rows from a vector and into one, for tests and for whoever embeds the engine.

mod output;
mod sink;
mod source;

pub use output::MemoryOutput;
pub use sink::MemorySink;
pub use source::MemorySource;
