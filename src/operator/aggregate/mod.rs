//! Running aggregates by key, over the columns of TOML jobs.

mod config;
mod function;
mod groups;
mod number;
mod operator;
mod pass;
mod plan;
mod portion;
mod rows;
mod schema;
mod state;
mod text;

pub use config::{AggregateConfig, Emit};
pub use operator::AggregateOperator;
pub(super) use rows::AggregateRows;

#[cfg(test)]
mod tests;
