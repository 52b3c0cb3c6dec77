//! The record of checkpoints as a file: one JSON object, for the next process and for lists.

use serde::{Deserialize, Serialize};

use super::checkpoint_report::CheckpointReport;
use super::checkpoint_statistics::{CheckpointCounts, CheckpointStatistics};
use crate::error::{Error, ErrorKind, Result};

/// A file that is larger was not written by this version: it is not read.
pub const HISTORY_BYTES_MAX: u64 = 64 << 20;

const FORMAT_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct StoredHistory<R> {
    format_version: u32,
    counts: CheckpointCounts,
    /// Oldest first.
    checkpoints: R,
}

/// The counts, and the checkpoints whose outcome is known, as they are kept in a file.
///
/// # Errors
/// [`ErrorKind::Bug`] when it cannot be written as JSON.
pub fn encode_history(statistics: &CheckpointStatistics) -> Result<Vec<u8>> {
    let decided = statistics.reports();
    let checkpoints: Vec<&CheckpointReport> =
        decided.filter(|report| !report.is_in_progress()).collect();
    let history = StoredHistory {
        format_version: FORMAT_VERSION,
        counts: statistics.counts(),
        checkpoints,
    };
    serde_json::to_vec(&history)
        .map_err(|error| Error::new(ErrorKind::Bug, "write the history").with_source(error))
}

/// Reads what [`encode_history`] wrote.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when it is damaged or of another version.
pub fn decode_history(bytes: &[u8]) -> Result<(CheckpointCounts, Vec<CheckpointReport>)> {
    let damaged = |message: String| Error::new(ErrorKind::Corrupt, message);
    let history: StoredHistory<Vec<CheckpointReport>> =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if history.format_version != FORMAT_VERSION {
        return Err(damaged(format!(
            "format version {} is not known, this version reads {FORMAT_VERSION}",
            history.format_version
        )));
    }
    let checkpoints = history.checkpoints;
    if let Some(open) = checkpoints.iter().find(|report| report.is_in_progress()) {
        return Err(damaged(format!("checkpoint {} has no outcome", open.id)));
    }
    Ok((history.counts, checkpoints))
}
