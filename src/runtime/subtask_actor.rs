//! The actor around a subtask: it decides when to step, and takes in orders.

use std::sync::Arc;

use actix::fut::ActorFutureExt;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};

use super::coordinator_actor::CoordinatorActor;
use super::message::{Control, Opened, WakeUp};
use super::subtask::Progress;
use super::subtask_driver::SubtaskDriver;
use super::wake::ActorWake;

/// How many records a subtask works off before it lets the others on its worker have a turn.
const STEP_ROWS_MAX: usize = 16 * 1024;

/// One subtask as an actor. It lives on the worker whose index it shares.
pub(super) struct SubtaskActor {
    driver: SubtaskDriver,
    wake: Arc<ActorWake>,
    coordinator: Addr<CoordinatorActor>,
    /// Whether the next step is already in the worker's queue.
    scheduled: bool,
    /// The wake at the time that the subtask gave, when it had nothing to do. Any other wake replaces it.
    sleep: Option<SpawnHandle>,
}

impl SubtaskActor {
    pub(super) fn new(
        driver: SubtaskDriver,
        wake: Arc<ActorWake>,
        coordinator: Addr<CoordinatorActor>,
    ) -> Self {
        Self {
            driver,
            wake,
            coordinator,
            scheduled: false,
            sleep: None,
        }
    }

    /// Steps once, and sees to it that the next step comes when it is worth while.
    fn run(&mut self, context: &mut Context<Self>) {
        if !self.driver.is_running() || self.scheduled {
            return;
        }
        if let Some(sleep) = self.sleep.take() {
            context.cancel_future(sleep);
        }
        self.wake.taken_up();
        match self.driver.step(STEP_ROWS_MAX) {
            Some(Progress::Busy) => {
                self.scheduled = true;
                // Not a message to itself: the mailbox is drained without a budget, and the other subtasks of this
                // worker would never have a turn.
                let next_turn = tokio::task::yield_now().into_actor(self);
                context.spawn(next_turn.map(|(), actor, context| {
                    actor.scheduled = false;
                    actor.run(context);
                }));
            }
            Some(Progress::Sleeping(duration)) => {
                self.sleep = Some(context.run_later(duration, |actor, context| {
                    actor.sleep = None;
                    actor.run(context);
                }));
            }
            Some(Progress::Waiting) => {}
            None => context.stop(),
        }
    }
}

impl Actor for SubtaskActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let address = context.address();
        let woken = address.clone();
        self.wake.set_actor(move || woken.do_send(WakeUp));
        if self.driver.open() {
            self.coordinator.do_send(Opened {
                subtask: self.driver.subtask().id().clone(),
                address: address.recipient(),
            });
        } else {
            context.stop();
        }
    }

    fn stopped(&mut self, _context: &mut Self::Context) {
        self.driver.report_end();
    }
}

impl Handler<WakeUp> for SubtaskActor {
    type Result = ();

    fn handle(&mut self, _message: WakeUp, context: &mut Self::Context) {
        self.run(context);
    }
}

impl Handler<Control> for SubtaskActor {
    type Result = ();

    fn handle(&mut self, order: Control, context: &mut Self::Context) {
        self.driver.obey(order);
        if self.driver.has_ended() {
            context.stop();
        } else {
            self.run(context);
        }
    }
}
