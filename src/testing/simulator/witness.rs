//! What the operators of a random job see, and what must fit together over subtasks, checkpoints and processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, OperatorId};

/// Knows what was in each checkpoint of what the operators see. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Witness(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    seals: BTreeMap<(OperatorId, CheckpointId), Seal>,
    /// After so many more calls one fails.
    strike: Option<u32>,
    violation: Option<String>,
}

/// What the subtasks of one operator have said at one barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seal {
    attempt: u64,
    parallelism: usize,
    finished: BTreeSet<usize>,
    /// What every subtask was told, as a number.
    told: Option<u64>,
}

/// What was sealed for one snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Seals(BTreeMap<OperatorId, Seal>);

/// Which attempt at the job runs in one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AttemptAt {
    /// No other attempt has this number, whatever process it is in.
    pub(super) number: u64,
    /// What it goes on from.
    pub(super) resumed_from: Option<CheckpointId>,
}

/// One process, as its operators know it.
#[derive(Default)]
pub(super) struct ProcessView {
    witness: Witness,
    attempt: Mutex<AttemptAt>,
}

/// One subtask of one operator that says what it sees.
pub(super) struct Testimony {
    view: Arc<ProcessView>,
    speaker: OnceLock<Speaker>,
}

struct Speaker {
    operator: OperatorId,
    subtask: usize,
    parallelism: usize,
    attempt: AttemptAt,
}

impl Witness {
    /// A process that is about to start.
    pub(super) fn view(&self) -> Arc<ProcessView> {
        Arc::new(ProcessView {
            witness: self.clone(),
            ..ProcessView::default()
        })
    }

    /// What was wrong first, if anything was.
    pub(super) fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// After so many more calls of sinks one fails; or none does.
    pub(super) fn strike_after(&self, calls: Option<u32>) {
        self.lock().strike = calls;
    }

    /// What was sealed for a snapshot.
    pub(super) fn seals(&self, checkpoint: CheckpointId) -> Seals {
        let shared = self.lock();
        let seals = shared.seals.iter().filter(|((_, id), _)| *id == checkpoint);
        Seals(
            seals
                .map(|((operator, _), seal)| (operator.clone(), seal.clone()))
                .collect(),
        )
    }

    /// The job goes on from a snapshot, which is this checkpoint of it now.
    pub(super) fn put_back(&self, checkpoint: CheckpointId, seals: &Seals) {
        let mut shared = self.lock();
        for (operator, seal) in &seals.0 {
            (shared.seals).insert((operator.clone(), checkpoint), seal.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing in here is ever half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn blame(&mut self, violation: String) {
        self.violation.get_or_insert(violation);
    }
}

impl ProcessView {
    /// Another attempt begins in the process.
    pub(super) fn begin(&self, attempt: AttemptAt) {
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = attempt;
    }

    /// The attempt that runs.
    pub(super) fn attempt(&self) -> AttemptAt {
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one operator subtask says.
    pub(super) fn testimony(self: &Arc<Self>) -> Arc<Testimony> {
        Arc::new(Testimony {
            view: Arc::clone(self),
            speaker: OnceLock::new(),
        })
    }

    /// Fails now and then, as a place outside does that cannot be reached.
    pub(super) fn reach_outside(&self) -> Result<()> {
        let mut shared = self.witness.lock();
        match shared.strike {
            Some(0) => {
                shared.strike = None;
                let message = "the outside cannot be reached";
                Err(Error::new(ErrorKind::Environment, message))
            }
            Some(calls) => {
                shared.strike = Some(calls - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Testimony {
    /// The subtask is opened. Gives whether its operator had finished in all subtasks in the checkpoint that the job goes
    /// on from.
    pub(super) fn opened(&self, operator: &OperatorId, subtask: usize, parallelism: usize) -> bool {
        let attempt = self.view.attempt();
        let speaker = Speaker {
            operator: operator.clone(),
            subtask,
            parallelism,
            attempt,
        };
        // An instance is opened once.
        let _ = self.speaker.set(speaker);
        let shared = self.view.witness.lock();
        let seal = attempt
            .resumed_from
            .and_then(|checkpoint| shared.seals.get(&(operator.clone(), checkpoint)));
        seal.is_some_and(|seal| seal.finished.len() == seal.parallelism)
    }

    /// All input has ended. What has finished in a checkpoint does not do so again.
    pub(super) fn finishes(&self, had_finished: bool) {
        if had_finished && let Some(speaker) = self.speaker.get() {
            let Speaker {
                operator, subtask, ..
            } = speaker;
            self.blame(format!("{operator}[{subtask}] finishes a second time"));
        }
    }

    /// What the subtask was told, as a number, as it is after the restore: it must be what it was.
    pub(super) fn restored(&self, told: u64) {
        let Some(speaker) = self.speaker.get() else {
            return;
        };
        let Some(checkpoint) = speaker.attempt.resumed_from else {
            return;
        };
        let key = (speaker.operator.clone(), checkpoint);
        let known = self
            .view
            .witness
            .lock()
            .seals
            .get(&key)
            .and_then(|seal| seal.told);
        if known.is_some_and(|known| known != told) {
            let Speaker {
                operator, subtask, ..
            } = speaker;
            self.blame(format!(
                "{operator}[{subtask}] is not given back the broadcast state of checkpoint {checkpoint}"
            ));
        }
    }

    /// The barrier has come. All subtasks must have been told the same.
    pub(super) fn sealed(&self, checkpoint: CheckpointId, has_finished: bool, told: Option<u64>) {
        let Some(speaker) = self.speaker.get() else {
            return;
        };
        let fresh = Seal {
            attempt: speaker.attempt.number,
            parallelism: speaker.parallelism,
            finished: BTreeSet::new(),
            told,
        };
        let mut shared = self.view.witness.lock();
        let key = (speaker.operator.clone(), checkpoint);
        let seal = shared.seals.entry(key).or_insert_with(|| fresh.clone());
        if seal.attempt > fresh.attempt {
            // A process that has lost the job takes a checkpoint with an id that is another's by now.
            return;
        }
        if seal.attempt < fresh.attempt {
            *seal = fresh;
        }
        if has_finished {
            seal.finished.insert(speaker.subtask);
        }
        if seal.told != told {
            let Speaker { operator, .. } = speaker;
            shared.blame(format!(
                "the subtasks of {operator} have been told different things at checkpoint {checkpoint}"
            ));
        }
    }

    /// Something is wrong.
    pub(super) fn blame(&self, violation: String) {
        self.view.witness.lock().blame(violation);
    }
}
