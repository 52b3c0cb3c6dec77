//! One attempt at a job, an action at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::action::{Action, Asked, Deed, Heard, Upcoming};
use super::executor::SteppedExecutor;
use super::mail::{Lane, Letter, Mail};
use super::subtask::SteppedSubtask;
use crate::error::{Error, Result};
use crate::graph::PhysicalPlan;
use crate::model::{SharedClock, SubtaskId};
use crate::runtime::coordinator::{Coordinator, Effect, JobEnd};
use crate::runtime::executor::SharedExecutor;
use crate::runtime::job::{JobRun, UsedIds};
use crate::runtime::message::{Control, StoreReport};
use crate::runtime::request::{Request, StopRequest};
use crate::runtime::ticket::Ticket;
use crate::snapshot::Recovery;

/// One attempt at a job. Dropping it is a crash: what is under way stays as it is.
pub(crate) struct SteppedAttempt {
    subtasks: Vec<SteppedSubtask>,
    coordinator: Coordinator,
    executor: Arc<SteppedExecutor>,
    mail: Mail,
    clock: SharedClock,
    /// When the coordinator wants to look at the clock.
    wakes_at: Option<Duration>,
    end: Option<JobEnd>,
}

impl SteppedAttempt {
    /// Finds what the job goes on from, as a process does that has just been started.
    ///
    /// # Errors
    /// As for the start of a job.
    pub(crate) fn recover(run: &JobRun, runtime: &Runtime) -> Result<Recovery> {
        runtime.block_on(run.recover(&mut UsedIds::default(), runtime.handle()))
    }

    /// An attempt that goes on from `recovery`, none of its subtasks open yet. `runtime` lends its timers to the store.
    ///
    /// # Errors
    /// When the checkpoint does not fit the job.
    pub(crate) fn new(run: &JobRun, recovery: &Recovery, runtime: &Runtime) -> Result<Self> {
        let plan = PhysicalPlan::of(&run.graph);
        let stepped = Arc::new(SteppedExecutor::new(runtime.handle().clone()));
        let executor: SharedExecutor = stepped.clone();
        let mail = Mail::default();
        let ids = run.subtask_ids(&plan).enumerate();
        let places = ids.map(|(place, id)| (id, place)).collect();
        let seeds = run.seeds(&plan, recovery, &executor, mail.reporter(places))?;
        let coordinator = run.coordinator(&plan, recovery, &executor, mail.store_reporter());
        let mut attempt = Self {
            subtasks: seeds.into_iter().map(SteppedSubtask::of_seed).collect(),
            coordinator,
            executor: stepped,
            mail,
            clock: SharedClock::clone(&run.clock),
            wakes_at: None,
            end: None,
        };
        let effects = attempt.coordinator.start();
        attempt.carry_out(effects);
        Ok(attempt)
    }

    /// Everything that can happen now, in an order that only depends on what has happened before.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let now = self.clock.elapsed();
        let mut actions = Vec::new();
        for (place, subtask) in self.subtasks.iter().enumerate() {
            if subtask.is_seed() {
                actions.push(Action::Open(place));
            }
            if subtask.is_ready(now) {
                actions.push(Action::Step(place));
            }
            if subtask.has_orders() {
                actions.push(Action::Order(place));
            }
        }
        actions.extend(self.mail.lanes().into_iter().map(Action::Letter));
        let tasks = self.executor.ready().into_iter();
        actions.extend(tasks.map(Action::Background));
        if self.wakes_at.is_some_and(|at| at <= now) {
            actions.push(Action::Tick);
        }
        actions
    }

    /// When something will be possible that is not yet, if nothing else happens until then.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        let sleeps = self
            .subtasks
            .iter()
            .filter_map(SteppedSubtask::sleeps_until);
        let now = self.clock.elapsed();
        sleeps.chain(self.wakes_at).filter(|at| *at > now).min()
    }

    /// What an action would be about.
    pub(crate) fn upcoming(&self, action: Action) -> Upcoming {
        match action {
            Action::Letter(lane) => self.mail.upcoming(lane),
            Action::Order(place) => match self.subtasks[place].next_order() {
                Some(Control::Trigger { .. }) => Upcoming::Trigger,
                Some(Control::Complete(_)) => Upcoming::Complete,
                _ => Upcoming::Other,
            },
            _ => Upcoming::Other,
        }
    }

    /// Something outside of the job has changed: a step of each subtask may be worth while.
    pub(crate) fn rouse(&mut self) {
        for subtask in &mut self.subtasks {
            subtask.rouse();
        }
    }

    /// Lets one thing happen. A step works off about `rows_max` rows.
    pub(crate) fn perform(&mut self, action: Action, rows_max: usize) -> Deed {
        let now = self.clock.elapsed();
        match action {
            Action::Open(place) => {
                let subtask = &mut self.subtasks[place];
                let (id, is_open) = (subtask.id.clone(), subtask.open());
                if is_open {
                    self.mail
                        .send(Lane::Subtask(place), Letter::Opened(id.clone()));
                }
                Deed::Opened(id, is_open)
            }
            Action::Step(place) => {
                let subtask = &mut self.subtasks[place];
                let progress = subtask.step(rows_max, now);
                Deed::Stepped(subtask.id.clone(), progress)
            }
            Action::Order(place) => {
                let subtask = &mut self.subtasks[place];
                match subtask.obey() {
                    Some(order) => Deed::Obeyed(subtask.id.clone(), order),
                    None => Deed::Stepped(subtask.id.clone(), None),
                }
            }
            Action::Letter(lane) => self.deliver(lane, now),
            Action::Background(task) => Deed::Background(task, self.executor.poll(task)),
            Action::Tick => self.tick(now),
        }
    }

    /// Somebody outside asks for something.
    pub(crate) fn ask(&mut self, asked: Asked) {
        let request = match asked {
            Asked::Checkpoint => Request::Checkpoint(Ticket::new().0),
            Asked::Stop => Request::Stop(StopRequest::default(), Ticket::new().0),
            #[cfg(test)]
            Asked::Cancel => Request::Cancel,
        };
        self.request(request);
    }

    pub(super) fn request(&mut self, request: Request) {
        let effects = self.coordinator.requested(request);
        self.carry_out(effects);
    }

    /// How the job ended, once it has.
    pub(crate) fn end(&self) -> Option<&JobEnd> {
        self.end.as_ref()
    }

    /// What must hold between any two actions.
    ///
    /// # Errors
    /// Names the promise that is broken.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) -> Result<(), String> {
        self.coordinator.check_invariants()?;
        self.subtasks
            .iter()
            .try_for_each(SteppedSubtask::check_invariants)
    }

    /// What must hold when nothing can happen before time passes: nobody sleeps who could work.
    ///
    /// # Errors
    /// Names a subtask that was not woken.
    #[cfg(test)]
    pub(crate) fn check_rest(&self) -> Result<(), String> {
        self.subtasks
            .iter()
            .try_for_each(SteppedSubtask::check_rest)
    }

    /// Whether subtasks are still to be opened.
    #[cfg(test)]
    pub(crate) fn is_opening(&self) -> bool {
        self.end.is_none() && self.subtasks.iter().any(SteppedSubtask::is_seed)
    }

    /// Whether anybody has asked for the job's end.
    #[cfg(test)]
    pub(super) fn end_requested(&self) -> bool {
        self.coordinator.end_requested()
    }

    /// How the job ended, once it has.
    pub(super) fn into_end(mut self) -> Option<JobEnd> {
        self.end.take()
    }

    /// What the job failed with, once it has.
    pub(crate) fn into_failure(self) -> Option<Error> {
        self.into_end().and_then(|end| end.failure)
    }

    fn deliver(&mut self, lane: Lane, now: Duration) -> Deed {
        let (effects, deed) = match self.mail.take(lane) {
            Some(Letter::Opened(subtask)) => {
                let deed = Deed::HeardOpened(subtask.clone());
                if let Some(known) = self.subtask(&subtask) {
                    known.is_known = true;
                }
                (self.coordinator.opened(subtask), deed)
            }
            Some(Letter::Report(report)) => {
                let deed = Deed::Heard(report.subtask.clone(), Heard::of(&report.body));
                (self.coordinator.reported(report), deed)
            }
            Some(Letter::Store(report)) => {
                let deed = match &report {
                    StoreReport::Manifest(written) => {
                        Deed::HeardManifest(written.checkpoint, written.result.is_ok())
                    }
                    StoreReport::Cleaned => Deed::HeardCleaned,
                    StoreReport::Located(..) => Deed::HeardLocated,
                };
                (self.coordinator.stored(report), deed)
            }
            None => return self.tick(now),
        };
        self.carry_out(effects);
        deed
    }

    fn tick(&mut self, now: Duration) -> Deed {
        self.wakes_at = None;
        let effects = self.coordinator.tick();
        self.carry_out(effects);
        Deed::Ticked(now)
    }

    fn subtask(&mut self, id: &SubtaskId) -> Option<&mut SteppedSubtask> {
        self.subtasks.iter_mut().find(|subtask| subtask.id == *id)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::TellAll(order) => {
                    for subtask in &mut self.subtasks {
                        subtask.send(order);
                    }
                }
                Effect::Tell(id, order) => {
                    if let Some(subtask) = self.subtask(&id) {
                        subtask.send(order);
                    }
                }
                Effect::WakeAt(at) => self.wakes_at = Some(at),
                Effect::End(end) => self.end = Some(end),
            }
        }
    }
}

impl Drop for SteppedAttempt {
    fn drop(&mut self) {
        self.executor.drop_all();
    }
}
