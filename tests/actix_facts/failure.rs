//! What a panic does to an actor and to those around it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::prelude::*;

use crate::probe::Event::{Handled, Stopped};
use crate::probe::{Call, Log, Note, Probe, in_system, notes};

#[test]
fn a_panic_ends_the_actor_and_closes_its_address_and_spares_its_neighbours() {
    in_system(async {
        let (log, neighbour_log) = (Log::default(), Log::default());
        let (probe, end) = Probe::with_end(&log);
        let arbiter = Arbiter::new();
        let address = Probe::start_in_arbiter(&arbiter.handle(), move |_| probe);
        let neighbour_probe = Probe::new(&neighbour_log);
        let neighbour = Probe::start_in_arbiter(&arbiter.handle(), move |_| neighbour_probe);

        let panicking = address.send(Call::new(|_, context| {
            // Queued behind the message that panics, and lost with it.
            context.address().do_send(Note(1));
            panic!("this panic is part of a test");
        }));
        assert_eq!(panicking.await, Err(MailboxError::Closed));
        assert!(end.await.is_err());
        // The actor is dropped before its mailbox is closed: seen from another thread, the address can look connected
        // for a moment longer. What is sent in that moment comes back as closed all the same.
        assert_eq!(address.send(Note(2)).await, Err(MailboxError::Closed));
        assert!(!address.connected());
        assert!(matches!(
            address.try_send(Note(3)),
            Err(SendError::Closed(Note(3)))
        ));
        // A message to an actor that is gone is lost without a word.
        address.do_send(Note(4));
        assert_eq!(log.events(), [Stopped]);

        neighbour.send(Note(5)).await.unwrap();
        assert_eq!(neighbour_log.events(), [Handled(5)]);
        arbiter.stop();
        arbiter.join().unwrap();
    });
}

#[test]
fn a_panic_in_a_future_of_the_actors_own_ends_the_actor_too() {
    in_system(async {
        let log = Log::default();
        let (probe, end) = Probe::with_end(&log);
        let address = probe.start();
        address.do_send(Call::new(|probe, context| {
            let future = async {}.into_actor(probe);
            context.spawn(future.map(|(), _, _| panic!("this panic is part of a test")));
        }));
        assert!(end.await.is_err());
        assert!(!address.connected());
        assert_eq!(log.events(), [Stopped]);
    });
}

#[test]
fn a_panic_that_is_caught_in_the_handler_leaves_the_actor_as_it_was() {
    in_system(async {
        let log = Log::default();
        let address = Probe::new(&log).start();
        address.do_send(Note(0));
        address.do_send(Call::new(|probe, _| {
            let body = || panic!("this panic is part of a test");
            let outcome: Result<(), _> = catch_unwind(AssertUnwindSafe(body));
            assert!(outcome.is_err());
            probe.log.push(Handled(1));
        }));
        address.send(Note(2)).await.unwrap();
        assert!(address.connected());
        assert_eq!(log.events(), notes(0..3));
    });
}
