//! What a subtask has done off its worker for its snapshots: syncing and uploading, one snapshot after the other.

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use crate::coordinator::AcknowledgementFigures;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{OperatorId, SharedClock, SubtaskId};
use crate::operator::BackgroundWork;
use crate::snapshot::{SealedInFlight, SealedOperator, SnapshotWriter, SubtaskSnapshot};

use super::captured::CapturedInput;
use super::chain::StateSize;
use super::executor::{Executor, SharedExecutor};
use super::message::{Report, ReportBody, Reporter};
use super::panic::catch_panic_of;
use super::subtask_event::SealedSubtask;

/// How many snapshots or commits of one subtask can wait. Few checkpoints are ever under way, so a full queue means that
/// the store, or whoever a sink commits to, has stopped answering.
pub(super) const BACKGROUND_JOBS_MAX: usize = 256;

/// Work that an operator left for the background.
pub(super) type OperatorWork = (OperatorId, Vec<BackgroundWork>);

/// A subtask's part of a checkpoint, safe in the store, with how long it took.
pub(super) struct SubtaskAck {
    pub(super) snapshot: SubtaskSnapshot,
    pub(super) finished: bool,
    pub(super) state_size: StateSize,
    pub(super) figures: AcknowledgementFigures,
}

/// The background of one subtask.
pub(super) struct Background {
    pub(super) subtask: SubtaskId,
    pub(super) writer: SnapshotWriter,
    pub(super) reporter: Reporter,
    pub(super) executor: SharedExecutor,
    pub(super) clock: SharedClock,
}

/// Why a job was not done.
enum Failure {
    /// The store did not take the state: the checkpoint is lost, the subtask is not.
    Upload(Error),
    /// An operator's own work failed: what it holds outside is in doubt, and only a restart clears that.
    Operator(OperatorId, Error),
}

impl Background {
    /// Makes one snapshot after the other safe in the store, and acknowledges it, until the subtask is gone and all are
    /// done, or one of them panics.
    pub(super) async fn run(mut self, mut snapshots: mpsc::Receiver<SealedSubtask>) {
        while let Some(sealed) = snapshots.recv().await {
            let done = catch_panic_of(self.snapshot(sealed).map(Ok::<_, Error>)).await;
            let (body, has_panicked) = match done {
                Ok(body) => (body, false),
                Err(error) => (
                    ReportBody::Failed(self.subtask.operator.clone(), error),
                    true,
                ),
            };
            (self.reporter)(Report {
                subtask: self.subtask.clone(),
                body,
            });
            if has_panicked {
                // What it has left half done is of no use any more.
                return;
            }
        }
    }

    async fn snapshot(&mut self, sealed: SealedSubtask) -> ReportBody {
        let checkpoint = sealed.checkpoint;
        match self.make_durable(sealed).await {
            Ok(acknowledgement) => ReportBody::Acknowledged(checkpoint, Box::new(acknowledgement)),
            Err(Failure::Upload(error)) => ReportBody::UploadFailed(checkpoint, error),
            Err(Failure::Operator(operator, error)) => ReportBody::Failed(operator, error),
        }
    }

    async fn make_durable(&mut self, sealed: SealedSubtask) -> Result<SubtaskAck, Failure> {
        let begun = self.clock.elapsed();
        let mut in_flight = self.encode(sealed.in_flight).await;
        let mut work = Vec::new();
        let mut operators = Vec::with_capacity(sealed.operators.len());
        for part in sealed.operators {
            work.push((part.operator.clone(), part.snapshot.background));
            operators.push(SealedOperator {
                operator: part.operator,
                finished: sealed.finished,
                items: part.snapshot.items,
                operator_state: part.operator_state,
                // It goes with the first operator, which reads the links.
                in_flight: in_flight.as_mut().map(std::mem::take).unwrap_or_default(),
                local: part.local,
                states: part.keyed,
            });
        }
        do_all(&*self.executor, work)
            .await
            .map_err(|(operator, error)| Failure::Operator(operator, error))?;
        if let Err(error) = in_flight {
            // The checkpoint is lost, but what was sealed goes with the next one.
            for operator in &operators {
                self.writer.hold(operator).map_err(Failure::Upload)?;
            }
            return Err(Failure::Upload(error));
        }
        let snapshot = self
            .writer
            .write(sealed.checkpoint, &operators)
            .await
            .map_err(Failure::Upload)?;
        let figures = AcknowledgementFigures {
            start_delay: sealed.alignment.start_delay,
            alignment_duration: sealed.alignment.duration,
            sync_duration: sealed.sync_duration,
            async_duration: self.clock.elapsed().saturating_sub(begun),
            uploaded_bytes: snapshot.uploaded_bytes,
            in_flight_bytes: snapshot.in_flight_bytes,
            is_unaligned: sealed.is_unaligned,
        };
        Ok(SubtaskAck {
            snapshot,
            finished: sealed.finished,
            state_size: sealed.state_size,
            figures,
        })
    }
}

impl Background {
    /// Turns what was in flight into bytes.
    async fn encode(&self, captured: Vec<CapturedInput>) -> Result<Vec<SealedInFlight>> {
        if captured.is_empty() {
            return Ok(Vec::new());
        }
        let (sender, sealed) = oneshot::channel();
        let work = Box::new(move || {
            let sealed = captured.into_iter().map(CapturedInput::seal);
            // The receiver waits as long as the work is under way.
            let _ = sender.send(sealed.collect::<Result<_>>()?);
            Ok(())
        });
        self.executor.run_blocking(work).await?;
        sealed.await.map_err(|source| {
            Error::new(ErrorKind::Bug, "what was in flight is gone").with_source(source)
        })
    }
}

/// Does the work of several operators, in order, where it may block.
pub(super) async fn do_all(
    executor: &dyn Executor,
    work: Vec<OperatorWork>,
) -> Result<(), (OperatorId, Error)> {
    for (operator, work) in work {
        if work.is_empty() {
            continue;
        }
        let all = Box::new(move || work.into_iter().try_for_each(|work| work()));
        let done = executor.run_blocking(all).await;
        done.map_err(|error| (operator, error))?;
    }
    Ok(())
}
