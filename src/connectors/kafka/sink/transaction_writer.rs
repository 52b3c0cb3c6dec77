//! Writes transactions under one transactional id, each exactly once.
//!
//! First the id is *fenced*: a new producer takes it over. From then on nobody who had it before can write or commit
//! anything, and what they had left open is aborted; if a commit of theirs was under way, taking over waits for its end. So
//! the *marker* is read only after that: what it says then is final, until this writer changes it. Were it read before,
//! a former owner could still commit in between, and the transaction would be written a second time.
//!
//! A transaction whose marker is there is dropped, any other is written, together with its marker. When the outcome of
//! a commit remains unknown, the way is the same: take over, read the marker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::back_off::BackOff;
use super::marker::{Marker, Verdict};
use super::pending_transaction::PendingTransaction;
use super::transactional_id::TransactionalId;
use crate::error::{Error, ErrorKind, Result};

/// Writes transactions under one transactional id, in the order in which they are submitted.
#[derive(Debug)]
pub(super) struct TransactionWriter {
    id: TransactionalId,
    phase: Phase,
    queue: VecDeque<Arc<PendingTransaction>>,
    /// The markers as they are in the broker, by the topics that they are kept for; none that was not read since the
    /// producer took over.
    markers: BTreeMap<String, Marker>,
    /// What has become of transactions, for whoever asks.
    settled: Vec<(Arc<PendingTransaction>, Settlement)>,
    back_off: BackOff,
}

/// How a transaction came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settlement {
    /// This writer has committed it.
    Written,
    /// Its marker was there: somebody had committed it before.
    Found,
    /// It is so old that its marker is gone. Whoever took its snapshot went on, so it is taken for committed.
    Forgotten,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Let this much time pass.
    Wait(Duration),
    /// Throw the producer away, if there is one.
    Discard,
    /// Take the id over, with a producer that is there or with a new one.
    Fence,
    /// Read the marker that is kept for this topic.
    ReadMarker(String),
    /// Begin a transaction.
    Begin,
    /// Hand the records over.
    Write(Arc<PendingTransaction>),
    /// Wait until the broker has them all.
    Flush,
    /// Add this marker to the transaction.
    Mark(Arc<PendingTransaction>, Marker),
    /// Commit it.
    Commit,
    /// Abort it.
    Abort,
    /// Nothing, before more is submitted.
    Rest,
}

/// What came of a step.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Marker(Marker),
    Failed(Failure),
}

/// How a step can fail.
#[derive(Debug)]
pub(super) enum Failure {
    /// The same step can be tried again.
    Passing,
    /// The transaction must be aborted, and can be written again.
    Aborted,
    /// The producer is of no use any more.
    Broken,
    /// Another producer has taken the id over.
    Fenced,
    /// The broker takes it from nobody.
    Refused(Error),
}

#[derive(Debug)]
enum Phase {
    /// The producer, if there is one, is of no use.
    Broken,
    /// The id is not taken over yet.
    Unfenced,
    /// No transaction is open.
    Ready,
    Begun,
    Handed,
    Flushed,
    Marked,
    /// A transaction is to be aborted. With an error, it is the end.
    Aborting(Option<Error>),
}

impl TransactionWriter {
    pub(super) fn new(id: TransactionalId) -> Self {
        Self {
            id,
            phase: Phase::Unfenced,
            queue: VecDeque::new(),
            markers: BTreeMap::new(),
            settled: Vec::new(),
            back_off: BackOff::default(),
        }
    }

    /// The id of its producer.
    pub(super) fn id(&self) -> &TransactionalId {
        &self.id
    }

    /// Adds a transaction behind all others.
    pub(super) fn submit(&mut self, pending: Arc<PendingTransaction>) {
        self.queue.push_back(pending);
    }

    /// Takes out what has become of transactions, in order.
    pub(super) fn take_settled(&mut self) -> Vec<(Arc<PendingTransaction>, Settlement)> {
        std::mem::take(&mut self.settled)
    }

    /// What to do next. [`TransactionWriter::done`] is to be told what came of it.
    pub(super) fn next_step(&mut self) -> Step {
        if let Some(wait) = self.back_off.take_due() {
            return Step::Wait(wait);
        }
        if matches!(self.phase, Phase::Ready) {
            return self.next_transaction();
        }
        // A phase of an open transaction has one to write.
        let pending = self.queue.front();
        match (&self.phase, pending) {
            (Phase::Unfenced, _) => Step::Fence,
            (Phase::Aborting(_), _) => Step::Abort,
            (Phase::Begun, Some(pending)) => Step::Write(Arc::clone(pending)),
            (Phase::Handed, Some(_)) => Step::Flush,
            (Phase::Flushed, Some(pending)) => {
                Step::Mark(Arc::clone(pending), self.marker_with(pending))
            }
            (Phase::Marked, Some(_)) => Step::Commit,
            (Phase::Broken | Phase::Ready, _) | (_, None) => Step::Discard,
        }
    }

    /// The step is done, or has failed.
    ///
    /// # Errors
    /// When nothing that this writer could do would help. It is of no use afterwards.
    pub(super) fn done(&mut self, step: &Step, outcome: Outcome) -> Result<()> {
        let failure = match outcome {
            Outcome::Failed(failure) => failure,
            Outcome::Done => return self.succeeded(step),
            Outcome::Marker(marker) => {
                if let Step::ReadMarker(topic) = step {
                    self.markers.insert(topic.clone(), marker);
                }
                return Ok(());
            }
        };
        let phase = std::mem::replace(&mut self.phase, Phase::Broken);
        if let Phase::Aborting(Some(error)) = phase {
            // It was tried, for the sake of those who read the topic.
            return Err(error);
        }
        self.phase = match failure {
            Failure::Fenced => return Err(fenced(&self.id)),
            Failure::Refused(error) if matches!(step, Step::Write(_) | Step::Flush) => {
                self.phase = Phase::Aborting(Some(error));
                return Ok(());
            }
            Failure::Refused(error) => return Err(error),
            // Some of the records may be on their way, so they are not handed over a second time.
            Failure::Passing | Failure::Aborted if matches!(step, Step::Write(_)) => {
                Phase::Aborting(None)
            }
            Failure::Passing => phase,
            Failure::Aborted if is_within_transaction(step) => Phase::Aborting(None),
            Failure::Aborted | Failure::Broken => Phase::Broken,
        };
        self.back_off.failed();
        Ok(())
    }

    fn succeeded(&mut self, step: &Step) -> Result<()> {
        self.phase = match (step, std::mem::replace(&mut self.phase, Phase::Ready)) {
            (Step::Discard, _) => {
                self.markers.clear();
                Phase::Unfenced
            }
            (Step::Abort, Phase::Aborting(Some(error))) => return Err(error),
            (Step::Fence | Step::Abort, _) => Phase::Ready,
            (Step::Begin, _) => Phase::Begun,
            (Step::Write(_), _) => Phase::Handed,
            (Step::Flush, _) => Phase::Flushed,
            (Step::Mark(..), _) => Phase::Marked,
            (Step::Commit, _) => {
                self.back_off.succeeded();
                if let Some(pending) = self.queue.pop_front() {
                    let marker = self.marker_with(&pending);
                    self.markers.insert(pending.marker_topic.clone(), marker);
                    self.settled.push((pending, Settlement::Written));
                }
                Phase::Ready
            }
            (Step::Wait(_) | Step::Rest | Step::ReadMarker(_), phase) => phase,
        };
        Ok(())
    }

    /// Passes over what is committed, to the first transaction that is not.
    fn next_transaction(&mut self) -> Step {
        while let Some(pending) = self.queue.front() {
            let Some(marker) = self.markers.get(&pending.marker_topic) else {
                return Step::ReadMarker(pending.marker_topic.clone());
            };
            let settlement = match marker.verdict(pending) {
                Verdict::Missing => return Step::Begin,
                Verdict::Committed => Settlement::Found,
                Verdict::Forgotten => Settlement::Forgotten,
            };
            self.settled
                .extend(self.queue.pop_front().map(|pending| (pending, settlement)));
        }
        Step::Rest
    }

    fn marker_with(&self, pending: &PendingTransaction) -> Marker {
        let marker = self.markers.get(&pending.marker_topic);
        marker.cloned().unwrap_or_default().with(pending)
    }
}

/// Whether the step stands between the begin of a transaction and its end.
fn is_within_transaction(step: &Step) -> bool {
    matches!(
        step,
        Step::Write(_) | Step::Flush | Step::Mark(..) | Step::Commit
    )
}

fn fenced(id: &TransactionalId) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "another producer has taken over the transactional id {id}, or the broker ended its transaction after \
             transaction.timeout.ms; see to it that this job runs once, and that no other uses its transactional_id_prefix"
        ),
    )
}

#[cfg(test)]
mod tests;
