//! A job without actors, threads and a clock of its own: whoever holds it decides what happens next.
//!
//! The coordinator, the subtasks, their background work and the committer are those of production. What stands in for
//! the actors is a list of [`Action`]s that are possible at a moment: a subtask takes a step or an order, a letter reaches
//! the coordinator, a background task gets as far as its next step in the store. So every order in which a real job can
//! come to something is one sequence of actions, and the same sequence gives the same run.

mod action;
mod attempt;
mod executor;
mod mail;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod requests;
mod subtask;

#[cfg(test)]
pub(crate) use action::Action;
pub(crate) use action::{Asked, Deed, Upcoming};
pub(crate) use attempt::SteppedAttempt;
#[cfg(test)]
pub(crate) use recovery::{Recovered, SteppedRecovery};
