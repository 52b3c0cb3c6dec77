//! The start of a process and its recovery, a step of the store at a time.

use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, poll_immediate};
use tokio::runtime::Runtime;
use tokio::task::yield_now;

use crate::error::Result;
use crate::runtime::job::{JobRun, UsedIds};
use crate::snapshot::Recovery;
use crate::storage::{Claimant, Holder};

/// A recovery that goes on only when it is told to. Dropping it is a crash.
pub(crate) struct SteppedRecovery(LocalBoxFuture<'static, Recovered>);

/// What came of a recovery.
pub(crate) struct Recovered {
    pub(crate) run: JobRun,
    pub(crate) used: UsedIds,
    pub(crate) result: Result<Recovery>,
}

impl SteppedRecovery {
    /// A recovery that has not begun. With a `claim` the job is made the process's own first, as by a process that has
    /// just been started.
    pub(crate) fn begin(
        mut run: JobRun,
        mut used: UsedIds,
        claim: Option<(Claimant, Holder)>,
        runtime: &Runtime,
    ) -> Self {
        let handle = runtime.handle().clone();
        let recovering = async move {
            let claimed = match &claim {
                Some((claimant, holder)) => run.store.claim_unlocked(claimant, *holder).await,
                None => Ok(run.store.clone()),
            };
            let result = match claimed {
                Ok(store) => {
                    run.store = store;
                    run.recover(&mut used, &handle).await
                }
                Err(error) => Err(error),
            };
            Recovered { run, used, result }
        };
        Self(recovering.boxed_local())
    }

    /// Goes on to where it waits next. Gives what came of it, once.
    pub(crate) fn go_on(&mut self, runtime: &Runtime) -> Poll<Recovered> {
        runtime.block_on(async {
            let recovered = poll_immediate(&mut self.0).await;
            // What it has left to other tasks goes on as well.
            yield_now().await;
            recovered.map_or(Poll::Pending, Poll::Ready)
        })
    }
}
