//! The ledger in the hands of the job's owner.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join;
use tokio::sync::RwLock;

use super::log::LedgerLog;
use super::record::LedgerRecord;
use super::state::{Judgement, LedgerState};
use crate::error::Result;
use crate::model::CheckpointId;
use crate::storage::StorageError;
use crate::storage::ownership::{OwnerRecord, lost};

/// The ledger of a job that this process has claimed. All that commits or begins something asks here first.
#[derive(Debug)]
pub struct Ledger {
    log: LedgerLog,
    owner: OwnerRecord,
    state: Mutex<LedgerState>,
    /// Held for writing while a record is written: nobody may come upon that record and take it for another's.
    appending: RwLock<()>,
}

impl Ledger {
    /// The job was claimed with this record.
    pub(in crate::storage) fn claimed(log: LedgerLog, number: u64, record: LedgerRecord) -> Self {
        Self {
            log,
            owner: record.owner.clone(),
            state: Mutex::new(LedgerState::claimed(number, record)),
            appending: RwLock::new(()),
        }
    }

    /// What the claim says of the owner.
    pub(in crate::storage) fn owner(&self) -> &OwnerRecord {
        &self.owner
    }

    /// Looks whether this process still owns the job.
    ///
    /// # Errors
    /// See [`crate::storage::Fence::check`].
    pub(in crate::storage) async fn check(&self) -> Result<()> {
        {
            let _reading = self.appending.read().await;
            let number = self.state().number();
            let (own, next) = try_join(self.log.has(number), self.log.has(number + 1)).await?;
            if !own {
                return Err(self.lost("its ledger is gone"));
            }
            if !next {
                return Ok(());
            }
        }
        let _writing = self.appending.write().await;
        self.catch_up().await
    }

    /// A checkpoint with this id is about to begin: sees to it that the owner may use the id.
    ///
    /// # Errors
    /// See [`crate::storage::Fence::check`].
    pub async fn begin(&self, checkpoint: CheckpointId) -> Result<()> {
        let is_reserved = self.state().begin(checkpoint).is_none();
        if is_reserved {
            self.check().await?;
        } else {
            self.append(|state| state.begin(checkpoint)).await?;
        }
        self.state().begun(checkpoint);
        Ok(())
    }

    /// The owner ends: whoever comes next need not wait, and goes on with the ids.
    ///
    /// # Errors
    /// See [`crate::storage::Fence::check`].
    pub async fn end(&self) -> Result<()> {
        self.append(|state| Some(state.end())).await
    }

    /// Writes the next record, if one is wanted.
    async fn append(&self, next: impl Fn(&LedgerState) -> Option<LedgerRecord>) -> Result<()> {
        let _writing = self.appending.write().await;
        loop {
            let (number, record) = {
                let state = self.state();
                match next(&state) {
                    Some(record) => (state.number() + 1, record),
                    None => return Ok(()),
                }
            };
            match self.log.append(number, record.encode()?).await {
                Ok(()) => {
                    self.state().appended(record);
                    return Ok(());
                }
                Err(StorageError::AlreadyExists { .. }) => self.catch_up().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes up what this process has written without hearing of it.
    async fn catch_up(&self) -> Result<()> {
        loop {
            let number = self.state().number() + 1;
            if !self.log.has(number).await? {
                return Ok(());
            }
            let record = self.log.record(number).await?;
            let judgement = self.state().judge(&record);
            match judgement {
                Judgement::Own => self.state().appended(record),
                Judgement::Lost => {
                    let owner = &record.owner;
                    return Err(self.lost(&format!(
                        "process {} has taken it over, with generation {}",
                        owner.process, owner.generation
                    )));
                }
            }
        }
    }

    /// The highest id that was ever used, as far as anybody can know.
    pub fn highest(&self) -> CheckpointId {
        self.state().highest()
    }

    /// The checkpoints that are known to be complete, and not superseded.
    pub fn complete(&self) -> BTreeSet<CheckpointId> {
        self.state().complete().clone()
    }

    /// The ids that must have a tombstone or a manifest before anybody goes on from a checkpoint.
    pub fn unsettled(&self) -> BTreeSet<CheckpointId> {
        self.state().unsettled().clone()
    }

    /// These ids have got a tombstone, but for those that turned out to be complete.
    pub fn settle(
        &self,
        ids: &BTreeSet<CheckpointId>,
        complete: impl IntoIterator<Item = CheckpointId>,
    ) {
        self.state().settle(ids, complete);
    }

    /// The checkpoint's manifest is there.
    pub fn completed(&self, checkpoint: CheckpointId) {
        self.state().completed(checkpoint);
    }

    /// The manifests of these checkpoints are deleted.
    pub fn removed(&self, checkpoints: &[CheckpointId]) {
        self.state().removed(checkpoints);
    }

    fn lost(&self, how: &str) -> crate::error::Error {
        lost(self.log.job(), self.owner.generation, how)
    }

    /// No change of it can be left half done.
    fn state(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
