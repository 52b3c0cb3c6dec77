//! What becomes of the checkpoints of a job that was cancelled.

use tracing::{info, warn};

use super::background_runtime::BackgroundRuntime;
use super::run::JobRun;
use crate::config::OnCancel;
use crate::error::Result;
use crate::telemetry::statistics::encode_history;

impl JobRun {
    /// The job was cancelled, and nothing of it is at work any more: its checkpoints are deleted, if that is wanted. What
    /// cannot be deleted is left, and the log says so.
    pub(super) fn heed_cancellation(&self) {
        if self.on_cancel == OnCancel::Retain {
            return;
        }
        let discarded = BackgroundRuntime::start()
            .and_then(|runtime| runtime.block_on(self.discard_checkpoints()));
        match discarded {
            Ok(number) => info!(
                number,
                "the checkpoints of the cancelled job are deleted (on_cancel), the next run starts from the beginning"
            ),
            Err(error) => {
                let reason = error.full_message();
                warn!(
                    reason,
                    "checkpoints of the cancelled job are left, the next run goes on from them unless it is started with \
                     --fresh"
                );
            }
        }
    }

    async fn discard_checkpoints(&self) -> Result<usize> {
        let discarded = self.store.discard_all().await?;
        let history = {
            let mut statistics = self.status.checkpoints();
            for checkpoint in &discarded {
                statistics.discarded(*checkpoint);
            }
            encode_history(&statistics)?
        };
        self.store.write_history(history.into()).await?;
        Ok(discarded.len())
    }
}
