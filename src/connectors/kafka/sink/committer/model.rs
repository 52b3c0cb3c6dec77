//! A broker in memory: transactions, fencing, markers, the registry. It knows what a `read_committed` reader would see.

use std::collections::BTreeMap;

use super::super::marker::Marker;
use super::super::pending_transaction::PendingTransaction;
use super::super::transaction_writer::{Failure, Outcome, Step};
use super::super::transactional_id::TransactionalId;

/// The broker.
#[derive(Default)]
pub(super) struct ModelBroker {
    ids: BTreeMap<TransactionalId, IdState>,
    markers: BTreeMap<(TransactionalId, String), Marker>,
    pub(super) registry: u32,
    /// Every record that was ever written, by the transaction that it belongs to.
    log: Vec<(u64, String)>,
    /// Transactions, by their number, and whether they are committed.
    transactions: Vec<bool>,
}

#[derive(Default)]
struct IdState {
    /// Of the producer that has the id now.
    epoch: u32,
    open: Option<Open>,
}

struct Open {
    transaction: usize,
    marker: Option<(String, Marker)>,
}

/// One process's producers: the epochs that they were given.
#[derive(Default)]
pub(super) struct ModelProducers(BTreeMap<TransactionalId, u32>);

/// What goes wrong with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    /// The broker never heard of it.
    Lost,
    /// The broker did it, but its answer was lost.
    AnswerLost,
    /// The transaction must be aborted.
    Aborted,
    /// The producer is of no use any more, after the step was done.
    Broken,
}

impl ModelBroker {
    /// Does a step for one of a process's producers.
    pub(super) fn perform(
        &mut self,
        producers: &mut ModelProducers,
        id: &TransactionalId,
        step: &Step,
        mishap: Mishap,
    ) -> Outcome {
        match (mishap, step) {
            (_, Step::Wait(_) | Step::Rest) => return Outcome::Done,
            (_, Step::Discard) => {
                producers.0.remove(id);
                return Outcome::Done;
            }
            (Mishap::Lost, _) => return Outcome::Failed(Failure::Passing),
            (Mishap::Aborted, Step::Write(_) | Step::Flush | Step::Mark(..)) => {
                return Outcome::Failed(Failure::Aborted);
            }
            _ => {}
        }
        let outcome = self.do_step(producers, id, step);
        match (mishap, outcome) {
            (Mishap::AnswerLost, Outcome::Done) => Outcome::Failed(Failure::Passing),
            (Mishap::Broken, Outcome::Done | Outcome::Marker(_)) => {
                Outcome::Failed(Failure::Broken)
            }
            (_, outcome) => outcome,
        }
    }

    /// What a `read_committed` reader sees, in order.
    pub(super) fn committed(&self) -> Vec<&str> {
        let visible = |(transaction, _): &&(u64, String)| self.transactions[*transaction as usize];
        let visible = self.log.iter().filter(visible);
        visible.map(|(_, value)| value.as_str()).collect()
    }

    /// The ids under which a transaction is open, which no `read_committed` reader gets past.
    pub(super) fn open(&self) -> Vec<&TransactionalId> {
        let open = self.ids.iter().filter(|(_, state)| state.open.is_some());
        open.map(|(id, _)| id).collect()
    }

    fn do_step(
        &mut self,
        producers: &mut ModelProducers,
        id: &TransactionalId,
        step: &Step,
    ) -> Outcome {
        let state = self.ids.entry(id.clone()).or_default();
        match step {
            Step::Fence => {
                state.epoch += 1;
                state.open = None;
                producers.0.insert(id.clone(), state.epoch);
                return Outcome::Done;
            }
            // Reading asks for no transactional id: a producer that is fenced does not learn of it here.
            Step::ReadMarker(topic) => {
                let marker = self.markers.get(&(id.clone(), topic.clone()));
                return Outcome::Marker(marker.cloned().unwrap_or_default());
            }
            // The broker hears of a transaction with its first record.
            Step::Begin => return Outcome::Done,
            _ => {}
        }
        if producers.0.get(id) != Some(&state.epoch) {
            return Outcome::Failed(Failure::Fenced);
        }
        match step {
            Step::Write(pending) => {
                let transaction = state.open.get_or_insert(Open {
                    transaction: self.transactions.len(),
                    marker: None,
                });
                let transaction = transaction.transaction;
                if transaction == self.transactions.len() {
                    self.transactions.push(false);
                }
                let values = values(pending).into_iter();
                self.log
                    .extend(values.map(|value| (transaction as u64, value)));
            }
            Step::Mark(pending, marker) => {
                if let Some(open) = &mut state.open {
                    open.marker = Some((pending.marker_topic.clone(), marker.clone()));
                }
            }
            Step::Commit => {
                // When it is asked for again, there is nothing left to do.
                if let Some(open) = state.open.take() {
                    self.transactions[open.transaction] = true;
                    if let Some((topic, marker)) = open.marker {
                        self.markers.insert((id.clone(), topic), marker);
                    }
                }
            }
            Step::Abort => state.open = None,
            _ => {}
        }
        Outcome::Done
    }
}

/// The values of a transaction's records.
pub(super) fn values(pending: &PendingTransaction) -> Vec<String> {
    let records = pending.reader().map(|record| record.unwrap().value);
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    records.map(text).collect()
}
