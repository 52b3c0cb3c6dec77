//! One owner a job: how a process makes a job its own, and finds out that it is not any more.

use std::time::Duration;

use tracing::warn;

use super::store::CheckpointStore;
use crate::error::Result;
use crate::model::CheckpointId;
use crate::storage::{BucketClaim, Claim, ClaimLock, Claimant, Fence, Heartbeat, Holder, JobLock};

impl CheckpointStore {
    /// Makes the job this process's own. From then on no former owner commits a checkpoint. Gives the store with which
    /// this process may, and the lock that it has to hold as long as it does. In a bucket it can take as long as `lease` until
    /// it is known that an owner on another machine is gone.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Conflict`], with the id of the other process, when the job is already running and
    /// `claimant` does not take it over; [`crate::error::ErrorKind::Environment`] when the job's folder cannot be written
    /// to.
    pub async fn claim(&self, claimant: &Claimant, lease: Duration) -> Result<(Self, JobLock)> {
        if self.blobs.is_bucket() {
            let claim = BucketClaim::new(&self.blobs, &self.paths, claimant, lease);
            let (fence, held) = claim.make().await?;
            return Ok((self.clone().fenced(fence), held));
        }
        let lock = ClaimLock::acquire(self.blobs.root(), self.paths.job())?;
        let claim = Claim::begin(&self.blobs, &self.paths).await?;
        let holder = match claim.found() {
            Some(found) => lock.holder(found.generation)?,
            None => Holder::Gone,
        };
        let record = claim.decide(claimant, holder)?;
        if let (Some(found), Holder::Alive) = (claim.found(), holder) {
            let process = found.process;
            warn!(
                process,
                "the job is taken from a process that has not ended"
            );
        }
        let held = lock.hold(record.generation)?;
        let fence = claim.publish(record).await?;
        Ok((self.clone().fenced(fence), held))
    }

    /// The same without the locks of the operating system: whoever calls knows whether the owner lives, and sees to it
    /// that nobody else claims the job at the same time.
    #[cfg(test)]
    pub(crate) async fn claim_unlocked(&self, claimant: &Claimant, holder: Holder) -> Result<Self> {
        let claim = Claim::begin(&self.blobs, &self.paths).await?;
        let record = claim.decide(claimant, holder)?;
        Ok(self.clone().fenced(claim.publish(record).await?))
    }

    /// The same for a job in a bucket, whose owner is taken to live.
    #[cfg(test)]
    pub(super) async fn claim_in_bucket_unlocked(&self, claimant: &Claimant) -> Result<Self> {
        let claim = BucketClaim::new(&self.blobs, &self.paths, claimant, Duration::ZERO);
        let fence = claim.publish(Holder::Alive).await?;
        Ok(self.clone().fenced(fence))
    }

    /// What shows other machines that the owner of the job lives; nothing when its checkpoints lie on a disk.
    pub fn heartbeat(&self, lease: Duration) -> Option<Heartbeat> {
        let is_owner = self.ledger().is_some();
        is_owner.then(|| Heartbeat::new(&self.blobs, &self.paths, lease))
    }

    /// Gives the job up, so that whoever starts it next need not wait until this process is known to be gone. Nothing of the
    /// job may be at work.
    ///
    /// # Errors
    /// As for [`CheckpointStore::ensure_owner`].
    pub async fn give_up(&self) -> Result<()> {
        match self.ledger() {
            Some(ledger) => ledger.end().await,
            None => Ok(()),
        }
    }

    /// The same store, for the process that owns the job.
    #[must_use]
    pub fn fenced(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// The owner's word that it is the owner; nothing when the store was opened by somebody who only looks.
    pub fn fence(&self) -> Option<&Fence> {
        self.fence.as_ref()
    }

    /// Looks whether this process still owns the job, if it ever did: to be called before anything is committed.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Conflict`] when it does not; [`crate::error::ErrorKind::Environment`] when the store
    /// does not say.
    pub async fn ensure_owner(&self) -> Result<()> {
        match &self.fence {
            Some(fence) => fence.check().await,
            None => Ok(()),
        }
    }

    /// Under which number this process writes what others must not meet.
    pub(super) fn generation(&self) -> u64 {
        self.fence
            .as_ref()
            .map_or(0, |fence| fence.record().generation)
    }

    /// Deletes what a former owner would still make a checkpoint of; in a bucket, keeps it from making one. Whatever it completes after this process has become
    /// the owner, it completes before this. What a later owner is about to complete stays: this process may have lost the
    /// job already.
    pub(super) async fn refuse_former_owners(&self) -> Result<()> {
        if let Some(ledger) = self.ledger() {
            return self.settle(ledger).await;
        }
        if self.fence.is_none() {
            return Ok(());
        }
        for checkpoint in self.checkpoint_ids().await? {
            self.delete_pending_manifests(checkpoint).await?;
        }
        Ok(())
    }

    async fn delete_pending_manifests(&self, checkpoint: CheckpointId) -> Result<()> {
        let folder = self.paths.checkpoint_folder(checkpoint);
        for file in self.blobs.list(&folder).await? {
            let generation = self.paths.generation_of_pending_manifest(&file.name);
            if generation.is_some_and(|generation| generation <= self.generation()) {
                self.blobs
                    .delete(&self.paths.file(&folder, &file.name))
                    .await?;
            }
        }
        Ok(())
    }
}
