//! What a subtask does outside, off its worker: recovery, and the second phase of checkpoints, one after the other.
//!
//! They have a queue of their own beside that of the snapshots: a commit may have to wait long for somebody outside, and
//! checkpoints go on meanwhile.

use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::model::{CheckpointId, OperatorId, SubtaskId};
use crate::snapshot::CheckpointStore;

use super::background::{OperatorWork, do_all};
use super::executor::SharedExecutor;
use super::message::{Report, ReportBody, Reporter};
use super::panic::catch_panic_of;

/// One thing to do outside.
pub(super) struct CommitJob {
    /// The checkpoint whose second phase it is; nothing for the recovery.
    pub(super) checkpoint: Option<CheckpointId>,
    pub(super) work: Vec<OperatorWork>,
}

/// What does it.
pub(super) struct CommitLane {
    pub(super) subtask: SubtaskId,
    pub(super) store: CheckpointStore,
    pub(super) reporter: Reporter,
    pub(super) executor: SharedExecutor,
}

impl CommitLane {
    /// Does one job after the other, until the subtask is gone and all are done, or one of them fails.
    pub(super) async fn run(self, mut jobs: mpsc::Receiver<CommitJob>) {
        while let Some(CommitJob { checkpoint, work }) = jobs.recv().await {
            let done = catch_panic_of(self.perform(work).map(Ok::<_, Error>)).await;
            let done = done.unwrap_or_else(|error| Err((self.subtask.operator.clone(), error)));
            let (body, has_failed) = match done {
                Ok(()) => (checkpoint.map(ReportBody::Committed), false),
                Err((operator, error)) => (Some(ReportBody::Failed(operator, error)), true),
            };
            if let Some(body) = body {
                (self.reporter)(Report {
                    subtask: self.subtask.clone(),
                    body,
                });
            }
            if has_failed {
                // What it has left half done is of no use any more.
                return;
            }
        }
    }

    /// A process that has lost the job must make nothing visible, whatever checkpoint it had completed before.
    async fn perform(&self, work: Vec<OperatorWork>) -> Result<(), (OperatorId, Error)> {
        let busy = work.iter().find(|(_, work)| !work.is_empty());
        let busy = busy.map(|(operator, _)| operator.clone());
        if let Some(operator) = busy {
            let owner = self.store.ensure_owner().await;
            owner.map_err(|error| (operator, error))?;
        }
        do_all(&*self.executor, work).await
    }
}
