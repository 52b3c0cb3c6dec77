use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use super::*;
use crate::channel::{Barrier, Element, Wake};
use crate::model::{Batch, CheckpointId, EventTime};

const LIMITS: LinkLimits = LinkLimits {
    rows_max: 10,
    elements_max: 4,
};

#[derive(Default)]
struct CountingWake(AtomicUsize);

impl CountingWake {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for CountingWake {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A link whose wakes are counted: sender, receiver, wakes of the sender, wakes of the receiver.
fn counted_link(
    limits: LinkLimits,
) -> (
    LinkSender,
    LinkReceiver,
    Arc<CountingWake>,
    Arc<CountingWake>,
) {
    let (sender, receiver) = link(limits);
    let sender_wake = Arc::new(CountingWake::default());
    let receiver_wake = Arc::new(CountingWake::default());
    sender.set_wake(sender_wake.clone());
    receiver.set_wake(receiver_wake.clone());
    sender_wake.take();
    receiver_wake.take();
    (sender, receiver, sender_wake, receiver_wake)
}

fn batch(rows: usize) -> Element {
    Element::Batch(Batch::from_rows(vec![0_u8; rows]))
}

fn barrier(id: u64) -> Element {
    Element::Barrier(Barrier::aligned(CheckpointId(id)))
}

fn is_full(result: Result<(), TrySendError>) -> bool {
    matches!(result, Err(TrySendError::Full(_)))
}

#[test]
fn elements_arrive_in_the_order_they_were_sent() {
    let (mut sender, mut receiver) = link(LIMITS);
    sender.try_send(batch(3)).unwrap();
    sender.try_send(Element::Watermark(EventTime(5))).unwrap();
    sender.try_send(barrier(7)).unwrap();
    sender.try_send(Element::End).unwrap();
    assert_eq!(sender.rows_queued(), 3);
    let mut received = Vec::new();
    while let Some(element) = receiver.try_recv().unwrap() {
        received.push(format!("{element:?}"));
    }
    assert_eq!(
        received,
        [
            "Batch(Rows(3 of u8))",
            "Watermark(EventTime(5))",
            "Barrier(Barrier { checkpoint: CheckpointId(7), overtakes_at: None })",
            "End"
        ]
    );
    assert_eq!(receiver.rows_queued(), 0);
}

#[test]
fn a_batch_passes_while_the_rows_in_flight_stay_within_the_bound() {
    /// Rows already in flight, rows to send, whether they pass.
    fn check(in_flight: &[usize], rows: usize, passes: bool) {
        let (mut sender, _receiver) = link(LIMITS);
        for &rows in in_flight {
            sender.try_send(batch(rows)).unwrap();
        }
        let full = is_full(sender.try_send(batch(rows)));
        assert_eq!(!full, passes, "{in_flight:?} and then {rows}");
    }
    check(&[], 10, true);
    check(&[4], 6, true);
    check(&[4], 7, false);
    check(&[4, 6], 1, false);
    // One batch that is too large passes alone, so that it cannot stop the job for ever.
    check(&[], 11, true);
    check(&[1], 11, false);
    check(&[11], 1, false);
    // The ring has four slots.
    check(&[1, 1, 1], 1, true);
    check(&[1, 1, 1, 1], 1, false);
}

#[test]
fn a_barrier_is_not_held_back_by_rows_but_by_slots() {
    let (mut sender, _receiver) = link(LIMITS);
    sender.try_send(batch(20)).unwrap();
    for id in 1..=3 {
        sender.try_send(barrier(id)).unwrap();
    }
    assert!(is_full(sender.try_send(barrier(4))));
}

#[test]
fn a_refused_element_comes_back_and_counts_for_nothing() {
    let (mut sender, mut receiver) = link(LIMITS);
    sender.try_send(batch(8)).unwrap();
    let Err(TrySendError::Full(element)) = sender.try_send(batch(5)) else {
        panic!("the link took 13 rows");
    };
    assert_eq!(element.rows(), 5);
    assert_eq!(sender.rows_queued(), 8);
    receiver.try_recv().unwrap();
    sender.try_send(element).unwrap();
    assert_eq!(receiver.rows_queued(), 5);
}

#[test]
fn the_receiver_is_roused_by_every_element() {
    let (mut sender, _receiver, _, receiver_wake) = counted_link(LIMITS);
    sender.try_send(batch(1)).unwrap();
    assert_eq!(receiver_wake.take(), 1);
    sender.try_send(Element::End).unwrap();
    assert_eq!(receiver_wake.take(), 1);
}

#[test]
fn the_sender_is_roused_once_when_the_link_is_half_empty_again() {
    let (mut sender, mut receiver, sender_wake, _) = counted_link(LIMITS);
    for _ in 0..4 {
        sender.try_send(batch(1)).unwrap();
    }
    assert!(is_full(sender.try_send(batch(1))));
    receiver.try_recv().unwrap();
    assert_eq!(sender_wake.take(), 0, "three of four slots are taken");
    receiver.try_recv().unwrap();
    assert_eq!(sender_wake.take(), 1, "two of four slots are taken");
    receiver.try_recv().unwrap();
    assert_eq!(sender_wake.take(), 0, "the sender was told already");
}

#[test]
fn a_sender_that_never_met_a_full_link_is_not_roused() {
    let (mut sender, mut receiver, sender_wake, _) = counted_link(LIMITS);
    sender.try_send(batch(10)).unwrap();
    receiver.try_recv().unwrap();
    assert_eq!(sender_wake.take(), 0);
}

#[test]
fn a_wake_that_is_set_late_is_called_at_once() {
    let (mut sender, receiver) = link(LIMITS);
    sender.try_send(batch(1)).unwrap();
    let wake = Arc::new(CountingWake::default());
    receiver.set_wake(wake.clone());
    assert_eq!(wake.take(), 1);
}

#[test]
fn a_receiver_that_goes_rouses_the_sender_which_then_sees_it() {
    let (mut sender, receiver, sender_wake, _) = counted_link(LIMITS);
    drop(receiver);
    assert_eq!(sender_wake.take(), 1);
    let result = sender.try_send(batch(1));
    assert!(matches!(result, Err(TrySendError::Disconnected)));
}

#[test]
fn a_sender_that_goes_is_seen_after_the_last_element() {
    let (mut sender, mut receiver, _, receiver_wake) = counted_link(LIMITS);
    sender.try_send(batch(2)).unwrap();
    receiver_wake.take();
    drop(sender);
    assert_eq!(receiver_wake.take(), 1);
    assert_eq!(
        receiver.try_recv().unwrap().map(|element| element.rows()),
        Some(2)
    );
    assert_eq!(receiver.try_recv().unwrap_err(), Disconnected);
}

/// Rouses a parked thread, and remembers that it did, so that a thread which was not roused does not go on by chance.
struct UnparkingWake {
    thread: Thread,
    roused: AtomicBool,
}

impl UnparkingWake {
    fn of_this_thread() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current(),
            roused: AtomicBool::new(false),
        })
    }

    /// Waits until somebody calls [`Wake::wake`]. Spins for a while before it parks: the two threads then meet in
    /// the middle of each other's calls, where a wake-up could be lost, and not only when one of them has parked.
    fn wait(&self, context: &str) {
        for _ in 0..200 {
            if self.roused.swap(false, Ordering::SeqCst) {
                return;
            }
            std::hint::spin_loop();
        }
        for _ in 0..1_000 {
            if self.roused.swap(false, Ordering::SeqCst) {
                return;
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        panic!("a wake-up was lost, {context}");
    }
}

impl Wake for UnparkingWake {
    fn wake(&self) {
        self.roused.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Sends numbered batches of random sizes, with barriers between them, and waits whenever the link is full.
fn send_all(mut sender: LinkSender, rows_max: usize, mut random: fastrand::Rng, context: &str) {
    let wake = UnparkingWake::of_this_thread();
    sender.set_wake(wake.clone());
    for number in 0..ELEMENTS {
        let mut element = match random.u8(0..4) {
            0 => barrier(number),
            // One batch in a while is larger than the link.
            1 if random.u8(0..8) == 0 => {
                Element::Batch(Batch::from_rows(vec![number; rows_max + 3]))
            }
            _ => Element::Batch(Batch::from_rows(vec![number; random.usize(1..=rows_max)])),
        };
        loop {
            element = match sender.try_send(element) {
                Ok(()) => break,
                Err(TrySendError::Full(element)) => element,
                Err(TrySendError::Disconnected) => panic!("the receiver left, {context}"),
            };
            wake.wait(context);
        }
    }
}

/// Takes everything, and gives back the numbers in the order of their arrival.
fn receive_all(mut receiver: LinkReceiver, rows_max: usize, context: &str) -> Vec<u64> {
    let wake = UnparkingWake::of_this_thread();
    receiver.set_wake(wake.clone());
    let mut received = Vec::new();
    loop {
        let rows_queued = receiver.rows_queued();
        assert!(rows_queued <= rows_max + 3, "{rows_queued} rows, {context}");
        match receiver.try_recv() {
            Ok(Some(Element::Barrier(barrier))) => received.push(barrier.checkpoint.0),
            Ok(Some(Element::Batch(batch))) => {
                received.push(batch.into_rows::<u64>().unwrap()[0]);
            }
            Ok(Some(other)) => panic!("{other:?} was never sent, {context}"),
            Ok(None) => wake.wait(context),
            Err(Disconnected) => return received,
        }
    }
}

const ELEMENTS: u64 = 3_000;

#[test]
fn two_threads_lose_nothing_and_no_wake_up() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let limits = LinkLimits {
            rows_max: random.usize(1..=16),
            elements_max: random.usize(1..=4),
        };
        let context = format!("seed {seed}, {limits:?}");
        let (sender, receiver) = link(limits);
        let received = thread::scope(|scope| {
            scope.spawn(|| send_all(sender, limits.rows_max, random, &context));
            receive_all(receiver, limits.rows_max, &context)
        });
        assert!(received.iter().copied().eq(0..ELEMENTS), "{context}");
    }
}
