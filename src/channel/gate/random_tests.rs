//! Random inputs in random order, against a reference that keeps everything it ever saw and looks through all of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::*;
use crate::channel::Barrier;

fn aligned(id: u64) -> Barrier {
    Barrier::aligned(CheckpointId(id))
}

/// What an input can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Data,
    Barrier(u64),
    Cancel(u64),
    End,
}

/// The definition of alignment, written down as slowly and plainly as possible.
#[derive(Default)]
struct Reference {
    delivered: Vec<Vec<Item>>,
    triggered: BTreeSet<u64>,
    aborted: BTreeSet<u64>,
    /// Given up because of a cancel barrier or a skip, at the moment when that was seen.
    declined: BTreeSet<u64>,
    taken: Vec<u64>,
}

impl Reference {
    fn has_ended(&self, input: usize) -> bool {
        self.delivered[input].contains(&Item::End)
    }

    fn has_delivered(&self, input: usize, id: u64) -> bool {
        self.delivered[input].contains(&Item::Barrier(id))
    }

    fn is_over(&self, id: u64) -> bool {
        self.taken.contains(&id) || self.aborted.contains(&id) || self.declined.contains(&id)
    }

    /// Whether some input will never deliver the barrier although it goes on to, or has ended after, newer ones.
    fn is_impossible(&self, id: u64) -> bool {
        (0..self.delivered.len()).any(|input| {
            let passed = self.delivered[input].iter().any(|&item| match item {
                Item::Barrier(other) => other > id,
                Item::Cancel(other) => other >= id,
                Item::Data | Item::End => false,
            });
            passed && !self.has_delivered(input, id)
        })
    }

    /// Every checkpoint that the subtask has heard of in any way.
    fn known(&self) -> BTreeSet<u64> {
        let items = self.delivered.iter().flatten();
        let delivered = items.filter_map(|&item| match item {
            Item::Barrier(id) | Item::Cancel(id) => Some(id),
            Item::Data | Item::End => None,
        });
        delivered.chain(self.triggered.iter().copied()).collect()
    }

    /// The snapshots that are due now.
    fn settle(&mut self) -> Vec<u64> {
        let inputs = 0..self.delivered.len();
        let mut due = Vec::new();
        for id in self.known() {
            if self.is_over(id) {
                continue;
            }
            if self.is_impossible(id) {
                self.declined.insert(id);
            } else if inputs
                .clone()
                .all(|input| self.has_ended(input) || self.has_delivered(input, id))
            {
                self.taken.push(id);
                due.push(id);
            }
        }
        due
    }

    /// Whether `input` waits for other inputs' barriers.
    fn is_blocked(&self, input: usize) -> bool {
        self.delivered[input].iter().any(|&item| match item {
            Item::Barrier(id) => !self.is_over(id) && !self.has_ended(input),
            _ => false,
        })
    }
}

/// A random life of an input: data, barriers of growing ids with a gap or a cancel barrier here and there, an end.
fn random_input(random: &mut fastrand::Rng) -> VecDeque<Item> {
    let mut items = VecDeque::new();
    // Some runs have gaps in no input, others in many.
    let trouble = random.f64() * 0.3;
    for id in 1..=random.u64(0..8) {
        items.extend(vec![Item::Data; random.usize(0..3)]);
        let chance = random.f64();
        if chance < trouble / 2.0 {
            items.push_back(Item::Cancel(id));
        } else if chance > trouble {
            items.push_back(Item::Barrier(id));
        }
    }
    items.extend(vec![Item::Data; random.usize(0..3)]);
    items.push_back(Item::End);
    items
}

struct Run {
    seed: u64,
    mode: CheckpointMode,
    random: fastrand::Rng,
    gate: Gate,
    inputs: Vec<VecDeque<Item>>,
    /// Which inputs the commands say are blocked.
    blocked: BTreeSet<usize>,
    reference: Reference,
    /// Declines that the gate has sent, each with the number of cancel barriers forwarded for it.
    declined: BTreeMap<u64, usize>,
    snapshots: Vec<u64>,
}

impl Run {
    fn new(seed: u64, mode: CheckpointMode) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(0..5);
        Self {
            seed,
            mode,
            gate: Gate::new(count, mode),
            inputs: (0..count).map(|_| random_input(&mut random)).collect(),
            blocked: BTreeSet::new(),
            reference: Reference {
                delivered: vec![Vec::new(); count],
                ..Reference::default()
            },
            declined: BTreeMap::new(),
            snapshots: Vec::new(),
            random,
        }
    }

    fn play(mut self) {
        loop {
            let open: Vec<_> = (0..self.inputs.len())
                .filter(|input| !self.inputs[*input].is_empty())
                .collect();
            let readable: Vec<_> = open
                .iter()
                .copied()
                .filter(|input| !self.blocked.contains(input))
                .collect();
            // While something is blocked, something else must be readable.
            assert_eq!(readable.is_empty(), open.is_empty(), "{self}");
            match self.random.u8(0..10) {
                0 => self.trigger(),
                1 => self.abort(),
                _ if readable.is_empty() => break,
                _ => {
                    let input = readable[self.random.usize(0..readable.len())];
                    self.deliver(input);
                }
            }
        }
        assert!(self.blocked.is_empty(), "{self}");
        assert_eq!(self.gate.aligning(), None, "{self}");
        assert!(self.gate.has_ended(), "{self}");
    }

    fn trigger(&mut self) {
        let id = self.random.u64(1..10);
        self.reference.triggered.insert(id);
        // A checkpoint older than one that was taken cannot be taken any more.
        self.forget_older_than_taken();
        let commands = self.gate.trigger(aligned(id), Duration::ZERO);
        self.compare(&commands);
    }

    fn abort(&mut self) {
        let id = self.random.u64(1..10);
        if !self.reference.is_over(id) {
            self.reference.aborted.insert(id);
        }
        let commands = self.gate.abort(CheckpointId(id));
        self.compare(&commands);
    }

    fn deliver(&mut self, input: usize) {
        let Some(item) = self.inputs[input].pop_front() else {
            panic!("input {input} is empty, {self}");
        };
        self.reference.delivered[input].push(item);
        self.forget_older_than_taken();
        let commands = match item {
            Item::Data => Vec::new(),
            Item::Barrier(id) => self.gate.barrier(input, aligned(id), Duration::ZERO),
            Item::Cancel(id) => self.gate.cancel_barrier(input, CheckpointId(id)),
            Item::End => self.gate.end(input, Duration::ZERO),
        };
        self.compare(&commands);
    }

    /// The reference knows of every checkpoint for ever; one older than the last taken is over.
    fn forget_older_than_taken(&mut self) {
        if let Some(&last) = self.reference.taken.last() {
            self.reference
                .aborted
                .extend((1..last).filter(|id| !self.snapshots.contains(id)));
        }
    }

    fn compare(&mut self, commands: &[GateCommand]) {
        let mut snapshots = Vec::new();
        for command in commands {
            match *command {
                GateCommand::Block(input) => {
                    assert!(self.blocked.insert(input), "blocked twice, {self}");
                }
                GateCommand::UnblockAll => {
                    assert!(!self.blocked.is_empty(), "nothing to unblock, {self}");
                    self.blocked.clear();
                }
                GateCommand::Snapshot { barrier, .. } => snapshots.push(barrier.checkpoint.0),
                GateCommand::Aligned { .. } | GateCommand::EndCapture(_) => {
                    panic!("nothing overtakes here, {self}")
                }
                GateCommand::Decline { checkpoint, .. } => {
                    let first = self.declined.insert(checkpoint.0, 0).is_none();
                    assert!(first, "declined twice, {self}");
                }
                GateCommand::ForwardCancel(checkpoint) => {
                    *self.declined.entry(checkpoint.0).or_default() += 1;
                }
                GateCommand::AdvanceWatermark(_) | GateCommand::End => {}
            }
        }
        let due = self.reference.settle();
        assert_eq!(snapshots, due, "after {commands:?}, {self}");
        self.snapshots.extend(snapshots);
        assert!(self.snapshots.is_sorted_by(|a, b| a < b), "{self}");
        assert!(
            self.declined.values().all(|&cancels| cancels == 1),
            "{self}"
        );
        for input in 0..self.inputs.len() {
            let expected =
                self.mode == CheckpointMode::ExactlyOnce && self.reference.is_blocked(input);
            assert_eq!(
                self.gate.is_blocked(input),
                expected,
                "input {input}, {self}"
            );
            assert_eq!(
                self.blocked.contains(&input),
                expected,
                "input {input}, {self}"
            );
        }
        assert_eq!(self.gate.check_invariants(), Ok(()), "{self}");
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "seed {}, {:?}, delivered {:?}, snapshots {:?}",
            self.seed, self.mode, self.reference.delivered, self.snapshots
        )
    }
}

#[test]
fn in_any_order_a_snapshot_is_taken_exactly_when_the_last_input_is_aligned() {
    for seed in 0..5_000 {
        Run::new(seed, CheckpointMode::ExactlyOnce).play();
    }
}

#[test]
fn in_any_order_at_least_once_takes_the_same_snapshots_and_blocks_nothing() {
    for seed in 0..5_000 {
        Run::new(seed, CheckpointMode::AtLeastOnce).play();
    }
}
