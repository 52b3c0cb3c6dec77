//! What an owner looks at before it commits.

use std::sync::Arc;

use super::claim::read;
use super::ledger::Ledger;
use super::record::OwnerRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::{BlobStore, StoragePaths};

/// The owner's word that it is the owner: to be looked up before each commit.
#[derive(Clone, Debug)]
pub struct Fence(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// The job's record is a file, which whoever takes the job over replaces.
    Disk(Box<OwnerFile>),
    /// It is the newest of a ledger.
    Bucket(Arc<Ledger>),
}

/// The record of a job on a disk, as this process has written it.
#[derive(Clone, Debug)]
struct OwnerFile {
    blobs: BlobStore,
    paths: StoragePaths,
    record: OwnerRecord,
}

impl Fence {
    pub(super) fn on_disk(blobs: BlobStore, paths: StoragePaths, record: OwnerRecord) -> Self {
        Self(Kind::Disk(Box::new(OwnerFile {
            blobs,
            paths,
            record,
        })))
    }

    pub(super) fn in_bucket(ledger: Arc<Ledger>) -> Self {
        Self(Kind::Bucket(ledger))
    }

    /// What this process has written.
    pub fn record(&self) -> &OwnerRecord {
        match &self.0 {
            Kind::Disk(file) => &file.record,
            Kind::Bucket(ledger) => ledger.owner(),
        }
    }

    /// The job's ledger, if its checkpoints lie in a bucket.
    pub fn ledger(&self) -> Option<&Ledger> {
        match &self.0 {
            Kind::Disk(_) => None,
            Kind::Bucket(ledger) => Some(ledger),
        }
    }

    /// Looks whether this process still owns the job.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`], with the new owner, when it does not; [`ErrorKind::Environment`] when the store does not
    /// say, in which case nothing may be committed either.
    pub async fn check(&self) -> Result<()> {
        let file = match &self.0 {
            Kind::Bucket(ledger) => return ledger.check().await,
            Kind::Disk(file) => file,
        };
        let lost = |how: &str| lost(file.paths.job(), file.record.generation, how);
        match read(&file.blobs, &file.paths).await? {
            Some(found) if found == file.record => Ok(()),
            Some(found) => Err(lost(&format!(
                "process {} has taken it over, with generation {}",
                found.process, found.generation
            ))),
            None => Err(lost("its owner.json is gone")),
        }
    }

    /// Looks whether this process still owns the job, and sees to it that a checkpoint may have this id.
    ///
    /// # Errors
    /// As for [`Fence::check`].
    pub async fn begin(&self, checkpoint: CheckpointId) -> Result<()> {
        match &self.0 {
            Kind::Disk(_) => self.check().await,
            Kind::Bucket(ledger) => ledger.begin(checkpoint).await,
        }
    }
}

/// The error of an owner that is not the owner any more.
pub(super) fn lost(job: &str, generation: u64, how: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "job \"{job}\" does not belong to this process any more: {how}; this process, with generation {generation}, \
             commits nothing more and ends"
        ),
    )
}
