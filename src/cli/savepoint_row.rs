//! A savepoint as the command line lists it.

use serde::Serialize;

use super::checkpoint_row::{CheckpointStatus, serialise_time};
use crate::model::{CheckpointId, EventTime};

/// A savepoint in a list. What cannot be read of one that is damaged is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SavepointRow {
    /// Its folder.
    pub path: String,
    /// The job that it was taken of.
    pub job: Option<String>,
    /// Its id in that job.
    pub id: Option<CheckpointId>,
    /// Whether a job can be started from it.
    pub status: CheckpointStatus,
    /// When its manifest was written. RFC 3339 in JSON.
    #[serde(serialize_with = "serialise_time")]
    pub completed_at: Option<EventTime>,
    /// Bytes of all its objects and its manifest.
    pub bytes: u64,
    /// Why no job can be started from it, if so.
    pub reason: Option<String>,
}
