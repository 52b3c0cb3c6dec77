//! All that one sink subtask does outside: a plain struct that says what to do next.
//!
//! # Which ids there are
//!
//! A subtask writes under an id of its own. When the parallelism becomes smaller, or the job is started afresh, nobody
//! would touch the ids of former subtasks any more, and a transaction that one of them had open would stop every
//! `read_committed` reader. So a *registry* in the broker, an offset of a group of the sink's own, holds the highest
//! parallelism that the sink has had. It is raised before anybody begins a transaction; each start fences all ids that it
//! covers, and those of the transactions in the snapshot, each by one subtask.
//!
//! # The order of the records of a key
//!
//! After a change of the parallelism a key can belong to another subtask, while its older records wait in a restored
//! transaction of the former one. They come first: what is new is committed only after the next checkpoint is complete,
//! and no subtask acknowledges that before it has *recovered*, which is when the transactions that it was given are
//! settled.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::back_off::BackOff;
use super::pending_transaction::PendingTransaction;
use super::transaction_writer::{Failure, Outcome, Settlement, Step, TransactionWriter};
use super::transactional_id::{Share, TransactionalId};
use crate::error::Result;

/// Settles the restored transactions of a subtask, and then commits its new ones.
#[derive(Debug)]
pub(super) struct Committer {
    base: String,
    share: Share,
    phase: Phase,
    /// The transactions of the snapshot that others' ids were used for, until it is known which ids there are.
    restored: Vec<PendingTransaction>,
    /// Writers of others' ids, until they have nothing to do.
    adopted: VecDeque<TransactionWriter>,
    /// The writer of the subtask's own id.
    own: TransactionWriter,
    /// What became of the transactions of ids that were seen to.
    settled: Vec<(Arc<PendingTransaction>, Settlement)>,
    back_off: BackOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The registry is to be read.
    Unregistered,
    /// The registry is to be raised to this parallelism.
    Registering(u32),
    /// Former ids are to be fenced, and restored transactions written.
    Recovering,
    Recovered,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CommitterStep {
    /// Let this much time pass.
    Wait(Duration),
    /// Read the highest parallelism that the sink is known to have had; 0 when there is none.
    ReadRegistry,
    /// Set it.
    Register(u32),
    /// Do this with the producer of an id.
    Of(TransactionalId, Step),
    /// An id of others has been seen to: its producer is not needed any more.
    Release(TransactionalId),
    /// Nothing, before more is submitted.
    Rest,
}

impl Committer {
    /// A committer of a subtask that goes on from these transactions, which are those of all subtasks. The ids of the sink
    /// begin with `base`.
    pub(super) fn new(base: &str, share: Share, mut restored: Vec<PendingTransaction>) -> Self {
        restored.retain(|pending| share.has(&pending.id));
        restored.sort_by_key(|pending| pending.checkpoint);
        // A snapshot holds one twice that was taken when one subtask had handed it over and the other had it already.
        let mut seen = BTreeSet::new();
        restored.retain(|pending| {
            seen.insert((pending.id.clone(), pending.attempt, pending.checkpoint))
        });
        let mut own = TransactionWriter::new(share.own(base));
        let (of_own, restored) = restored
            .into_iter()
            .partition(|pending| pending.id == *own.id());
        let of_own: Vec<PendingTransaction> = of_own;
        of_own
            .into_iter()
            .for_each(|pending| own.submit(Arc::new(pending)));
        Self {
            base: base.to_owned(),
            share,
            phase: Phase::Unregistered,
            restored,
            adopted: VecDeque::new(),
            own,
            settled: Vec::new(),
            back_off: BackOff::default(),
        }
    }

    /// Whether what was restored is settled, and everybody who had one of the subtask's ids is fenced.
    pub(super) fn has_recovered(&self) -> bool {
        self.phase == Phase::Recovered
    }

    /// Adds a transaction of the subtask's own, once its checkpoint is complete.
    pub(super) fn submit(&mut self, pending: Arc<PendingTransaction>) {
        self.own.submit(pending);
    }

    /// Takes out what has become of transactions, in order.
    pub(super) fn take_settled(&mut self) -> Vec<(Arc<PendingTransaction>, Settlement)> {
        let writers = self.adopted.iter_mut().chain([&mut self.own]);
        let settled = writers.flat_map(TransactionWriter::take_settled);
        self.settled.extend(settled);
        std::mem::take(&mut self.settled)
    }

    /// What to do next. [`Committer::done`] or [`Committer::registry_read`] is to be told what came of it.
    pub(super) fn next_step(&mut self) -> CommitterStep {
        if let Some(wait) = self.back_off.take_due() {
            return CommitterStep::Wait(wait);
        }
        match self.phase {
            Phase::Unregistered => return CommitterStep::ReadRegistry,
            Phase::Registering(parallelism) => return CommitterStep::Register(parallelism),
            Phase::Recovering | Phase::Recovered => {}
        }
        if let Some(writer) = self.adopted.front_mut() {
            let id = writer.id().clone();
            return match writer.next_step() {
                Step::Rest => CommitterStep::Release(id),
                step => CommitterStep::Of(id, step),
            };
        }
        match self.own.next_step() {
            Step::Rest => {
                self.phase = Phase::Recovered;
                CommitterStep::Rest
            }
            step => CommitterStep::Of(self.own.id().clone(), step),
        }
    }

    /// The registry was read: it had this highest parallelism.
    pub(super) fn registry_read(&mut self, registered: u32) {
        let restored = std::mem::take(&mut self.restored);
        let ids = self.share.adopted(&self.base, registered, &restored);
        let subtasks = restored.iter().map(|pending| pending.id.subtask + 1);
        let used = subtasks.fold(self.share.parallelism, u32::max);
        self.adopted = ids.into_iter().map(TransactionWriter::new).collect();
        for pending in restored {
            let mut writers = self.adopted.iter_mut();
            // Each id of a restored transaction is adopted.
            if let Some(writer) = writers.find(|writer| *writer.id() == pending.id) {
                writer.submit(Arc::new(pending));
            }
        }
        self.phase = if registered < used {
            Phase::Registering(used)
        } else {
            Phase::Recovering
        };
    }

    /// A step is done, or has failed.
    ///
    /// # Errors
    /// When nothing that the sink could do would help. It is of no use afterwards.
    pub(super) fn done(&mut self, step: &CommitterStep, outcome: Outcome) -> Result<()> {
        match (step, outcome) {
            (CommitterStep::Of(_, step), outcome) => {
                let writer = self.adopted.front_mut().unwrap_or(&mut self.own);
                return writer.done(step, outcome);
            }
            (CommitterStep::Release(_), _) => {
                let released = self.adopted.pop_front();
                let settled = released.map(|mut writer| writer.take_settled());
                self.settled.extend(settled.into_iter().flatten());
            }
            (_, Outcome::Failed(Failure::Refused(error))) => return Err(error),
            (_, Outcome::Failed(_)) => self.back_off.failed(),
            (CommitterStep::Register(_), _) => {
                self.back_off.succeeded();
                self.phase = Phase::Recovering;
            }
            (CommitterStep::Wait(_) | CommitterStep::ReadRegistry | CommitterStep::Rest, _) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::pending_transaction::tests::pending;
    use super::*;

    /// What subtask 0 of `parallelism` registers, after the registry said `registered`, with transactions of these
    /// subtasks in the snapshot.
    fn check(parallelism: u32, registered: u32, restored: &[u32], expected: Option<u32>) {
        let share = Share {
            subtask: 0,
            parallelism,
        };
        let restored = restored.iter().map(|subtask| pending(*subtask, 1, 1, &[]));
        let mut committer = Committer::new("base", share, restored.collect());
        assert_eq!(committer.next_step(), CommitterStep::ReadRegistry);
        committer.registry_read(registered);
        let registers = match committer.next_step() {
            CommitterStep::Register(parallelism) => Some(parallelism),
            _ => None,
        };
        assert_eq!(registers, expected);
    }

    #[test]
    fn the_registry_covers_each_id_that_a_transaction_can_be_left_open_under() {
        check(2, 0, &[], Some(2));
        check(2, 2, &[], None);
        check(2, 5, &[4], None);
        // A registry that was forgotten: the transaction is written under the id that it was made for.
        check(2, 0, &[4], Some(5));
        // Another subtask looks after that one.
        check(2, 2, &[5], None);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod random_tests;
