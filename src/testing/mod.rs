//! A harness for tests of jobs and of single operators, all of it deterministic.
//!
//! A [`JobHarness`] runs a whole job without actors, threads and a clock of its own, on a store in memory. It takes a
//! checkpoint, crashes, or goes on from a checkpoint, at another parallelism too, when the test says so, and a seed
//! decides the order of everything else. An [`OperatorHarness`] does the same for one operator.
//!
//! ```
//! use floodmark::graph::StreamBuilder;
//! use floodmark::testing::{JobHarness, RowsIn, collect};
//!
//! let (job, numbers) = (StreamBuilder::new("sums"), RowsIn::<u64>::new());
//! let running_sums = numbers.add_to(&job, "numbers").key_by(|number| number % 2).reduce(
//!     "sums",
//!     |_| 0_u64,
//!     |number, mut sum| {
//!         *sum = (sum.to_native() + number).into();
//!         sum.to_native()
//!     },
//! );
//! let sums = collect(&running_sums, "out");
//!
//! let mut harness = JobHarness::new(job.build()?)?;
//! harness.start()?;
//! numbers.push([1, 3, 5]);
//! harness.checkpoint()?;
//! numbers.push([7]);
//! harness.run_until_idle()?;
//! harness.crash();
//! harness.restore_at(2)?;
//! numbers.finish();
//! harness.run_to_end()?;
//! assert_eq!(sums.rows(), [1, 4, 9, 16]);
//! # Ok::<(), floodmark::error::Error>(())
//! ```
//!
//! # What is simulated, and what is not
//!
//! The coordinator, the alignment of barriers, chains, state, the writer of snapshots, manifests, recovery, retention and
//! restores are those that run in production. In place of the actors, a scheduler draws what happens next from all that
//! could. In place of the disk stands one in memory, which can lose what was not synced, and fail at a [`FaultPoint`].
//! A process of its own can die at the points of its store with [`crate::engine::Engine::start_observed`].
//! What an operator does outside, to files or a network, is as real as ever.
//!
//! The module is behind the feature `testing`, which is on unless a dependent says `default-features = false`.

mod fault_point;
#[cfg(test)]
mod finished_tests;
mod job_harness;
mod operator_harness;
mod rows;
#[cfg(test)]
mod simulator;
mod stepped_run;
#[cfg(test)]
mod tests;

pub use crate::model::ManualClock;
pub use fault_point::FaultPoint;
pub use job_harness::JobHarness;
pub use operator_harness::OperatorHarness;
pub use rows::{RowsIn, collect};
