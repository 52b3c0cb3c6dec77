//! How an actor ends, and what becomes of the messages in its mailbox.

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::probe::Event::{Handled, Stopped};
use crate::probe::{Call, Log, Note, Probe, in_system, notes};

#[test]
fn an_actor_whose_last_address_is_dropped_handles_what_is_queued_and_then_ends() {
    in_system(async {
        let log = Log::default();
        let (probe, end) = Probe::with_end(&log);
        let address = probe.start();
        (0..1_000).for_each(|number| address.do_send(Note(number)));
        drop(address);
        assert!(end.await.is_err());
        let mut expected = notes(0..1_000);
        expected.push(Stopped);
        assert_eq!(log.events(), expected);
    });
}

#[test]
fn an_actor_with_a_pending_future_outlives_its_last_address() {
    in_system(async {
        let log = Log::default();
        let (probe, mut end) = Probe::with_end(&log);
        let address = probe.start();
        let (sender, gate) = oneshot::channel::<()>();
        address.do_send(Call::new(move |probe, context| {
            context.spawn(gate.into_actor(probe).map(|_, _, _| ()));
        }));
        drop(address);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(end.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        sender.send(()).unwrap();
        assert!(end.await.is_err());
        assert_eq!(log.events(), [Stopped]);
    });
}

#[test]
fn a_context_that_stops_discards_what_is_queued() {
    in_system(async {
        let log = Log::default();
        let (probe, end) = Probe::with_end(&log);
        let address = probe.start();
        address.do_send(Note(0));
        address.do_send(Call::new(|_, context| context.stop()));
        let request = address.send(Note(1));
        assert_eq!(request.await, Err(MailboxError::Closed));
        assert!(end.await.is_err());
        assert!(!address.connected());
        assert_eq!(log.events(), [Handled(0), Stopped]);
    });
}

#[test]
fn an_arbiter_that_is_stopped_and_joined_has_dropped_its_actors() {
    in_system(async {
        let log = Log::default();
        let (probe, end) = Probe::with_end(&log);
        let arbiter = Arbiter::new();
        let address = Probe::start_in_arbiter(&arbiter.handle(), move |_| probe);
        address.send(Note(0)).await.unwrap();
        arbiter.stop();
        arbiter.join().unwrap();
        assert!(end.await.is_err());
        assert!(!address.connected());
        assert_eq!(log.events(), [Handled(0), Stopped]);
    });
}
