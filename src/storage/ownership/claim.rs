//! Taking a job over: who may, and what is written then.

use super::fence::Fence;
use super::record::OwnerRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{BlobStore, StorageError, StoragePaths};

/// A process that wants a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// Its id.
    pub process: u32,
    /// The present time, in milliseconds since the Unix epoch.
    pub now_unix_millis: i64,
    /// Whether it takes the job even from a process that lives.
    pub takes_over: bool,
}

/// Whether the process that owned a job lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It has ended, one way or another.
    Gone,
    /// It lives, though perhaps it does not move.
    Alive,
    /// It may live, but was not heard of for as long as the lease.
    Silent,
}

/// A job whose record was read and is not written yet. Nobody else may claim the job in the meantime.
#[derive(Debug)]
pub struct Claim {
    blobs: BlobStore,
    paths: StoragePaths,
    found: Option<OwnerRecord>,
}

impl Claim {
    /// Reads who owns the job.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the record cannot be understood, [`ErrorKind::Environment`] when it cannot be read.
    pub async fn begin(blobs: &BlobStore, paths: &StoragePaths) -> Result<Self> {
        Ok(Self {
            found: read(blobs, paths).await?,
            blobs: blobs.clone(),
            paths: paths.clone(),
        })
    }

    /// Who owned the job last.
    pub fn found(&self) -> Option<&OwnerRecord> {
        self.found.as_ref()
    }

    /// The record that makes `claimant` the owner.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the job belongs to somebody else who lives.
    pub fn decide(&self, claimant: &Claimant, holder: Holder) -> Result<OwnerRecord> {
        decide(self.paths.job(), self.found.as_ref(), claimant, holder)
    }

    /// Writes the record. From then on the owner before commits nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when the store refuses. Whether the record was written is open then, so the process
    /// must not go on.
    pub async fn publish(self, record: OwnerRecord) -> Result<Fence> {
        let content = record.encode()?;
        let (path, pending) = (self.paths.owner(), self.paths.pending_owner());
        self.blobs.replace(&path, &pending, content).await?;
        self.blobs.sync_folder(&self.paths.job_folder()).await?;
        Ok(Fence::on_disk(self.blobs, self.paths, record))
    }
}

/// The record that makes `claimant` the owner of `job`, if it may be.
pub(super) fn decide(
    job: &str,
    found: Option<&OwnerRecord>,
    claimant: &Claimant,
    holder: Holder,
) -> Result<OwnerRecord> {
    let generation = found.map_or(0, |found| found.generation) + 1;
    let taken_over_at = match (found, holder) {
        (Some(found), Holder::Alive) if !claimant.takes_over => {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "job \"{job}\" is already running: process {} holds it; if it hangs, kill it, or start with \
                     --take-over",
                    found.process
                ),
            ));
        }
        (Some(_), Holder::Alive | Holder::Silent) => generation,
        (Some(found), Holder::Gone) => found.taken_over_at,
        (None, _) => 0,
    };
    Ok(OwnerRecord {
        generation,
        process: claimant.process,
        since_unix_millis: claimant.now_unix_millis,
        taken_over_at,
    })
}

pub(super) async fn read(blobs: &BlobStore, paths: &StoragePaths) -> Result<Option<OwnerRecord>> {
    let path = paths.owner();
    match blobs.read(&path).await {
        Ok(content) => {
            let shown = blobs.full_path(&path).to_string();
            OwnerRecord::decode(&shown, &content).map(Some)
        }
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
