//! A checkpoint in a few figures, for lists.

use super::damage::Damage;
use super::manifest::{Manifest, SnapshotKind};
use crate::model::{CheckpointId, OperatorId};

/// A checkpoint that has a folder in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCheckpoint {
    /// Its id.
    pub checkpoint: CheckpointId,
    /// What it holds, or why it cannot be used.
    pub summary: Result<CheckpointSummary, Damage>,
}

/// A checkpoint in a few figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointSummary {
    /// Its kind.
    pub kind: SnapshotKind,
    /// When it was triggered, in milliseconds since the Unix epoch.
    pub triggered_unix_millis: i64,
    /// When the last subtask had acknowledged it, in milliseconds since the Unix epoch.
    pub completed_unix_millis: i64,
    /// Whether all operators had worked off all input.
    pub finished: bool,
    /// The size of the manifest in bytes.
    pub manifest_bytes: u64,
    /// How many bytes of state it added to the store.
    pub uploaded_bytes: u64,
    /// How many bytes of state it refers to, whichever checkpoint wrote them.
    pub referred_bytes: u64,
    /// The operators in it.
    pub operators: Vec<OperatorId>,
}

impl CheckpointSummary {
    /// The figures of a checkpoint whose manifest has `manifest_bytes` bytes.
    pub fn of(manifest: &Manifest, manifest_bytes: u64) -> Self {
        Self {
            kind: manifest.kind,
            triggered_unix_millis: manifest.triggered_unix_millis,
            completed_unix_millis: manifest.completed_unix_millis,
            finished: manifest.finished,
            manifest_bytes,
            uploaded_bytes: manifest.uploaded_bytes,
            referred_bytes: manifest.referred_bytes(),
            operators: manifest.operators.keys().cloned().collect(),
        }
    }
}
