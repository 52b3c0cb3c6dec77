//! The merged engine from end to end: what it does when something goes wrong, as the user of the binary or of the
//! library sees it. Every test has a folder of its own; nothing waits for a time, only for what the job says or does.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod back_pressure;
mod bad_rows;
mod command_line;
mod control;
mod damage;
mod draining;
mod ending;
mod evolution;
mod failures;
#[cfg(feature = "kafka")]
mod kafka_broker;
mod offline;
mod operator_state;
mod ownership;
mod restarts;
mod resume;
mod savepoints;
mod state_figures;
mod state_write;
mod support;
mod time_to_live;
mod timers;
mod waking;
mod wanted;
