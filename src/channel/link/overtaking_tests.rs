//! Barriers that overtake: what is captured, in any order of events.

use std::collections::VecDeque;

use super::*;
use crate::channel::{Barrier, Element, InFlight};
use crate::model::{Batch, CheckpointId, EventTime};

const LIMITS: LinkLimits = LinkLimits {
    rows_max: 10,
    elements_max: 4,
};

const CHECKPOINT: CheckpointId = CheckpointId(1);

fn row(number: u64) -> Element {
    Element::Batch(Batch::from_rows(vec![number]))
}

fn barrier(id: u64) -> Barrier {
    Barrier::aligned(CheckpointId(id))
}

fn number(element: Element) -> u64 {
    match element {
        Element::Batch(batch) => batch.into_rows::<u64>().unwrap()[0],
        other => panic!("{other:?} is no row"),
    }
}

fn numbers(in_flight: Vec<InFlight>) -> Vec<u64> {
    in_flight
        .into_iter()
        .map(|row| number(row.into()))
        .collect()
}

#[test]
fn a_barrier_comes_before_all_that_it_has_overtaken_and_that_is_captured_in_its_order() {
    let (mut sender, mut receiver) = link(LIMITS);
    for number in 0..2 {
        sender.try_send(row(number)).unwrap();
    }
    sender.try_send(Element::Watermark(EventTime(5))).unwrap();
    let waiting = vec![InFlight::Batch(Batch::from_rows(vec![2_u64]))];
    sender.overtake(barrier(1), 3, waiting);
    assert!(matches!(
        receiver.try_recv(),
        Ok(Some(Element::Barrier(found))) if found == barrier(1)
    ));
    assert!(receiver.is_overtaken());
    receiver.begin_capture(CHECKPOINT);
    assert_eq!(receiver.captured_rows(), 3);
    // What is captured still lies in the link, and counts against its bound.
    assert_eq!(receiver.rows_queued(), 2);
    let found: Vec<String> = receiver
        .end_capture(CHECKPOINT)
        .iter()
        .map(|element| format!("{element:?}"))
        .collect();
    let rows = "Batch(Rows(1 of u64))";
    assert_eq!(found, [rows, rows, "Watermark(EventTime(5))", rows]);
    assert_eq!(number(receiver.try_recv().unwrap().unwrap()), 0);
}

#[test]
fn what_was_pulled_to_be_captured_makes_no_room() {
    let (mut sender, mut receiver) = link(LIMITS);
    for number in 0..4 {
        sender.try_send(row(number)).unwrap();
    }
    sender.overtake(barrier(1), 4, Vec::new());
    receiver.take_overtaking().unwrap();
    receiver.begin_capture(CHECKPOINT);
    let full = sender.try_send(row(4));
    assert!(matches!(full, Err(TrySendError::Full(_))));
    receiver.try_recv().unwrap();
    sender.try_send(row(4)).unwrap();
}

#[test]
fn a_newer_barrier_replaces_one_that_was_not_looked_at_and_older_ones_are_not_heeded() {
    let (mut sender, mut receiver) = link(LIMITS);
    sender.overtake(barrier(1), 0, Vec::new());
    sender.overtake(barrier(3), 0, Vec::new());
    assert_eq!(receiver.take_overtaking(), Some(barrier(3)));
    assert_eq!(receiver.take_overtaking(), None);
    sender.overtake(barrier(2), 0, Vec::new());
    assert_eq!(receiver.take_overtaking(), None);
}

#[test]
fn a_capture_ends_for_its_own_checkpoint_only() {
    let (mut sender, mut receiver) = link(LIMITS);
    receiver.begin_capture(CheckpointId(2));
    sender.try_send(row(7)).unwrap();
    receiver.try_recv().unwrap();
    assert_eq!(receiver.end_capture(CheckpointId(1)).len(), 0);
    assert_eq!(numbers(receiver.end_capture(CheckpointId(2))), [7]);
    assert_eq!(receiver.end_capture(CheckpointId(2)).len(), 0);
}

#[test]
fn what_is_replayed_comes_first_and_counts_against_the_bound() {
    let (mut sender, mut receiver) = link(LIMITS);
    let replayed = (0..2).map(|number| InFlight::Batch(Batch::from_rows(vec![number as u64; 5])));
    receiver.replay(replayed);
    assert!(receiver.is_replaying());
    assert!(matches!(
        sender.try_send(row(2)),
        Err(TrySendError::Full(_))
    ));
    assert_eq!(number(receiver.try_recv().unwrap().unwrap()), 0);
    sender.try_send(row(2)).unwrap();
    assert!(receiver.is_replaying());
    assert_eq!(number(receiver.try_recv().unwrap().unwrap()), 1);
    assert!(!receiver.is_replaying());
    assert_eq!(number(receiver.try_recv().unwrap().unwrap()), 2);
}

#[test]
fn what_is_left_of_a_batch_can_be_overtaken() {
    let (mut sender, mut receiver) = link(LIMITS);
    let rows = || Element::Batch(Batch::from_rows(vec![7_u64, 8, 9]));
    sender.try_send(rows()).unwrap();
    sender.try_send(rows()).unwrap();
    assert_eq!(receiver.try_recv_rows(2).unwrap().unwrap().rows(), 2);
    assert_eq!(receiver.rows_queued(), 4);
    sender.overtake(barrier(1), 1, Vec::new());
    receiver.take_overtaking().unwrap();
    receiver.begin_capture(CHECKPOINT);
    assert_eq!(numbers(receiver.end_capture(CHECKPOINT)), [9]);
    let left = [1, 3].map(|_| receiver.try_recv_rows(3).unwrap().unwrap().rows());
    assert_eq!(left, [1, 3]);
    assert_eq!(receiver.rows_queued(), 0);
    for _ in 0..4 {
        sender.try_send(row(1)).unwrap();
    }
}

/// A link whose sender queues what finds no room, and one checkpoint on it.
struct Run {
    random: fastrand::Rng,
    sender: LinkSender,
    receiver: LinkReceiver,
    waiting: VecDeque<Element>,
    emitted: u64,
    /// How many rows were emitted before the barrier, once it was sent.
    before: Option<u64>,
    /// Where the barrier stands if it was sent in its place.
    position: Option<u64>,
    has_barrier: bool,
    taken: Vec<u64>,
    /// How many rows were taken when the snapshot was, once it was.
    snapshot: Option<usize>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (sender, mut receiver) = link(LinkLimits {
            rows_max: random.usize(1..8),
            elements_max: random.usize(1..4),
        });
        let replayed = random.u64(0..4);
        let rows = (0..replayed).map(|number| InFlight::Batch(Batch::from_rows(vec![number])));
        receiver.replay(rows);
        Self {
            random,
            sender,
            receiver,
            waiting: VecDeque::new(),
            emitted: replayed,
            before: None,
            position: None,
            has_barrier: false,
            taken: Vec::new(),
            snapshot: None,
        }
    }

    fn play(&mut self) {
        for _ in 0..self.random.usize(5..120) {
            match self.random.u8(0..12) {
                0 if self.before.is_none() => self.send_barrier(),
                1 => self.overtake(),
                // Another input's barrier has come.
                2 if self.before.is_some() || self.random.bool() => self.take_snapshot(),
                3..=6 => {
                    self.waiting.push_back(row(self.emitted));
                    self.emitted += 1;
                }
                _ => self.receive(),
            }
            self.flush();
        }
        if self.before.is_none() {
            self.send_barrier();
        }
        while !self.has_barrier
            || self.snapshot.is_none()
            || self.taken.len() < self.emitted as usize
        {
            self.flush();
            self.receive();
            if self.has_barrier {
                self.take_snapshot();
            }
        }
    }

    fn flush(&mut self) {
        while let Some(element) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(element)) = self.sender.try_send(element) {
                self.waiting.push_front(element);
                break;
            }
        }
    }

    fn send_barrier(&mut self) {
        self.before = Some(self.emitted);
        let position = self.sender.sent() + self.waiting.len() as u64;
        self.position = Some(position);
        if self.random.bool() {
            self.overtake();
        } else {
            self.waiting.push_back(Element::Barrier(barrier(1)));
        }
    }

    fn overtake(&mut self) {
        let Some(position) = self.position.take() else {
            return;
        };
        let sent = self.sender.sent();
        let waiting = self
            .waiting
            .iter()
            .take(position.saturating_sub(sent) as usize);
        let waiting = waiting.filter_map(Element::in_flight).collect();
        self.sender
            .overtake(barrier(1), position.min(sent), waiting);
    }

    fn take_snapshot(&mut self) {
        if self.snapshot.is_none() {
            self.snapshot = Some(self.taken.len());
            self.receiver.begin_capture(CHECKPOINT);
        }
    }

    fn receive(&mut self) {
        let is_blocked = self.has_barrier && self.snapshot.is_none();
        if is_blocked && !self.receiver.is_overtaken() {
            return;
        }
        match self.receiver.try_recv().unwrap() {
            Some(Element::Barrier(_)) => self.has_barrier = true,
            Some(element) => self.taken.push(number(element)),
            None => {}
        }
    }
}

#[test]
fn in_any_order_what_was_worked_off_and_what_was_captured_is_what_lay_before_the_barrier() {
    for seed in 0..5_000 {
        let mut run = Run::new(seed);
        run.play();
        let worked_off = &run.taken[..run.snapshot.unwrap()];
        let captured = numbers(run.receiver.end_capture(CHECKPOINT));
        let found = [worked_off, &captured].concat();
        let before: Vec<u64> = (0..run.before.unwrap()).collect();
        assert_eq!(found, before, "seed {seed}");
        let all: Vec<u64> = (0..run.emitted).collect();
        assert_eq!(run.taken, all, "seed {seed}");
    }
}
