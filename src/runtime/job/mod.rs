//! The run of a job, on a thread of its own, as attempts: each recovers the job and runs its subtasks to their end. After
//! a failure the restart strategy decides whether there is another.
//!
//! Nothing outlives its attempt: the actors, the workers and the background threads are ended before the next begins,
//! and state is read from the store again. So an attempt starts where another process would, and what is shown about a
//! killed process holds for it as well.
//!
//! Working segments go with their attempt, even with local recovery: dropping the state that failed removes its files, and
//! what made it fail may stand in them. A killed process has dropped nothing, and was not at fault.

mod assembly;
mod attempt;
mod background_runtime;
mod cancellation;
mod claim;
mod control;
mod heart;
mod history;
mod outcome;
mod recovery;
mod run;
mod start_from;

pub(crate) use claim::JobClaim;
pub use control::JobControl;
pub use outcome::JobOutcome;
#[cfg(any(test, feature = "testing"))]
pub(crate) use recovery::UsedIds;
pub(crate) use run::JobRun;

#[cfg(test)]
mod tests;
