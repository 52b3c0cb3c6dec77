//! Who has committed what, and whether it was right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::operators::Record;
use super::transaction::{Status, Transaction, TransactionId, Transactions};
use crate::model::CheckpointId;
use crate::storage::SimulatedDisk;

/// How often each record is to come to each sink.
pub(in super::super) type Expected = BTreeMap<(usize, Record), u64>;

/// Takes part in two-phase commits, and judges what is committed.
pub(in super::super) struct Outside {
    shared: Mutex<Shared>,
}

struct Shared {
    /// The disk of the process that runs; a process finds there what the outside checks.
    disk: SimulatedDisk,
    transactions: Transactions,
    /// Which sink subtasks were restored in which attempt.
    restored: Vec<RestoredShard>,
    /// How often each record is still to come. Below zero it has come too often.
    missing: BTreeMap<(usize, Record), i64>,
    expected: Expected,
    may_repeat: bool,
    /// Whether the input may end before all of it is read: then only the end shows what was to come.
    is_cut_short: bool,
    violation: Option<String>,
}

/// The share of a sink that one subtask has taken up.
struct RestoredShard {
    sink: usize,
    shard: Shard,
    attempt: u64,
}

/// The transactions that a subtask takes up after a restore: its own and those of former subtasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shard {
    pub(super) subtask: usize,
    pub(super) parallelism: usize,
}

impl Shard {
    fn owns(self, id: &TransactionId) -> bool {
        id.subtask % self.parallelism == self.subtask
    }
}

impl Outside {
    pub(in super::super) fn new(expected: Expected, may_repeat: bool) -> Arc<Self> {
        let mut shared = Shared {
            disk: SimulatedDisk::default(),
            transactions: Transactions::default(),
            restored: Vec::new(),
            missing: BTreeMap::new(),
            expected,
            may_repeat,
            is_cut_short: false,
            violation: None,
        };
        shared.count_anew();
        Arc::new(Self {
            shared: Mutex::new(shared),
        })
    }

    /// The process that runs from now on has this disk.
    pub(in super::super) fn use_disk(&self, disk: &SimulatedDisk) {
        self.lock().disk = disk.clone();
    }

    /// What was wrong first, if anything was.
    pub(in super::super) fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// From now on the input may end before all of it is read.
    pub(in super::super) fn cut_short(&self) {
        self.lock().is_cut_short = true;
    }

    /// All transactions as they are.
    pub(in super::super) fn transactions(&self) -> Transactions {
        self.lock().transactions.clone()
    }

    /// Goes back to the transactions as they were at a snapshot with the id `checkpoint`.
    pub(in super::super) fn go_back_to(&self, then: Transactions, checkpoint: CheckpointId) {
        let mut shared = self.lock();
        shared.transactions = then.up_to(checkpoint);
        shared.count_anew();
    }

    /// What is wrong at the end of a job that has read what leads to `expected`, if anything is.
    pub(in super::super) fn judge(&self, expected: Expected) -> Result<(), String> {
        let mut shared = self.lock();
        shared.expected = expected;
        shared.count_anew();
        for ((sink, record), count) in &shared.missing {
            if *count > 0 {
                return Err(format!(
                    "sink {sink} has {record:?} {count} times less than it should"
                ));
            }
            if *count < 0 && !shared.may_repeat {
                let more = -count;
                return Err(format!(
                    "sink {sink} has {record:?} {more} times more than it should"
                ));
            }
        }
        Ok(())
    }

    /// Every transaction is committed or aborted; but for those of processes that had lost the job, which nobody takes up
    /// once their sink has finished.
    pub(in super::super) fn check_nothing_is_open(&self) -> Result<(), String> {
        let shared = self.lock();
        let mut transactions = shared.transactions.0.iter();
        match transactions.find(|(_, transaction)| transaction.status == Status::Prepared) {
            Some((id, _)) => Err(format!("{id:?} is neither committed nor aborted")),
            None => Ok(()),
        }
    }

    pub(super) fn prepare(&self, id: TransactionId, rows: &[Record]) {
        let mut shared = self.lock();
        if shared.transactions.0.contains_key(&id) {
            shared.blame(format!("{id:?} is prepared twice"));
        }
        let is_late = shared.restored.iter().any(|restored| {
            restored.sink == id.sink && restored.attempt > id.attempt && restored.shard.owns(&id)
        });
        let transaction = Transaction {
            rows: rows.into(),
            status: match is_late {
                true => Status::PreparedTooLate,
                false => Status::Prepared,
            },
        };
        shared.transactions.0.insert(id, transaction);
    }

    /// Commits `id` on account of `checkpoint`.
    pub(super) fn commit(&self, id: TransactionId, checkpoint: CheckpointId) {
        let mut shared = self.lock();
        if let Err(violation) = check_is_durable(&shared.disk, checkpoint) {
            shared.blame(format!("{id:?} is committed, but {violation}"));
        }
        let Some(transaction) = shared.transactions.0.get_mut(&id) else {
            return shared.blame(format!("{id:?} is committed, but was never prepared"));
        };
        let before = std::mem::replace(&mut transaction.status, Status::Committed);
        let rows = Arc::clone(&transaction.rows);
        match before {
            Status::Prepared => {
                for row in rows.iter() {
                    shared.show(id, *row);
                }
            }
            Status::Committed => {}
            Status::Aborted => shared.blame(format!("{id:?} is committed after all")),
            Status::PreparedTooLate => shared.blame(format!(
                "{id:?} is committed by a process that has lost the job"
            )),
        }
    }

    /// A restored subtask finishes what its checkpoint has promised, and gives up what it has not.
    pub(super) fn restore(
        &self,
        sink: usize,
        attempt: u64,
        shard: Shard,
        checkpoint: CheckpointId,
        promised: &[TransactionId],
    ) {
        for id in promised.iter().filter(|id| shard.owns(id)) {
            self.commit(*id, checkpoint);
        }
        let mut shared = self.lock();
        for (id, transaction) in &mut shared.transactions.0 {
            if id.sink == sink && shard.owns(id) && Transactions::is_open(transaction.status) {
                transaction.status = Status::Aborted;
            }
        }
        shared.restored.push(RestoredShard {
            sink,
            shard,
            attempt,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is visible outside on account of a checkpoint that is not complete: its manifest, or that of a later one, must
/// outlive even a power cut.
pub(in super::super) fn check_is_durable(
    disk: &SimulatedDisk,
    checkpoint: CheckpointId,
) -> Result<(), String> {
    let durable = disk.durable_manifests("job");
    match durable.last() {
        Some(newest) if *newest >= checkpoint.0 => Ok(()),
        newest => Err(format!(
            "no manifest from {checkpoint} on is durable, the newest is {newest:?}"
        )),
    }
}

impl Shared {
    /// Works out what is still to come from what has come.
    fn count_anew(&mut self) {
        let expected = self.expected.iter();
        self.missing = expected.map(|(key, count)| (*key, *count as i64)).collect();
        for key in self.transactions.committed() {
            *self.missing.entry(key).or_default() -= 1;
        }
    }

    fn show(&mut self, id: TransactionId, record: Record) {
        let is_expected = self.missing.contains_key(&(id.sink, record));
        let count = self.missing.entry((id.sink, record)).or_default();
        *count -= 1;
        let is_too_much = *count < 0;
        if self.is_cut_short {
            return;
        }
        if !is_expected {
            self.blame(format!(
                "{id:?} commits {record:?}, which no input leads to"
            ));
        } else if is_too_much && !self.may_repeat {
            self.blame(format!(
                "{id:?} commits {record:?} once more than it should come"
            ));
        }
    }

    fn blame(&mut self, violation: String) {
        self.violation.get_or_insert(violation);
    }
}
