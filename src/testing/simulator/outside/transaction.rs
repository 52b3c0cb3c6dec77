//! Transactions, and what they can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::operators::Record;
use crate::model::CheckpointId;

/// One transaction: of which sink, for which checkpoint, by which subtask of which attempt at the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct TransactionId {
    pub(super) sink: usize,
    pub(super) checkpoint: CheckpointId,
    pub(super) subtask: usize,
    pub(super) attempt: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) rows: Arc<[Record]>,
    pub(super) status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Safe, and visible to nobody.
    Prepared,
    /// The same, by a process that somebody had taken the job from: never to be seen.
    PreparedTooLate,
    Committed,
    Aborted,
}

/// All transactions of all sinks.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Transactions(pub(super) BTreeMap<TransactionId, Transaction>);

impl Transactions {
    /// As they would be if nothing had come after the barrier of `checkpoint`.
    pub(super) fn up_to(mut self, checkpoint: CheckpointId) -> Self {
        for (id, transaction) in &mut self.0 {
            if id.checkpoint > checkpoint {
                transaction.status = Status::Aborted;
            }
        }
        self
    }

    /// All that anybody sees.
    pub(super) fn committed(&self) -> impl Iterator<Item = (usize, Record)> {
        let committed = self
            .0
            .iter()
            .filter(|(_, transaction)| transaction.status == Status::Committed);
        committed.flat_map(|(id, transaction)| {
            let rows = transaction.rows.iter();
            rows.map(|record| (id.sink, *record))
        })
    }

    /// Whether a process that restores the job still has to decide about it.
    pub(super) fn is_open(status: Status) -> bool {
        matches!(status, Status::Prepared | Status::PreparedTooLate)
    }
}
