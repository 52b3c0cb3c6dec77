//! The actor around the coordinator: it carries messages to and fro, and keeps the time.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Recipient, SpawnHandle};
use tokio::sync::oneshot;

use crate::model::{SharedClock, SubtaskId};

use super::coordinator::{Coordinator, Effect, JobEnd};
use super::message::{Control, Opened, Report, StoreReport};
use super::request::Request;
use super::task_sampler::SAMPLE_INTERVAL;

/// The coordinator of one run of a job. It lives on the job's own thread.
pub(super) struct CoordinatorActor {
    coordinator: Coordinator,
    clock: SharedClock,
    /// Every subtask that is open.
    subtasks: BTreeMap<SubtaskId, Recipient<Control>>,
    timer: Option<SpawnHandle>,
    outcome: Option<oneshot::Sender<JobEnd>>,
}

impl CoordinatorActor {
    pub(super) fn new(
        coordinator: Coordinator,
        clock: SharedClock,
        outcome: oneshot::Sender<JobEnd>,
    ) -> Self {
        Self {
            coordinator,
            clock,
            subtasks: BTreeMap::new(),
            timer: None,
            outcome: Some(outcome),
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>, context: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::TellAll(message) => {
                    for subtask in self.subtasks.values() {
                        subtask.do_send(message);
                    }
                }
                Effect::Tell(subtask, message) => {
                    if let Some(address) = self.subtasks.get(&subtask) {
                        address.do_send(message);
                    }
                }
                Effect::WakeAt(at) => self.wake_at(at, context),
                Effect::End(end) => {
                    if let Some(outcome) = self.outcome.take() {
                        // Nobody listens any more when the thread that started the job is gone.
                        let _ = outcome.send(end);
                    }
                }
            }
        }
    }

    fn wake_at(&mut self, at: Duration, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        let delay = at.saturating_sub(self.clock.elapsed());
        self.timer = Some(context.run_later(delay, |actor, context| {
            actor.timer = None;
            let effects = actor.coordinator.tick();
            actor.carry_out(effects, context);
        }));
    }
}

impl Actor for CoordinatorActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let effects = self.coordinator.start();
        self.carry_out(effects, context);
    }
}

impl Handler<Opened> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, opened: Opened, context: &mut Self::Context) {
        let Opened { subtask, address } = opened;
        // Not from the start on: a job whose subtasks cannot be made ends before anything runs that has a clock.
        if self.subtasks.is_empty() {
            context.run_interval(SAMPLE_INTERVAL, |actor, _| {
                actor.coordinator.look_after_figures();
            });
        }
        self.subtasks.insert(subtask.clone(), address);
        let effects = self.coordinator.opened(subtask);
        self.carry_out(effects, context);
    }
}

impl Handler<Report> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, report: Report, context: &mut Self::Context) {
        let effects = self.coordinator.reported(report);
        self.carry_out(effects, context);
    }
}

impl Handler<StoreReport> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, report: StoreReport, context: &mut Self::Context) {
        let effects = self.coordinator.stored(report);
        self.carry_out(effects, context);
    }
}

impl Handler<Request> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, request: Request, context: &mut Self::Context) {
        let effects = self.coordinator.requested(request);
        self.carry_out(effects, context);
    }
}
