//! Carries out what a [`Committer`] asks for. It runs in background work, where it may wait.

use std::sync::Arc;

use tracing::{info, warn};

use super::committer::{Committer, CommitterStep};
use super::pending_transaction::PendingTransaction;
use super::progress::Progress;
use super::transaction_writer::{Failure, Outcome, Settlement, Step};
use super::transactional_id::TransactionalId;
use crate::error::{ErrorKind, Result};
use crate::model::OperatorId;
use crate::operator::JobContext;
use crate::telemetry::{Metric, count};

/// What a sink needs of a broker.
pub(super) trait Broker: Send {
    /// The highest parallelism that the sink is known to have had; 0 when there is none.
    fn registry(&mut self) -> Result<u32, Failure>;

    /// Sets it.
    fn register(&mut self, parallelism: u32) -> Result<(), Failure>;

    /// Does this with the producer of an id.
    fn perform(&mut self, id: &TransactionalId, step: &Step) -> Outcome;

    /// The producer of an id is not needed any more.
    fn release(&mut self, id: &TransactionalId);
}

/// A place in a transaction, for tests that let the process die there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStep {
    /// The broker has all records and the marker; the transaction is about to be committed.
    Written,
    /// The transaction is committed, and nobody knows of it yet.
    Committed,
}

/// Called at each [`TransactionStep`].
pub(super) type Observer = Arc<dyn Fn(TransactionStep) + Send + Sync>;

/// The background of one sink subtask.
pub(super) struct Worker {
    pub(super) committer: Committer,
    pub(super) broker: Box<dyn Broker>,
    pub(super) progress: Arc<Progress>,
    pub(super) job: JobContext,
    pub(super) operator: OperatorId,
    pub(super) subtask: usize,
    pub(super) observer: Option<Observer>,
}

impl Worker {
    /// Fences the ids, and settles what was restored.
    ///
    /// # Errors
    /// When the broker refuses it for good, another process owns the job, or the sink was closed meanwhile.
    pub(super) fn recover(&mut self) -> Result<()> {
        self.run()
    }

    /// Commits these transactions.
    ///
    /// # Errors
    /// As for [`Worker::recover`].
    pub(super) fn commit(&mut self, transactions: Vec<Arc<PendingTransaction>>) -> Result<()> {
        for pending in transactions {
            self.committer.submit(pending);
        }
        self.run()
    }

    fn run(&mut self) -> Result<()> {
        let done = self.run_to_rest();
        if let Err(error) = &done {
            self.progress.failed(error);
        }
        done
    }

    fn run_to_rest(&mut self) -> Result<()> {
        loop {
            self.progress.ensure_open()?;
            let step = self.committer.next_step();
            let outcome = self.carry_out(&step)?;
            let done = self.committer.done(&step, outcome);
            self.report_settled();
            done?;
            if step == CommitterStep::Rest {
                if self.committer.has_recovered() {
                    self.progress.recovered();
                }
                return Ok(());
            }
        }
    }

    fn carry_out(&mut self, step: &CommitterStep) -> Result<Outcome> {
        let done = match step {
            CommitterStep::Wait(duration) | CommitterStep::Of(_, Step::Wait(duration)) => {
                self.progress.pause(*duration)?;
                return Ok(Outcome::Done);
            }
            CommitterStep::ReadRegistry => match self.broker.registry() {
                Ok(registered) => {
                    self.committer.registry_read(registered);
                    Ok(())
                }
                Err(failure) => Err(failure),
            },
            CommitterStep::Register(parallelism) => self.broker.register(*parallelism),
            CommitterStep::Of(id, step) => return self.perform(id, step),
            CommitterStep::Release(id) => {
                self.broker.release(id);
                Ok(())
            }
            CommitterStep::Rest => Ok(()),
        };
        Ok(done.map_or_else(Outcome::Failed, |()| Outcome::Done))
    }

    fn perform(&mut self, id: &TransactionalId, step: &Step) -> Result<Outcome> {
        if *step == Step::Fence {
            // Taking an id over stops whoever has it, so a process that the job was taken from must not do so.
            match self.job.ensure_owner() {
                Err(error) if error.kind() == ErrorKind::Environment => {
                    return Ok(Outcome::Failed(Failure::Passing));
                }
                owner => owner?,
            }
        }
        if *step == Step::Commit {
            self.observe(TransactionStep::Written);
        }
        let outcome = self.broker.perform(id, step);
        match (step, &outcome) {
            (Step::Commit, Outcome::Done) => self.observe(TransactionStep::Committed),
            (Step::Abort, Outcome::Done) => self.count(Metric::TransactionsAborted, 1),
            _ => {}
        }
        Ok(outcome)
    }

    fn report_settled(&mut self) {
        let settled = self.committer.take_settled();
        for (pending, settlement) in &settled {
            let (id, checkpoint) = (&pending.id, pending.checkpoint);
            let is_restored = pending.attempt != self.job.attempt;
            match settlement {
                Settlement::Written => {
                    self.count(Metric::TransactionsCommitted, 1);
                    if is_restored {
                        let records = pending.records;
                        info!(%id, %checkpoint, records, "a transaction of the snapshot was lost, and is written again");
                    }
                }
                Settlement::Found => {}
                Settlement::Forgotten => {
                    warn!(%id, %checkpoint, "a transaction is too old to know what became of it; it is taken for committed");
                }
            }
        }
        let settled = settled.into_iter().map(|(pending, _)| pending);
        self.progress.settled(settled.collect());
    }

    fn observe(&self, step: TransactionStep) {
        if let Some(observer) = &self.observer {
            observer(step);
        }
    }

    fn count(&self, metric: Metric, count_of: u64) {
        count(metric, &self.operator, self.subtask, count_of);
    }
}

#[cfg(test)]
mod tests {
    use super::super::marker::Marker;
    use super::super::pending_transaction::tests::pending;
    use super::super::transactional_id::Share;
    use super::*;
    use crate::channel::NoWake;

    /// A broker that does whatever it is asked, as long as the sink has not recovered.
    struct ObligingBroker {
        progress: Arc<Progress>,
    }

    impl Broker for ObligingBroker {
        fn registry(&mut self) -> Result<u32, Failure> {
            Ok(3)
        }

        fn register(&mut self, _: u32) -> Result<(), Failure> {
            Ok(())
        }

        fn perform(&mut self, id: &TransactionalId, step: &Step) -> Outcome {
            assert!(!self.progress.has_recovered(), "{id}: {step:?}");
            match step {
                Step::ReadMarker(_) => Outcome::Marker(Marker::default()),
                _ => Outcome::Done,
            }
        }

        fn release(&mut self, id: &TransactionalId) {
            assert!(!self.progress.has_recovered(), "{id}");
        }
    }

    #[test]
    fn a_sink_has_recovered_when_all_its_ids_are_fenced_and_all_that_was_restored_is_settled() {
        let progress = Arc::new(Progress::new(NoWake::shared()));
        let share = Share {
            subtask: 0,
            parallelism: 1,
        };
        let restored = vec![pending(0, 1, 1, &["a"]), pending(1, 1, 1, &["b"])];
        let mut worker = Worker {
            committer: Committer::new("base", share, restored),
            broker: Box::new(ObligingBroker {
                progress: Arc::clone(&progress),
            }),
            progress: Arc::clone(&progress),
            job: JobContext::alone("job"),
            operator: OperatorId::new("out"),
            subtask: 0,
            observer: None,
        };
        worker.recover().unwrap();
        assert!(progress.has_recovered());
        assert_eq!(progress.take_settled().len(), 2);
    }
}
