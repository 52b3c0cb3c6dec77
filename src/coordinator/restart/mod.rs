//! What follows a failure: another attempt at the job, and after how long, or its end.

mod restarts;
mod strategy;
#[cfg(test)]
mod tests;

pub use restarts::{AttemptFailure, RestartDecision, Restarts};
pub use strategy::{GivenUp, RestartStrategy};
