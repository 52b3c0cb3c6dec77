//! The run of a job, on a thread of its own, as attempts: each recovers the job and runs its subtasks to their end.

mod assembly;
mod attempt;
mod control;
mod history;
mod outcome;
mod recovery;
mod run;
mod start_from;

pub use control::JobControl;
pub use outcome::JobOutcome;
pub(crate) use run::JobRun;

#[cfg(test)]
mod tests;
