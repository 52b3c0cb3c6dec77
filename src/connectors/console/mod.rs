//! The console: rows as text on standard output.

mod config;
mod sink;

pub use config::ConsoleConfig;
pub use sink::ConsoleSink;
