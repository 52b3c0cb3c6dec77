//! A job's life on a disk on which the plug is pulled, or on which steps fail, at every step there is.
//!
//! The job is made up: its subtasks hold a few numbers, and what they seal is text. All else is what production runs,
//! down to the blob store: writers, commits, retention, removal, recovery and sweep, called in the order in which the
//! runtime calls them. A `ledger` knows what must be found afterwards.

mod failing_steps;
mod job;
mod ledger;
mod life;
mod power_cuts;
mod subtask;
