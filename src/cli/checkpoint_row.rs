//! A checkpoint as the command line shows it.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::state_rows::StateRow;
use crate::model::{CheckpointId, EventTime, OperatorId};
use crate::snapshot::SnapshotKind;

/// A checkpoint in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct CheckpointRow {
    /// Its id.
    pub id: CheckpointId,
    /// Whether it can be restored from.
    pub status: CheckpointStatus,
    /// What kind of snapshot it is.
    pub kind: SnapshotKind,
    /// When its manifest was written; nothing when that cannot be read. RFC 3339 in JSON.
    #[serde(serialize_with = "serialise_time")]
    pub completed_at: Option<EventTime>,
    /// From its trigger to the last subtask's acknowledgement. Milliseconds in JSON.
    #[serde(rename = "duration_millis", serialize_with = "serialise_millis")]
    pub duration: Option<Duration>,
    /// Bytes that it wrote to the store.
    pub bytes: u64,
    /// Bytes of everything that it refers to: what a restore reads.
    pub full_bytes: u64,
    /// Why it cannot be restored from, if so.
    pub reason: Option<String>,
}

/// Whether a checkpoint can be restored from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckpointStatus {
    /// It can.
    Completed,
    /// It cannot: something of it is missing or altered.
    Damaged,
}

/// A checkpoint and all its pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct CheckpointDetail {
    /// What the list shows as well.
    #[serde(flatten)]
    pub row: CheckpointRow,
    /// The job's name.
    pub job: String,
    /// The parallelism it was taken with.
    pub parallelism: usize,
    /// The number of key groups.
    pub max_parallelism: u16,
    /// The keyed states, by operator and name.
    pub states: Vec<StateRow>,
    /// Everything that a restore reads, in the order of the manifest.
    pub pieces: Vec<PieceRow>,
}

/// A piece of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PieceRow {
    /// Whose state it holds.
    pub operator: OperatorId,
    /// Which parallel instance wrote it, from 0.
    pub subtask: usize,
    /// What it is: `list` for an item of a connector, the kind and name of an operator state such as `broadcast rules`,
    /// or `base of` or `delta of` a keyed state.
    pub kind: String,
    /// The first key group in it and the one after the last; nothing for operator state.
    pub key_groups: Option<(u16, u16)>,
    /// The object in the store that holds it; nothing for what the manifest itself holds.
    pub object: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
}

impl CheckpointStatus {
    /// The status as a word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Damaged => "damaged",
        }
    }
}

/// Writes a time in RFC 3339.
pub(super) fn serialise_time<S: Serializer>(
    time: &Option<EventTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

fn serialise_millis<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&(duration.as_secs_f64() * 1000.0)),
        None => serializer.serialize_none(),
    }
}
