//! Barriers that overtake, in random order on inputs of both kinds: what must hold after each event.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

/// From when on barriers overtake; the time of an event is random, but never goes back.
const OVERTAKES_AT: Duration = Duration::from_millis(40);

struct Run {
    seed: u64,
    random: fastrand::Rng,
    gate: Gate,
    may_overtake: Vec<bool>,
    now: Duration,
    /// The newest checkpoint whose barrier, or cancel barrier, each input has delivered.
    newest: Vec<u64>,
    ended: Vec<bool>,
    /// Checkpoints whose barrier was delivered somewhere.
    begun: BTreeSet<u64>,
    /// Aborted, declined, or given up by a cancel barrier.
    over: BTreeSet<u64>,
    taken: Vec<u64>,
    capturing: Option<u64>,
    blocked: BTreeSet<usize>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let may_overtake: Vec<bool> = (0..random.usize(1..5))
            .map(|_| random.u8(0..4) > 0)
            .collect();
        let count = may_overtake.len();
        let gate = Gate::new(count, CheckpointMode::ExactlyOnce);
        Self {
            seed,
            gate: gate.with_overtaking(may_overtake.iter().copied()),
            may_overtake,
            now: Duration::ZERO,
            newest: vec![0; count],
            ended: vec![false; count],
            begun: BTreeSet::new(),
            over: BTreeSet::new(),
            taken: Vec::new(),
            capturing: None,
            blocked: BTreeSet::new(),
            random,
        }
    }

    fn play(&mut self) {
        for _ in 0..60 {
            self.now += Duration::from_millis(self.random.u64(0..3));
            let input = self.random.usize(0..self.newest.len());
            // A blocked input brings nothing but a barrier that overtakes.
            let is_readable = !self.blocked.contains(&input);
            let id = self.newest[input] + self.random.u64(1..3);
            match self.random.u8(0..12) {
                0 => self.abort(),
                1 => {
                    let barrier = Barrier::overtaking(CheckpointId(id), OVERTAKES_AT);
                    let commands = self.gate.trigger(barrier, self.now);
                    self.heed(&commands);
                }
                2 => self.overtake(),
                3 if is_readable && !self.ended[input] => self.cancel(input, id),
                4 if is_readable && self.random.u8(0..4) == 0 => self.end(input),
                _ if (is_readable || self.may_overtake[input]) && !self.ended[input] => {
                    self.barrier(input, id);
                }
                _ => {}
            }
            self.check();
        }
        for input in 0..self.newest.len() {
            self.end(input);
            self.check();
        }
        assert_eq!(self.capturing, None, "{self}");
        assert!(self.blocked.is_empty(), "{self}");
    }

    fn barrier(&mut self, input: usize, id: u64) {
        self.newest[input] = id;
        self.begun.insert(id);
        let barrier = Barrier::overtaking(CheckpointId(id), OVERTAKES_AT);
        let commands = self.gate.barrier(input, barrier, self.now);
        self.heed(&commands);
    }

    fn cancel(&mut self, input: usize, id: u64) {
        self.newest[input] = id;
        self.over.insert(id);
        let commands = self.gate.cancel_barrier(input, CheckpointId(id));
        self.heed(&commands);
    }

    fn end(&mut self, input: usize) {
        self.ended[input] = true;
        let commands = self.gate.end(input, self.now);
        self.heed(&commands);
    }

    fn abort(&mut self) {
        let id = self.random.u64(1..12);
        self.over.insert(id);
        let commands = self.gate.abort(CheckpointId(id));
        self.heed(&commands);
    }

    fn overtake(&mut self) {
        let Some(id) = self.gate.aligning() else {
            return;
        };
        let commands = self.gate.overtake(id, self.now);
        self.heed(&commands);
    }

    fn is_in(&self, input: usize, id: u64) -> bool {
        self.ended[input] || self.newest[input] >= id
    }

    fn is_missing(&self, id: u64) -> bool {
        (0..self.newest.len()).any(|input| !self.is_in(input, id))
    }

    fn heed(&mut self, commands: &[GateCommand]) {
        for command in commands {
            match *command {
                GateCommand::Snapshot { barrier, alignment } => {
                    let id = barrier.checkpoint.0;
                    assert!(self.taken.last() < Some(&id), "{self}");
                    assert!(!self.over.contains(&id), "{self}");
                    assert_eq!(self.capturing, None, "one capture at a time, {self}");
                    assert_eq!(alignment.is_none(), self.is_missing(id), "{self}");
                    let in_order =
                        (0..self.newest.len()).filter(|input| !self.may_overtake[*input]);
                    assert!(
                        in_order.into_iter().all(|input| self.is_in(input, id)),
                        "{self}"
                    );
                    self.taken.push(id);
                    self.capturing = alignment.is_none().then_some(id);
                }
                GateCommand::Aligned { checkpoint, .. } => {
                    assert_eq!(self.capturing.take(), Some(checkpoint.0), "{self}");
                    assert!(!self.is_missing(checkpoint.0), "{self}");
                }
                GateCommand::EndCapture(checkpoint) => {
                    assert_eq!(self.capturing.take(), Some(checkpoint.0), "{self}");
                    assert!(self.over.contains(&checkpoint.0), "{self}");
                }
                GateCommand::Decline { checkpoint, .. } => {
                    self.over.insert(checkpoint.0);
                }
                GateCommand::Block(input) => {
                    self.blocked.insert(input);
                }
                GateCommand::UnblockAll => self.blocked.clear(),
                _ => {}
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.gate.check_invariants(), Ok(()), "{self}");
        if let Some(capturing) = self.capturing {
            assert!(self.is_missing(capturing), "{self}");
        }
        // What may be taken was taken: whoever can overtake is not waited for, once its time has come.
        let last = self.taken.last().copied().unwrap_or_default();
        let newest = self.newest.iter().copied().max().unwrap_or_default();
        let waiting = self
            .begun
            .iter()
            .filter(|id| **id > last && !self.over.contains(id));
        for &id in waiting.filter(|id| **id == newest) {
            assert!(self.is_missing(id), "{id} is aligned, {self}");
        }
        for input in 0..self.newest.len() {
            let is_blocked = self.gate.is_blocked(input);
            assert_eq!(self.blocked.contains(&input), is_blocked, "{input}, {self}");
            let is_waiting = self.gate.aligning() == Some(CheckpointId(self.newest[input]));
            assert_eq!(is_blocked, is_waiting, "{input}, {self}");
        }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "seed {}, overtaking {:?}, newest {:?}, ended {:?}, over {:?}, taken {:?}, capturing {:?}",
            self.seed,
            self.may_overtake,
            self.newest,
            self.ended,
            self.over,
            self.taken,
            self.capturing
        )
    }
}

#[test]
fn in_any_order_what_is_in_flight_is_captured_from_the_snapshot_to_the_last_barrier() {
    for seed in 0..10_000 {
        Run::new(seed).play();
    }
}
