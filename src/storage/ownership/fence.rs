//! What an owner looks at before it commits.

use super::claim::read;
use super::record::OwnerRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{BlobStore, StoragePaths};

/// The owner's word that it is the owner: to be looked up before each commit.
#[derive(Clone, Debug)]
pub struct Fence {
    blobs: BlobStore,
    paths: StoragePaths,
    record: OwnerRecord,
}

impl Fence {
    pub(super) fn new(blobs: BlobStore, paths: StoragePaths, record: OwnerRecord) -> Self {
        Self {
            blobs,
            paths,
            record,
        }
    }

    /// What this process has written.
    pub fn record(&self) -> &OwnerRecord {
        &self.record
    }

    /// Looks whether this process still owns the job.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`], with the new owner, when it does not; [`ErrorKind::Environment`] when the store does not
    /// say, in which case nothing may be committed either.
    pub async fn check(&self) -> Result<()> {
        let found = read(&self.blobs, &self.paths).await?;
        let own = &self.record;
        match found {
            Some(found) if found == *own => Ok(()),
            Some(found) => Err(self.lost(&format!(
                "process {} has taken it over, with generation {}",
                found.process, found.generation
            ))),
            None => Err(self.lost("its owner.json is gone")),
        }
    }

    fn lost(&self, how: &str) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "job \"{}\" does not belong to this process any more: {how}; this process, with generation {}, commits \
                 nothing more and ends",
                self.paths.job(),
                self.record.generation
            ),
        )
    }
}
