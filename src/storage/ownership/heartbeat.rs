//! Whether the owner of a job whose checkpoints lie in a bucket lives, as far as another machine can see.
//!
//! The owner writes a *heartbeat*, an object that is another one each time, several times in a *lease*. Whoever wants the job
//! watches it for as long as the lease. No clocks are compared: only whether it changes while it is watched. An owner that
//! is silent for so long may live all the same; it loses the job then, and finds out before it commits anything.

use std::time::Duration;

use bytes::Bytes;

use super::claim::Holder;
use crate::error::Result;
use crate::storage::{BlobStore, StorageError, StoragePaths};

/// How many heartbeats there are in a lease: some may be late, or fail.
const BEATS_IN_LEASE: u32 = 4;

/// How often a heartbeat is looked at while it is watched.
const LOOKS_IN_LEASE: u32 = 10;

/// The heartbeat of one owner, or what is seen of it.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    blobs: BlobStore,
    paths: StoragePaths,
    lease: Duration,
}

impl Heartbeat {
    /// That of the owner of a job. Without one for as long as `lease` the owner is taken to be gone.
    pub fn new(blobs: &BlobStore, paths: &StoragePaths, lease: Duration) -> Self {
        Self {
            blobs: blobs.clone(),
            paths: paths.clone(),
            lease,
        }
    }

    /// The time from one heartbeat to the next.
    pub fn interval(&self) -> Duration {
        self.lease / BEATS_IN_LEASE
    }

    /// Writes a heartbeat, the `count`th of the owner with this generation.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn beat(&self, generation: u64, count: u64) -> Result<(), StorageError> {
        let content = format!("{{ \"generation\": {generation}, \"count\": {count} }}\n");
        let (path, pending) = (self.paths.heartbeat(), self.paths.pending_heartbeat());
        self.blobs
            .replace(&path, &pending, Bytes::from(content))
            .await
    }

    /// Watches for as long as the lease whether there is a heartbeat, but no longer than it takes to see one.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when the store does not answer.
    pub async fn watch(&self) -> Result<Holder> {
        let first = self.look().await?;
        for _ in 0..LOOKS_IN_LEASE {
            tokio::time::sleep(self.lease / LOOKS_IN_LEASE).await;
            if self.look().await? != first {
                return Ok(Holder::Alive);
            }
        }
        Ok(Holder::Silent)
    }

    async fn look(&self) -> Result<Option<Bytes>> {
        match self.blobs.read(&self.paths.heartbeat()).await {
            Ok(content) => Ok(Some(content)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
