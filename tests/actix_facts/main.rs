//! What actix does when a mailbox floods, when a handler panics and when an actor ends.
//!
//! The runtime rests on these facts, and actix does not promise them all: when an upgrade changes one, the test here
//! names it before a job shows it. Everything runs on one thread unless a test starts an arbiter, so the order of
//! events is fixed; no test waits for time to pass except the one about a timer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod end;
mod failure;
mod fairness;
mod mailbox;
mod probe;
