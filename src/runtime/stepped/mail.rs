//! Letters on their way to the coordinator: in order from one sender, in no order between two.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::action::Upcoming;
use crate::model::SubtaskId;
use crate::runtime::message::{Report, ReportBody, Reporter, StoreReport, StoreReporter};

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// The subtask at this place, or its background.
    Subtask(usize),
    /// Whoever works in the store for the coordinator.
    Store,
}

/// Something that the coordinator is to hear.
pub(super) enum Letter {
    Opened(SubtaskId),
    Report(Report),
    Store(StoreReport),
}

/// All letters that are on their way. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Mail(Arc<Mutex<BTreeMap<Lane, VecDeque<Letter>>>>);

impl Mail {
    pub(super) fn send(&self, lane: Lane, letter: Letter) {
        self.lock().entry(lane).or_default().push_back(letter);
    }

    /// Takes the next letter of a lane.
    pub(super) fn take(&self, lane: Lane) -> Option<Letter> {
        self.lock().get_mut(&lane)?.pop_front()
    }

    /// What the next letter of a lane is about.
    pub(super) fn upcoming(&self, lane: Lane) -> Upcoming {
        let lanes = self.lock();
        match lanes.get(&lane).and_then(VecDeque::front) {
            Some(Letter::Report(Report {
                body: ReportBody::Acknowledged(..),
                ..
            })) => Upcoming::Acknowledgement,
            Some(Letter::Store(StoreReport::Manifest(written))) if written.result.is_ok() => {
                Upcoming::Manifest
            }
            _ => Upcoming::Other,
        }
    }

    /// The lanes in which a letter waits.
    pub(super) fn lanes(&self) -> Vec<Lane> {
        let lanes = self.lock();
        let waiting = lanes.iter().filter(|(_, letters)| !letters.is_empty());
        waiting.map(|(lane, _)| *lane).collect()
    }

    /// What brings the reports of `subtasks`, each in a lane of its own.
    pub(super) fn reporter(&self, subtasks: BTreeMap<SubtaskId, usize>) -> Reporter {
        let mail = self.clone();
        Arc::new(move |report| {
            // Only a subtask of the job has a reporter.
            let place = subtasks.get(&report.subtask).copied().unwrap_or_default();
            mail.send(Lane::Subtask(place), Letter::Report(report));
        })
    }

    /// What brings word of the store.
    pub(super) fn store_reporter(&self) -> StoreReporter {
        let mail = self.clone();
        Arc::new(move |report| mail.send(Lane::Store, Letter::Store(report)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Lane, VecDeque<Letter>>> {
        // No panic can leave the queues half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
