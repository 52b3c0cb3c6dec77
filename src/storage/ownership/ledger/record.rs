//! One record of a ledger.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::ownership::{MachineMark, OwnerRecord};

/// What a job's ledger says from this record on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// Who owns the job.
    #[serde(flatten)]
    pub owner: OwnerRecord,
    /// On which machine; nothing when the system does not say.
    pub machine: Option<MachineMark>,
    /// No owner, up to this record, may use a higher id.
    pub highest: CheckpointId,
    /// The ids that its owner may use, and those of former owners of which it was not settled yet whether they have a
    /// manifest; without those that a newer complete checkpoint has made worthless.
    pub reserved: Vec<IdRange>,
    /// The checkpoints that were complete when it was written, and not superseded yet, as far as its writer knew.
    pub complete: BTreeSet<CheckpointId>,
    /// Whether the owner has ended, and said so.
    pub ended: bool,
}

/// Ids from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first.
    pub first: CheckpointId,
    /// The last, which belongs to it.
    pub last: CheckpointId,
}

impl IdRange {
    pub(super) fn contains(&self, id: CheckpointId) -> bool {
        (self.first..=self.last).contains(&id)
    }

    pub(super) fn ids(self) -> impl Iterator<Item = CheckpointId> {
        (self.first.0..=self.last.0).map(CheckpointId)
    }
}

impl LedgerRecord {
    pub(super) fn encode(&self) -> Result<Bytes> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Bug, "a record of the ledger cannot be written")
                .with_source(error)
        })?;
        Ok(text.into())
    }

    pub(super) fn decode(path: &str, content: &[u8]) -> Result<Self> {
        serde_json::from_slice(content).map_err(|error| {
            let message = format!("{path} is no record of a job's ledger");
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })
    }
}
