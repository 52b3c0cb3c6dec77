//! What became of the last checkpoints, for whoever watches the job: over REST, in lists, and after a restart.
//!
//! It goes on through restarts, says how long each part took in each subtask, and is kept in a file.

mod checkpoint_report;
mod checkpoint_statistics;
mod distribution;
mod stored;
#[cfg(test)]
mod tests;

pub use checkpoint_report::{
    CheckpointFailure, CheckpointReport, CheckpointState, CompletedFigures, SubtaskReport,
};
pub use checkpoint_statistics::{CheckpointCounts, CheckpointStatistics, RestoreReport};
pub use distribution::Distribution;
pub use stored::{HISTORY_BYTES_MAX, decode_history, encode_history};
