//! Random orders of everything that can happen to a sink of several subtasks: crashes, zombies, other parallelisms, fresh
//! starts, failures of every step. In the end a `read_committed` reader must have seen each record once, in order per key.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::pending_transaction::PendingTransaction;
use super::super::pending_transaction::tests::pending;
use super::super::transaction_writer::{Outcome, Settlement};
use super::super::transactional_id::Share;
use super::model::{Mishap, ModelBroker, ModelProducers};
use super::{Committer, CommitterStep};
use crate::model::CheckpointId;

const KEYS: usize = 5;
const PARALLELISM_MAX: u32 = 4;
const ACTIONS: usize = 400;

/// One sink subtask of one attempt.
struct Subtask {
    committer: Committer,
    producers: ModelProducers,
    /// What it was given since the last barrier.
    open: Vec<String>,
    /// What every snapshot holds until it is settled.
    pending: Vec<Arc<PendingTransaction>>,
    /// The newest checkpoint that it was told is complete.
    completed: Option<CheckpointId>,
}

/// A checkpoint: the positions of the source, and the transactions of all subtasks.
#[derive(Clone)]
struct Snapshot {
    checkpoint: u64,
    next: [u32; KEYS],
    items: Vec<Vec<u8>>,
}

/// One attempt at the job. Records of a key go to one subtask.
struct Attempt {
    number: u64,
    next: [u32; KEYS],
    subtasks: Vec<Subtask>,
    /// The checkpoint that is under way, and who has acknowledged it.
    under_way: Option<(Snapshot, Vec<bool>)>,
}

struct Universe {
    seed: u64,
    rng: fastrand::Rng,
    broker: ModelBroker,
    /// The newest complete checkpoint of the present run.
    complete: Option<Snapshot>,
    next_checkpoint: u64,
    attempts: u64,
    /// Grows with each fresh start: what earlier runs wrote is another matter.
    run: u32,
    attempt: Attempt,
    /// Attempts that were taken over from, and do not know it.
    zombies: Vec<Attempt>,
    restarts: u32,
    written_again: u32,
}

impl Attempt {
    fn new(number: u64, parallelism: u32, from: Option<&Snapshot>) -> Self {
        let subtask = |subtask| {
            let share = Share {
                subtask,
                parallelism,
            };
            let items = from.iter().flat_map(|snapshot| &snapshot.items);
            let restored: Vec<_> = items
                .map(|bytes| PendingTransaction::from_bytes(bytes).unwrap())
                .collect();
            let own = restored.iter().filter(|pending| share.has(&pending.id));
            Subtask {
                pending: own.cloned().map(Arc::new).collect(),
                committer: Committer::new("base", share, restored),
                producers: ModelProducers::default(),
                open: Vec::new(),
                completed: None,
            }
        };
        Self {
            number,
            next: from.map_or([0; KEYS], |snapshot| snapshot.next),
            subtasks: (0..parallelism).map(subtask).collect(),
            under_way: None,
        }
    }
}

impl Subtask {
    fn seal(&mut self, attempt: u64, checkpoint: u64, subtask: usize) {
        let open = std::mem::take(&mut self.open);
        if !open.is_empty() {
            let values: Vec<_> = open.iter().map(String::as_str).collect();
            let sealed = pending(
                u32::try_from(subtask).unwrap(),
                attempt,
                checkpoint,
                &values,
            );
            self.pending.push(Arc::new(sealed));
        }
    }

    /// Takes a step, and forgets what is settled. Gives how many transactions of an earlier attempt it wrote, or nothing
    /// when it has failed for good.
    fn step(&mut self, broker: &mut ModelBroker, attempt: u64, mishap: Mishap) -> Option<u32> {
        let step = self.committer.next_step();
        let outcome = match (&step, mishap) {
            (CommitterStep::ReadRegistry, Mishap::None) => {
                self.committer.registry_read(broker.registry);
                return Some(0);
            }
            (CommitterStep::Register(parallelism), Mishap::None) => {
                broker.registry = *parallelism;
                Outcome::Done
            }
            (CommitterStep::ReadRegistry | CommitterStep::Register(_), _) => {
                Outcome::Failed(super::Failure::Passing)
            }
            (CommitterStep::Of(id, step), _) => {
                broker.perform(&mut self.producers, id, step, mishap)
            }
            (CommitterStep::Wait(_) | CommitterStep::Release(_) | CommitterStep::Rest, _) => {
                Outcome::Done
            }
        };
        let done = self.committer.done(&step, outcome);
        let mut written_again = 0;
        for (settled, settlement) in self.committer.take_settled() {
            self.pending.retain(|pending| *pending != settled);
            let is_again = settlement == Settlement::Written && settled.attempt != attempt;
            written_again += u32::from(is_again);
        }
        done.ok().map(|()| written_again)
    }

    fn complete(&mut self, attempt: u64, checkpoint: CheckpointId) {
        let since = self.completed.replace(checkpoint).unwrap_or_default();
        for pending in &self.pending {
            let is_new = pending.attempt == attempt
                && pending.checkpoint > since
                && pending.checkpoint <= checkpoint;
            if is_new {
                self.committer.submit(Arc::clone(pending));
            }
        }
    }
}

impl Universe {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let parallelism = rng.u32(1..=PARALLELISM_MAX);
        Self {
            seed,
            rng,
            broker: ModelBroker::default(),
            complete: None,
            next_checkpoint: 1,
            attempts: 1,
            run: 0,
            attempt: Attempt::new(1, parallelism, None),
            zombies: Vec::new(),
            restarts: 0,
            written_again: 0,
        }
    }

    fn act(&mut self) {
        match self.rng.u32(0..100) {
            0..30 => self.write(),
            30..38 => self.trigger(),
            38..50 => self.acknowledge(),
            50..53 => self.abort(),
            53..90 => self.step_any(),
            90..96 => self.step_zombie(),
            96..98 => self.restart(false),
            _ if self.rng.u32(0..8) == 0 => self.restart(true),
            _ => {}
        }
    }

    fn write(&mut self) {
        let key = self.rng.usize(0..KEYS);
        let subtask = key % self.attempt.subtasks.len();
        let value = format!("{}/{key}/{}", self.run, self.attempt.next[key]);
        self.attempt.next[key] += 1;
        self.attempt.subtasks[subtask].open.push(value);
    }

    fn trigger(&mut self) {
        if self.attempt.under_way.is_some() {
            return;
        }
        let checkpoint = self.next_checkpoint;
        self.next_checkpoint += 1;
        let mut items = Vec::new();
        let number = self.attempt.number;
        for (index, subtask) in self.attempt.subtasks.iter_mut().enumerate() {
            subtask.seal(number, checkpoint, index);
            let bytes = subtask.pending.iter().map(|pending| pending.to_bytes());
            items.extend(bytes.map(Result::unwrap));
        }
        let snapshot = Snapshot {
            checkpoint,
            next: self.attempt.next,
            items,
        };
        let acknowledged = vec![false; self.attempt.subtasks.len()];
        self.attempt.under_way = Some((snapshot, acknowledged));
    }

    /// One subtask acknowledges the checkpoint; the last one completes it.
    fn acknowledge(&mut self) {
        let attempt = &mut self.attempt;
        let Some((snapshot, acknowledged)) = &mut attempt.under_way else {
            return;
        };
        let subtask = self.rng.usize(0..acknowledged.len());
        acknowledged[subtask] |= attempt.subtasks[subtask].committer.has_recovered();
        if acknowledged.iter().all(|acknowledged| *acknowledged) {
            let checkpoint = CheckpointId(snapshot.checkpoint);
            self.complete = Some(snapshot.clone());
            attempt.under_way = None;
            for subtask in &mut attempt.subtasks {
                subtask.complete(attempt.number, checkpoint);
            }
        }
    }

    fn abort(&mut self) {
        self.attempt.under_way = None;
    }

    fn step_any(&mut self) {
        let subtask = self.rng.usize(0..self.attempt.subtasks.len());
        let mishap = match self.rng.u32(0..30) {
            0 => Mishap::Lost,
            1 => Mishap::AnswerLost,
            2 => Mishap::Aborted,
            3 => Mishap::Broken,
            _ => Mishap::None,
        };
        self.step(subtask, mishap);
    }

    fn step(&mut self, subtask: usize, mishap: Mishap) {
        let number = self.attempt.number;
        let subtask = &mut self.attempt.subtasks[subtask];
        match subtask.step(&mut self.broker, number, mishap) {
            Some(written_again) => self.written_again += written_again,
            // A zombie has taken its id over.
            None => self.restart(false),
        }
    }

    fn step_zombie(&mut self) {
        if self.zombies.is_empty() {
            return;
        }
        let zombie = self.rng.usize(0..self.zombies.len());
        let number = self.zombies[zombie].number;
        let subtask = self.rng.usize(0..self.zombies[zombie].subtasks.len());
        let subtask = &mut self.zombies[zombie].subtasks[subtask];
        if subtask
            .step(&mut self.broker, number, Mishap::None)
            .is_none()
        {
            self.zombies.remove(zombie);
        }
    }

    /// The process dies, or is taken for dead; another goes on from the newest checkpoint, or from none.
    fn restart(&mut self, fresh: bool) {
        self.restarts += 1;
        self.attempts += 1;
        if fresh {
            self.run += 1;
            // As in a store that was emptied.
            self.next_checkpoint = 1;
            self.complete = None;
            // A process that nobody has stopped would be another job.
            self.zombies.clear();
        }
        let parallelism = self.rng.u32(1..=PARALLELISM_MAX);
        let next = Attempt::new(self.attempts, parallelism, self.complete.as_ref());
        let before = std::mem::replace(&mut self.attempt, next);
        if !fresh && self.rng.bool() {
            self.zombies.push(before);
        }
    }

    /// Lets everything come to its end, without any mishap.
    fn finish(&mut self) {
        self.zombies.clear();
        self.restart(false);
        self.zombies.clear();
        for _ in 0..2 {
            self.settle();
            self.trigger();
            while self.attempt.under_way.is_some() {
                self.acknowledge();
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        for subtask in 0..self.attempt.subtasks.len() {
            while self.attempt.subtasks[subtask].committer.next_step() != CommitterStep::Rest {
                self.step(subtask, Mishap::None);
            }
            // What was found on the way to the rest.
            self.step(subtask, Mishap::None);
        }
    }

    fn check(&self) {
        let seed = self.seed;
        let open = self.broker.open();
        assert!(open.is_empty(), "seed {seed}: {open:?} are still open");
        let mut seen: BTreeMap<(u32, usize), u32> = BTreeMap::new();
        for value in self.broker.committed() {
            let parts: Vec<_> = value.split('/').collect();
            let key = (parts[0].parse().unwrap(), parts[1].parse().unwrap());
            let next = seen.entry(key).or_default();
            assert_eq!(
                parts[2].parse(),
                Ok(*next),
                "seed {seed}: {value} comes after a loss, twice or out of order"
            );
            *next += 1;
        }
        for (key, next) in self.attempt.next.iter().enumerate() {
            let seen = seen.get(&(self.run, key)).copied().unwrap_or_default();
            assert_eq!(seen, *next, "seed {seed}, key {key}: not all is there");
        }
        for subtask in &self.attempt.subtasks {
            assert!(subtask.pending.is_empty(), "seed {seed}: kept for ever");
        }
    }
}

#[test]
fn each_record_is_seen_once_and_in_order_whatever_happens() {
    let first = std::env::var("FLOODMARK_SEED").ok();
    let first = first.map_or(1, |seed| seed.parse().unwrap());
    let (mut restarts, mut written_again) = (0, 0);
    for seed in first..first + 2000 {
        let mut universe = Universe::new(seed);
        for _ in 0..ACTIONS {
            universe.act();
        }
        universe.finish();
        universe.check();
        restarts += universe.restarts;
        written_again += universe.written_again;
    }
    // Or nothing of what this is about has happened.
    assert!(restarts > 10_000, "{restarts}");
    assert!(written_again > 1000, "{written_again}");
}
