//! A transaction that may still have to be written: what a snapshot keeps of it.
//!
//! | size | content |
//! |---|---|
//! | 4 | `FMkt` |
//! | 2 | version of this format: 1 |
//! | 8 | the attempt that sealed it |
//! | 8 | the checkpoint that it belongs to |
//! | 8 | when it was sealed, in milliseconds since the Unix epoch |
//! | 4 | the subtask that the transactional id was made for |
//! | 2, that length | what the transactional id begins with |
//! | 2, that length | the topic that keeps its marker |
//! | 4 | number of records |
//! | the rest | the records |
//!
//! There is no checksum in it: the manifest has that of the operator state in which it stands.

use std::sync::Arc;

use super::byte_reader::{ByteReader, damaged};
use super::record_log::{RecordReader, put_name};
use super::transactional_id::TransactionalId;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;

const MAGIC: [u8; 4] = *b"FMkt";
const VERSION: u16 = 1;

/// What one subtask wrote between two barriers. It becomes one transaction when the checkpoint is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingTransaction {
    /// The id of the producer that is to write it.
    pub(super) id: TransactionalId,
    /// A number that no other attempt at the job has. Two attempts that go on from one checkpoint can use the same
    /// checkpoint id for different records: in another store, or after a start without a checkpoint.
    pub(super) attempt: u64,
    /// The checkpoint whose barrier ended it.
    pub(super) checkpoint: CheckpointId,
    /// When that was, in milliseconds since the Unix epoch.
    pub(super) sealed_unix_millis: i64,
    /// The topic whose first partition its marker is kept for.
    pub(super) marker_topic: String,
    /// How many records it has.
    pub(super) records: u32,
    /// The records. The thread that writes them shares them with the one that snapshots them.
    pub(super) log: Arc<Vec<u8>>,
}

impl PendingTransaction {
    /// The records, in order.
    pub(super) fn reader(&self) -> RecordReader<'_> {
        RecordReader::new(&self.log)
    }

    /// All of it, as it stands in a snapshot.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a name is longer than 65,535 bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.log.len() + 256);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.attempt.to_le_bytes());
        bytes.extend_from_slice(&self.checkpoint.0.to_le_bytes());
        bytes.extend_from_slice(&self.sealed_unix_millis.to_le_bytes());
        bytes.extend_from_slice(&self.id.subtask.to_le_bytes());
        for name in [&self.id.base, &self.marker_topic] {
            put_name(&mut bytes, name).ok_or_else(|| {
                let message = "the transactional id or the topic is longer than Kafka takes";
                Error::new(ErrorKind::Configuration, message)
            })?;
        }
        bytes.extend_from_slice(&self.records.to_le_bytes());
        bytes.extend_from_slice(&self.log);
        Ok(bytes)
    }

    /// What [`PendingTransaction::to_bytes`] made bytes of.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it did not.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = ByteReader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(damaged());
        }
        let version = reader.u16()?;
        if version != VERSION {
            let message = format!(
                "a transaction in the snapshot has the format {version}, and this version knows {VERSION}: use the \
                 version that wrote it"
            );
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let attempt = reader.u64()?;
        let checkpoint = CheckpointId(reader.u64()?);
        let sealed_unix_millis = reader.i64()?;
        let subtask = reader.u32()?;
        let base = reader.name()?.to_owned();
        let marker_topic = reader.name()?.to_owned();
        let records = reader.u32()?;
        let pending = Self {
            id: TransactionalId { base, subtask },
            attempt,
            checkpoint,
            sealed_unix_millis,
            marker_topic,
            records,
            log: Arc::new(reader.rest().to_vec()),
        };
        // Better now than after half of the transaction is written.
        let found = pending
            .reader()
            .try_fold(0_u32, |count, record| record.map(|_| count + 1))?;
        if found == records {
            Ok(pending)
        } else {
            Err(damaged())
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::record_log::{Record, RecordLog};
    use super::*;

    /// A transaction of `subtask` whose records have these values.
    pub(in super::super) fn pending(
        subtask: u32,
        attempt: u64,
        checkpoint: u64,
        values: &[&str],
    ) -> PendingTransaction {
        let mut log = RecordLog::default();
        for value in values {
            let record = Record {
                topic: "topic",
                partition: Some(0),
                timestamp: None,
                key: None,
                value: Some(value.as_bytes()),
                headers: Vec::new(),
            };
            log.push(&record).unwrap();
        }
        PendingTransaction {
            id: TransactionalId {
                base: "base".to_owned(),
                subtask,
            },
            attempt,
            checkpoint: CheckpointId(checkpoint),
            sealed_unix_millis: 0,
            marker_topic: "topic".to_owned(),
            records: log.records(),
            log: Arc::new(log.into_bytes()),
        }
    }

    #[test]
    fn a_transaction_comes_back_from_its_bytes() {
        let pending = pending(3, u64::MAX, 17, &["a", "", "c"]);
        let bytes = pending.to_bytes().unwrap();
        assert_eq!(PendingTransaction::from_bytes(&bytes).unwrap(), pending);
    }

    #[test]
    fn bytes_that_were_cut_or_changed_are_refused() {
        let bytes = pending(3, 1, 17, &["a", "b"]).to_bytes().unwrap();
        for cut in 0..bytes.len() {
            let error = PendingTransaction::from_bytes(&bytes[..cut]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{cut}");
        }
        let mut other = bytes.clone();
        other[0] = b'X';
        let error = PendingTransaction::from_bytes(&other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let mut later = bytes;
        later[4] = 2;
        let error = PendingTransaction::from_bytes(&later).unwrap_err();
        assert!(error.to_string().contains("the format 2"), "{error}");
    }
}
