//! Making a job this process's own whose checkpoints lie in a bucket.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::claim::{Claimant, Holder};
use super::fence::Fence;
use super::heartbeat::Heartbeat;
use super::job_lock::{ClaimLock, JobLock};
use super::ledger::{Ledger, LedgerLog, LedgerRecord};
use super::machine::{MachineMark, Proximity};
use crate::error::Result;
use crate::storage::{BlobStore, StoragePaths};

/// A job in a bucket that a process is about to claim.
#[derive(Debug)]
pub struct BucketClaim {
    blobs: BlobStore,
    paths: StoragePaths,
    claimant: Claimant,
    lease: Duration,
}

impl BucketClaim {
    /// Of the owner on another machine it is not known that it lives unless it is heard of within `lease`.
    pub fn new(
        blobs: &BlobStore,
        paths: &StoragePaths,
        claimant: &Claimant,
        lease: Duration,
    ) -> Self {
        Self {
            blobs: blobs.clone(),
            paths: paths.clone(),
            claimant: *claimant,
            lease,
        }
    }

    /// Makes the job this process's own. From then on no former owner commits a checkpoint of which this process does not
    /// know, once it has settled the ids of former owners.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Conflict`] when the job is already running, and is not to be taken over, or when another
    /// process is just starting it; [`crate::error::ErrorKind::Configuration`] when the store is not able to keep two owners
    /// apart; [`crate::error::ErrorKind::Environment`] when it does not answer.
    pub async fn make(&self) -> Result<(Fence, JobLock)> {
        self.blobs
            .prove_conditional_put(&self.paths.probe())
            .await?;
        let lock = ClaimLock::acquire(self.blobs.root(), self.paths.job())?;
        let machine = MachineMark::of_this_process()?;
        let log = LedgerLog::new(&self.blobs, &self.paths);
        let found = log.newest().await?;
        let holder = match &found {
            Some((_, record)) => self.holder(record, &machine, &lock).await?,
            None => Holder::Gone,
        };
        let (number, record) = log
            .claim(found, &self.claimant, Some(machine), holder)
            .await?;
        if holder != Holder::Gone {
            warn!("the job is taken from a process that has not ended, as far as is known");
        }
        let held = lock.hold(record.owner.generation)?;
        let ledger = Ledger::claimed(log, number, record);
        Ok((Fence::in_bucket(Arc::new(ledger)), held))
    }

    /// Makes the job this process's own without a lock; whoever calls knows whether its owner lives.
    #[cfg(test)]
    pub(crate) async fn publish(&self, holder: Holder) -> Result<Fence> {
        let log = LedgerLog::new(&self.blobs, &self.paths);
        let found = log.newest().await?;
        let (number, record) = log.claim(found, &self.claimant, None, holder).await?;
        let ledger = Ledger::claimed(log, number, record);
        Ok(Fence::in_bucket(Arc::new(ledger)))
    }

    /// Whether the owner lives. That takes as long as the lease when it is to be found out from another machine.
    async fn holder(
        &self,
        record: &LedgerRecord,
        machine: &MachineMark,
        lock: &ClaimLock,
    ) -> Result<Holder> {
        if record.ended {
            return Ok(Holder::Gone);
        }
        let proximity = record
            .machine
            .as_ref()
            .map(|other| machine.proximity(other));
        match proximity {
            Some(Proximity::Restarted) => return Ok(Holder::Gone),
            Some(Proximity::SameMachine) => {
                if let Some(holder) = lock.known_holder(record.owner.generation)? {
                    return Ok(holder);
                }
            }
            Some(Proximity::Elsewhere) | None => {}
        }
        if self.claimant.takes_over {
            return Ok(Holder::Alive);
        }
        let (process, lease) = (record.owner.process, self.lease);
        info!(
            process,
            ?lease,
            "the job's owner ran on another machine: waiting for the lease, whether it is heard of"
        );
        Heartbeat::new(&self.blobs, &self.paths, lease)
            .watch()
            .await
    }
}
