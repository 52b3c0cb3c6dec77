//! Who gets a turn: the mailbox, the futures and timers of an actor, and the other actors on its thread.

use std::time::Duration;

use actix::prelude::*;
use floodmark::model::{Clock, SystemClock};
use tokio::sync::oneshot;

use crate::probe::Event::{Handled, OwnFuture, Stopped, Timer};
use crate::probe::{Call, Log, Note, Probe, in_system, notes};

/// How an actor gives itself its next step.
#[derive(Clone, Copy)]
enum Continue {
    /// By a message to its own mailbox.
    SelfSend,
    /// By `Context::notify`.
    Notify,
    /// By a future of its own that first yields to the thread's other tasks.
    Yield,
}

/// A step of a loop that an actor runs by itself until `left` is 0.
#[derive(Message)]
#[rtype(result = "()")]
struct Step {
    left: u32,
    how: Continue,
}

impl Handler<Step> for Probe {
    type Result = ();

    fn handle(&mut self, Step { left, how }: Step, context: &mut Self::Context) {
        self.log.push(Handled(left));
        if left == 0 {
            return;
        }
        let next = Step {
            left: left - 1,
            how,
        };
        match how {
            Continue::SelfSend => context.address().do_send(next),
            Continue::Notify => context.notify(next),
            Continue::Yield => {
                let step = tokio::task::yield_now()
                    .into_actor(self)
                    .map(|(), probe, context| probe.handle(next, context));
                context.spawn(step);
            }
        }
    }
}

#[test]
fn an_actor_drains_its_whole_mailbox_before_a_future_of_its_own_runs() {
    in_system(async {
        let log = Log::default();
        let address = Probe::new(&log).start();
        let (sender, future_ran) = oneshot::channel();
        address.do_send(Call::new(move |probe, context| {
            let future = async {}.into_actor(probe).map(move |(), probe, _| {
                probe.log.push(OwnFuture);
                sender.send(()).unwrap();
            });
            context.spawn(future);
        }));
        (0..10_000).for_each(|number| address.do_send(Note(number)));
        future_ran.await.unwrap();
        let mut expected = notes(0..10_000);
        expected.push(OwnFuture);
        assert_eq!(log.events(), expected);
    });
}

#[test]
fn a_timer_that_is_due_waits_until_the_flood_is_over() {
    in_system(async {
        let log = Log::default();
        let address = Probe::new(&log).start();
        let (sender, timer_ran) = oneshot::channel();
        address.do_send(Call::new(move |_, context| {
            context.run_later(Duration::ZERO, move |probe, _| {
                probe.log.push(Timer);
                sender.send(()).unwrap();
            });
        }));
        address.do_send(Step {
            left: 9_999,
            how: Continue::SelfSend,
        });
        timer_ran.await.unwrap();
        let mut expected: Vec<_> = notes(0..10_000).into_iter().rev().collect();
        expected.push(Timer);
        assert_eq!(log.events(), expected);
    });
}

#[test]
fn a_timer_never_fires_early() {
    in_system(async {
        let delay = Duration::from_millis(5);
        let clock = SystemClock::new();
        let (sender, timer_ran) = oneshot::channel();
        let address = Probe::new(&Log::default()).start();
        address.do_send(Call::new(move |_, context| {
            context.run_later(delay, move |_, _| sender.send(()).unwrap());
        }));
        timer_ran.await.unwrap();
        assert!(clock.elapsed() >= delay, "{:?}", clock.elapsed());
    });
}

/// How many steps of a 1,000-step loop another actor of the same thread sees done when it handles its first message,
/// which was in its mailbox before the loop began.
fn steps_before_the_neighbour_runs(how: Continue) -> usize {
    in_system(async move {
        let log = Log::default();
        let looping = Probe::new(&log).start();
        let neighbour = Probe::new(&Log::default()).start();
        looping.do_send(Step { left: 999, how });
        let (sender, seen) = oneshot::channel();
        neighbour.do_send(Call::new(move |_, _| sender.send(log.len()).unwrap()));
        seen.await.unwrap()
    })
}

#[test]
fn an_actor_that_sends_to_itself_starves_the_others_on_its_thread() {
    assert_eq!(steps_before_the_neighbour_runs(Continue::SelfSend), 1_000);
}

#[test]
fn an_actor_that_notifies_itself_starves_the_others_on_its_thread() {
    assert_eq!(steps_before_the_neighbour_runs(Continue::Notify), 1_000);
}

#[test]
fn an_actor_that_yields_in_a_future_of_its_own_lets_the_others_in_after_each_step() {
    assert_eq!(steps_before_the_neighbour_runs(Continue::Yield), 1);
}

#[test]
fn two_actors_that_yield_take_turns() {
    in_system(async {
        let log = Log::default();
        let (first, first_end) = Probe::with_end(&log);
        let (second, second_end) = Probe::with_end(&log);
        for probe in [first, second] {
            probe.start().do_send(Step {
                left: 50,
                how: Continue::Yield,
            });
        }
        assert!(first_end.await.is_err() && second_end.await.is_err());
        let mut steps = log.events();
        steps.retain(|event| *event != Stopped);
        let expected: Vec<_> = (0..=50).rev().flat_map(|left| [Handled(left); 2]).collect();
        assert_eq!(steps, expected);
    });
}

#[test]
fn a_message_that_arrives_during_a_yield_is_handled_before_the_next_step() {
    in_system(async {
        let log = Log::default();
        let address = Probe::new(&log).start();
        let own = address.clone();
        address.do_send(Call::new(move |probe, context| {
            // Sent from another task, which runs while the actor yields.
            actix::spawn(async move { own.do_send(Note(1)) });
            let how = Continue::Yield;
            probe.handle(Step { left: 3, how }, context);
        }));
        let (sender, stepped) = oneshot::channel();
        address.do_send(Call::new(move |probe, context| {
            let wait = async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            };
            context.spawn(
                wait.into_actor(probe)
                    .map(|(), _, _| sender.send(()).unwrap()),
            );
        }));
        stepped.await.unwrap();
        let expected = [3, 1, 2, 1, 0].map(Handled);
        assert_eq!(log.events(), expected);
    });
}

#[test]
fn while_a_context_waits_for_a_future_no_message_is_handled() {
    in_system(async {
        let log = Log::default();
        let address = Probe::new(&log).start();
        let (sender, gate) = oneshot::channel::<()>();
        address
            .send(Call::new(move |probe, context| {
                let wait = gate.into_actor(probe);
                context.wait(wait.map(|_, probe, _| probe.log.push(OwnFuture)));
            }))
            .await
            .unwrap();
        let request = address.send(Note(0));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(log.events(), []);
        sender.send(()).unwrap();
        request.await.unwrap();
        assert_eq!(log.events(), [OwnFuture, Handled(0)]);
    });
}

#[test]
fn notifications_come_after_the_mailbox_and_not_in_their_order() {
    in_system(async {
        let log = Log::default();
        let (probe, end) = Probe::with_end(&log);
        let address = probe.start();
        address.do_send(Call::new(|_, context| {
            (1..=4).for_each(|number| context.notify(Note(number)));
        }));
        (100..103).for_each(|number| address.do_send(Note(number)));
        drop(address);
        assert!(end.await.is_err());
        let expected = [100, 101, 102, 1, 4, 3, 2].map(Handled);
        assert_eq!(log.events()[..7], expected);
    });
}
