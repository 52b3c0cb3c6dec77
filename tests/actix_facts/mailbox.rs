//! The mailbox: its capacity and its order.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::probe::{Call, Log, Note, Probe, in_system, notes};

#[test]
fn do_send_queues_far_beyond_the_capacity_and_never_blocks() {
    in_system(async {
        let log = Log::default();
        let probe = Probe::with_capacity(&log, 1);
        let address = probe.start();
        address.send(Note(0)).await.unwrap();
        // The actor shares this thread: it cannot take one message out before the next await.
        (1..10_000).for_each(|number| address.do_send(Note(number)));
        assert_eq!(log.len(), 1);
        address.send(Note(10_000)).await.unwrap();
        assert_eq!(log.events(), notes(0..10_001));
    });
}

#[test]
fn try_send_says_full_at_the_capacity_but_each_clone_of_the_address_has_a_slot_of_its_own() {
    in_system(async {
        let log = Log::default();
        let probe = Probe::with_capacity(&log, 3);
        let address = probe.start();
        address.send(Note(0)).await.unwrap();
        for number in 1..=3 {
            address.try_send(Note(number)).unwrap();
        }
        assert!(matches!(
            address.try_send(Note(99)),
            Err(SendError::Full(Note(99)))
        ));
        for number in 4..100 {
            let clone = address.clone();
            clone.try_send(Note(number)).unwrap();
            assert!(clone.try_send(Note(99)).is_err());
        }
        // A request clones the address as well, so it goes past the full mailbox.
        address.send(Note(100)).await.unwrap();
        assert_eq!(log.events(), notes(0..101));
        address.try_send(Note(101)).unwrap();
    });
}

#[test]
fn a_full_try_send_wakes_nobody_when_there_is_room_again() {
    in_system(async {
        let log = Log::default();
        let probe = Probe::with_capacity(&log, 1);
        let address = probe.start();
        address.send(Note(0)).await.unwrap();

        let polls = Arc::new(Mutex::new(0));
        let (sender_address, sender_polls) = (address.clone(), Arc::clone(&polls));
        let producer = actix::spawn(poll_fn(move |_| {
            *sender_polls.lock().unwrap() += 1;
            while sender_address.try_send(Note(1)).is_ok() {}
            Poll::<()>::Pending
        }));
        address.send(Note(2)).await.unwrap();
        // Several more rounds of the thread's tasks: the mailbox is empty, and would take a message.
        for _ in 0..10 {
            address.send(Note(2)).await.unwrap();
        }
        assert_eq!(*polls.lock().unwrap(), 1);
        producer.abort();
    });
}

#[test]
fn messages_of_one_sender_are_handled_in_the_order_they_were_sent_by_whichever_way() {
    in_system(async {
        let log = Log::default();
        let address = Probe::new(&log).start();
        let recipient = address.clone().recipient::<Note>();
        address.do_send(Note(0));
        recipient.do_send(Note(1));
        address.try_send(Note(2)).unwrap();
        let request = address.send(Note(3));
        address.do_send(Note(4));
        address.send(Note(5)).await.unwrap();
        request.await.unwrap();
        assert_eq!(log.events(), notes(0..6));
    });
}

#[test]
fn a_thread_without_any_runtime_can_send_and_wakes_the_actor() {
    let (sender, receiver) = oneshot::channel();
    in_system(async {
        let log = Log::default();
        let address = Probe::new(&log).start();
        let sent = Call::new(move |_, _| sender.send(7).unwrap());
        // The thread is joined before the first await, so the actor is asleep, or not yet started, when it sends.
        std::thread::scope(|scope| scope.spawn(move || address.do_send(sent)).join().unwrap());
        assert_eq!(receiver.await, Ok(7));
    });
}
