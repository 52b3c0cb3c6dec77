//! The records of a ledger, as they lie in the bucket.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::record::LedgerRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::ownership::{Claimant, Holder, MachineMark, decide};
use crate::storage::{BlobStore, StorageError, StoragePaths};

/// The ledger of one job in its bucket.
#[derive(Clone, Debug)]
pub(in crate::storage) struct LedgerLog {
    blobs: BlobStore,
    paths: StoragePaths,
}

/// Where the newest record was not long ago.
#[derive(Serialize, Deserialize)]
struct Hint {
    newest: u64,
}

impl LedgerLog {
    pub(in crate::storage) fn new(blobs: &BlobStore, paths: &StoragePaths) -> Self {
        Self {
            blobs: blobs.clone(),
            paths: paths.clone(),
        }
    }

    pub(super) fn job(&self) -> &str {
        self.paths.job()
    }

    /// The newest record with its number; nothing when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when the store does not answer, [`ErrorKind::Corrupt`] when what it shows is no record.
    pub(in crate::storage) async fn newest(&self) -> Result<Option<(u64, LedgerRecord)>> {
        let hint = self.hint().await?;
        let mut newest = match hint {
            0 => 0,
            hint if self.has(hint).await? => hint,
            // Somebody has cleared the folder, all but the hint.
            _ => 0,
        };
        let mut step = 1;
        while self.has(newest + step).await? {
            newest += step;
            step *= 2;
        }
        while step > 1 {
            step /= 2;
            if self.has(newest + step).await? {
                newest += step;
            }
        }
        match newest {
            0 => Ok(None),
            number => self
                .record(number)
                .await
                .map(|record| Some((number, record))),
        }
    }

    /// Whether there is a record of this number.
    pub(super) async fn has(&self, number: u64) -> Result<bool> {
        match self.blobs.length(&self.paths.ledger_record(number)).await {
            Ok(_) => Ok(true),
            Err(StorageError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The record of this number, which must be there.
    pub(super) async fn record(&self, number: u64) -> Result<LedgerRecord> {
        let path = self.paths.ledger_record(number);
        let content = self.blobs.read(&path).await?;
        LedgerRecord::decode(&self.blobs.full_path(&path).to_string(), &content)
    }

    /// Writes the record of this number, if there is none.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] when there is one.
    pub(super) async fn append(&self, number: u64, content: Bytes) -> Result<(), StorageError> {
        let path = self.paths.ledger_record(number);
        self.blobs.create(&path, content).await?;
        let hint = serde_json::to_vec(&Hint { newest: number }).unwrap_or_default();
        // The next who looks for the newest record looks a little longer.
        if let Err(error) = self.write_hint(hint.into()).await {
            warn!(%error, "the hint at the newest record of the ledger could not be written");
        }
        Ok(())
    }

    async fn write_hint(&self, hint: Bytes) -> Result<(), StorageError> {
        let (path, pending) = (self.paths.owner(), self.paths.pending_owner());
        self.blobs.replace(&path, &pending, hint).await
    }

    /// What the hint says; 0 when there is none, or it makes no sense.
    async fn hint(&self) -> Result<u64> {
        match self.blobs.read(&self.paths.owner()).await {
            Ok(content) => {
                let hint = serde_json::from_slice(&content);
                Ok(hint.map_or(0, |hint: Hint| hint.newest))
            }
            Err(StorageError::NotFound { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Claims the job: writes the record after `found`, the newest. Gives its number, and what it says.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the job belongs to somebody else who lives, or another process has just claimed it.
    pub(in crate::storage) async fn claim(
        &self,
        found: Option<(u64, LedgerRecord)>,
        claimant: &Claimant,
        machine: Option<MachineMark>,
        holder: Holder,
    ) -> Result<(u64, LedgerRecord)> {
        let (number, found) = found.unzip();
        let former = found.as_ref().map(|found| &found.owner);
        let record = LedgerRecord {
            owner: decide(self.job(), former, claimant, holder)?,
            machine,
            highest: found
                .as_ref()
                .map_or(CheckpointId(0), |found| found.highest),
            reserved: found
                .as_ref()
                .map_or_else(Vec::new, |found| found.reserved.clone()),
            complete: found.map_or_else(BTreeSet::new, |found| found.complete),
            ended: false,
        };
        let number = number.unwrap_or(0) + 1;
        match self.append(number, record.encode()?).await {
            Ok(()) => Ok((number, record)),
            Err(StorageError::AlreadyExists { .. }) => {
                let other = self.record(number).await?.owner;
                Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "job \"{}\" is just being started by another process, {}",
                        self.job(),
                        other.process
                    ),
                ))
            }
            Err(error) => Err(error.into()),
        }
    }
}
