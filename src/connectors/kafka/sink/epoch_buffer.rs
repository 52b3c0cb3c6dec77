//! What a sink subtask holds in memory: the records since the last barrier, and the transactions before it that are not
//! settled.

use std::sync::Arc;

use super::pending_transaction::PendingTransaction;
use super::record_log::{Record, RecordLog};
use super::transactional_id::TransactionalId;
use crate::error::Result;
use crate::model::CheckpointId;

/// The records of one sink subtask that nobody outside has seen yet.
///
/// Its bytes are bounded. Records of a checkpoint that is not complete can only be got rid of by a checkpoint, so that is
/// wanted when half of the room is taken, and a barrier that is on its way may always come. Those of complete checkpoints
/// leave when the broker has taken them; when they alone take all the room, nothing comes in any more, barriers included:
/// the broker has been away for so long that the job has to wait for it.
#[derive(Debug)]
pub(super) struct EpochBuffer {
    id: TransactionalId,
    attempt: u64,
    marker_topic: String,
    bytes_max: usize,
    open: RecordLog,
    transactions: Vec<Sealed>,
}

/// A transaction that is not known to be settled.
#[derive(Debug)]
struct Sealed {
    pending: Arc<PendingTransaction>,
    /// Whether its checkpoint is complete, so that it is to be committed.
    is_complete: bool,
}

impl EpochBuffer {
    /// An empty buffer of at most about `bytes_max` bytes.
    pub(super) fn new(
        id: TransactionalId,
        attempt: u64,
        marker_topic: String,
        bytes_max: usize,
    ) -> Self {
        Self {
            id,
            attempt,
            marker_topic,
            bytes_max,
            open: RecordLog::default(),
            transactions: Vec::new(),
        }
    }

    /// Takes over a transaction of the snapshot that the job goes on from. It is being settled already.
    pub(super) fn restore(&mut self, pending: PendingTransaction) {
        self.transactions.push(Sealed {
            pending: Arc::new(pending),
            is_complete: true,
        });
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it is too long for Kafka.
    pub(super) fn push(&mut self, record: &Record<'_>) -> Result<()> {
        self.open.push(record)
    }

    /// The barrier: what has come since the last one is a transaction.
    pub(super) fn seal(&mut self, checkpoint: CheckpointId, unix_millis: i64) {
        let open = std::mem::take(&mut self.open);
        if open.records() == 0 {
            return;
        }
        self.transactions.push(Sealed {
            pending: Arc::new(PendingTransaction {
                id: self.id.clone(),
                attempt: self.attempt,
                checkpoint,
                sealed_unix_millis: unix_millis,
                marker_topic: self.marker_topic.clone(),
                records: open.records(),
                log: Arc::new(open.into_bytes()),
            }),
            is_complete: false,
        });
    }

    /// The checkpoint is complete: gives the transactions that are to be committed now, in order.
    pub(super) fn complete(&mut self, checkpoint: CheckpointId) -> Vec<Arc<PendingTransaction>> {
        let covered = self
            .transactions
            .iter_mut()
            .filter(|sealed| !sealed.is_complete && sealed.pending.checkpoint <= checkpoint);
        let submit = |sealed: &mut Sealed| {
            sealed.is_complete = true;
            Arc::clone(&sealed.pending)
        };
        covered.map(submit).collect()
    }

    /// These need not be in a snapshot any more.
    pub(super) fn settled(&mut self, settled: &[Arc<PendingTransaction>]) {
        let is_settled = |sealed: &Sealed| settled.contains(&sealed.pending);
        self.transactions.retain(|sealed| !is_settled(sealed));
    }

    /// All transactions, as they stand in a snapshot.
    ///
    /// # Errors
    /// When a name is too long for Kafka.
    pub(super) fn items(&self) -> Result<Vec<Vec<u8>>> {
        let sealed = self.transactions.iter();
        sealed.map(|sealed| sealed.pending.to_bytes()).collect()
    }

    /// Whether records may come; with `awaits_barrier`, those that a barrier waits behind.
    pub(super) fn has_room(&self, awaits_barrier: bool) -> bool {
        let committing = self.committing_bytes();
        let all = committing + self.waiting_bytes();
        committing < self.bytes_max && (awaits_barrier || all < self.bytes_max)
    }

    /// Whether so much waits for a checkpoint that one should be taken.
    pub(super) fn wants_checkpoint(&self) -> bool {
        let waiting = self.waiting_bytes();
        waiting > 0 && waiting >= self.bytes_max / 2
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.committing_bytes() + self.waiting_bytes()
    }

    /// What waits for the broker.
    fn committing_bytes(&self) -> usize {
        self.sealed_bytes(true)
    }

    /// What waits for a checkpoint.
    fn waiting_bytes(&self) -> usize {
        self.open.len() + self.sealed_bytes(false)
    }

    fn sealed_bytes(&self, is_complete: bool) -> usize {
        let sealed = self.transactions.iter();
        let counted = sealed.filter(|sealed| sealed.is_complete == is_complete);
        counted.map(|sealed| sealed.pending.log.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 1000;

    fn buffer() -> EpochBuffer {
        let id = TransactionalId {
            base: "base".to_owned(),
            subtask: 0,
        };
        EpochBuffer::new(id, 7, "topic".to_owned(), BYTES_MAX)
    }

    fn push(buffer: &mut EpochBuffer, bytes: usize) {
        let value = vec![b'x'; bytes];
        let record = Record {
            topic: "topic",
            partition: None,
            timestamp: None,
            key: None,
            value: Some(&value),
            headers: Vec::new(),
        };
        buffer.push(&record).unwrap();
    }

    fn checkpoints(transactions: &[Arc<PendingTransaction>]) -> Vec<u64> {
        transactions
            .iter()
            .map(|pending| pending.checkpoint.0)
            .collect()
    }

    #[test]
    fn a_transaction_is_in_every_snapshot_until_it_is_settled_and_is_committed_once() {
        let mut buffer = buffer();
        push(&mut buffer, 1);
        buffer.seal(CheckpointId(1), 0);
        // Nothing came between these two.
        buffer.seal(CheckpointId(2), 0);
        push(&mut buffer, 1);
        buffer.seal(CheckpointId(3), 0);
        assert_eq!(buffer.items().unwrap().len(), 2);
        // Checkpoint 1 was given up, and is covered by 2.
        let first = buffer.complete(CheckpointId(2));
        assert_eq!(checkpoints(&first), [1]);
        assert_eq!(checkpoints(&buffer.complete(CheckpointId(3))), [3]);
        assert!(buffer.complete(CheckpointId(3)).is_empty());
        assert_eq!(buffer.items().unwrap().len(), 2);
        buffer.settled(&first);
        assert_eq!(buffer.items().unwrap().len(), 1);
    }

    #[test]
    fn a_full_buffer_wants_a_checkpoint_and_lets_its_barrier_come() {
        let mut buffer = buffer();
        assert!(buffer.has_room(false) && !buffer.wants_checkpoint());
        push(&mut buffer, BYTES_MAX / 2);
        assert!(buffer.has_room(false) && buffer.wants_checkpoint());
        push(&mut buffer, BYTES_MAX / 2);
        assert!(!buffer.has_room(false) && buffer.wants_checkpoint());
        assert!(buffer.has_room(true));
        // A checkpoint that is given up changes nothing: the next one is wanted.
        buffer.seal(CheckpointId(1), 0);
        assert!(!buffer.has_room(false) && buffer.wants_checkpoint());
        assert!(buffer.has_room(true));
    }

    #[test]
    fn when_the_broker_has_too_much_to_take_no_barrier_comes_either() {
        let mut buffer = buffer();
        push(&mut buffer, BYTES_MAX);
        buffer.seal(CheckpointId(1), 0);
        let committing = buffer.complete(CheckpointId(1));
        assert!(!buffer.has_room(false) && !buffer.has_room(true));
        assert!(!buffer.wants_checkpoint());
        buffer.settled(&committing);
        assert!(buffer.has_room(false));
        assert_eq!(buffer.bytes(), 0);
    }
}
