//! TOML to a checked job description; errors point at the line.

mod units;

pub use units::{HumanDuration, HumanSize};
