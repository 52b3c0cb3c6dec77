//! The actor around a subtask: it decides when to step, and carries messages to and fro.

use std::sync::Arc;

use actix::fut::ActorFutureExt;
use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Recipient, SpawnHandle, WrapFuture,
};
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::OperatorId;
use crate::state::StateStatistics;
use crate::telemetry::{JobStatus, Metric, WatermarkGauge, count, set_gauge, set_state_gauge};

use super::background::BackgroundJob;
use super::message::{Control, Report, ReportBody, WakeUp};
use super::panic::catch_panic;
use super::subtask::{Progress, Subtask};
use super::subtask_event::SubtaskEvent;
use super::wake::ActorWake;

/// How many records a subtask works off before it lets the others on its worker have a turn.
const STEP_ROWS_MAX: usize = 16 * 1024;

/// One subtask as an actor. It lives on the worker whose index it shares.
pub(super) struct SubtaskActor {
    subtask: Subtask,
    wake: Arc<ActorWake>,
    coordinator: Recipient<Report>,
    background: mpsc::Sender<BackgroundJob>,
    status: Arc<JobStatus>,
    /// Where the watermark is shown, if the subtask is at an end of the graph.
    watermark: Option<WatermarkGauge>,
    started: bool,
    /// Whether the next step is already in the worker's queue.
    scheduled: bool,
    /// The wake at the time that the subtask gave, when it had nothing to do. Any other wake replaces it.
    sleep: Option<SpawnHandle>,
    failed: bool,
}

impl SubtaskActor {
    pub(super) fn new(
        subtask: Subtask,
        wake: Arc<ActorWake>,
        coordinator: Recipient<Report>,
        background: mpsc::Sender<BackgroundJob>,
        status: Arc<JobStatus>,
    ) -> Self {
        Self {
            subtask,
            wake,
            coordinator,
            background,
            status,
            watermark: None,
            started: false,
            scheduled: false,
            sleep: None,
            failed: false,
        }
    }

    /// Steps once, and sees to it that the next step comes when it is worth while.
    fn run(&mut self, context: &mut Context<Self>) {
        if !self.started || self.failed || self.scheduled {
            return;
        }
        if let Some(sleep) = self.sleep.take() {
            context.cancel_future(sleep);
        }
        self.wake.taken_up();
        let progress = self.guarded(context, |subtask| subtask.step(STEP_ROWS_MAX));
        self.report_figures();
        match progress {
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
            Some(Progress::Waiting) | None => {}
        }
    }

    /// Calls into the subtask. An error or a panic there is a failed task that the coordinator hears of.
    fn guarded<R>(
        &mut self,
        context: &mut Context<Self>,
        call: impl FnOnce(&mut Subtask) -> Result<R>,
    ) -> Option<R> {
        if self.failed {
            return None;
        }
        let subtask = &mut self.subtask;
        // After a panic the subtask is only dropped, so nobody sees what it left half done.
        let error = match catch_panic(|| call(subtask)) {
            Ok(value) => match self.forward_events() {
                Ok(()) => return Some(value),
                Err(error) => error,
            },
            Err(error) => error,
        };
        self.failed = true;
        let operator = self.subtask.running().clone();
        self.report(ReportBody::Failed(operator, error));
        context.stop();
        None
    }

    fn forward_events(&mut self) -> Result<()> {
        let events: Vec<SubtaskEvent> = self.subtask.take_events().collect();
        for event in events {
            match event {
                SubtaskEvent::Snapshot(snapshot) => {
                    self.enqueue(BackgroundJob::Snapshot(snapshot))?;
                }
                SubtaskEvent::Commit(checkpoint, work) => {
                    self.enqueue(BackgroundJob::Commit(checkpoint, work))?;
                }
                SubtaskEvent::Declined(checkpoint, reason) => {
                    self.report(ReportBody::Declined(checkpoint, reason));
                }
                SubtaskEvent::Finished => self.report(ReportBody::Finished),
            }
        }
        Ok(())
    }

    fn enqueue(&self, job: BackgroundJob) -> Result<()> {
        self.background.try_send(job).map_err(|_| {
            // Dropping sealed state would break the chain of deltas, so this cannot be passed over.
            Error::new(
                ErrorKind::Environment,
                "the checkpoint storage is so slow that too many snapshots wait for it",
            )
        })
    }

    /// Once a step, not once a record.
    fn report_figures(&mut self) {
        let figures = self.subtask.take_figures();
        let states = self.subtask.take_state_figures();
        let (operator, index) = (&self.subtask.id().operator, self.subtask.id().index);
        if figures.is_source {
            self.status.add_records_in(figures.records_in);
        }
        self.status.add_records_out(figures.records_sunk);
        count(Metric::RecordsIn, operator, index, figures.records_in);
        let records_out = figures.records_sent + figures.records_sunk;
        count(Metric::RecordsOut, operator, index, records_out);
        for (operator, state) in &states {
            report_state(operator, index, state);
        }
        if let Some(lag) = figures.watermark_lag_seconds() {
            set_gauge(Metric::WatermarkLag, operator, index, lag);
        }
        if figures.is_last {
            let gauge = &mut self.watermark;
            gauge
                .get_or_insert_with(|| self.status.add_watermark())
                .set(figures.watermark);
        }
    }

    fn report(&self, body: ReportBody) {
        self.coordinator.do_send(Report {
            subtask: self.subtask.id().clone(),
            body,
        });
    }
}

fn report_state(operator: &OperatorId, subtask: usize, state: &StateStatistics) {
    let gauges = [
        (Metric::StateRecords, state.records as f64),
        (Metric::StateLiveBytes, state.live_bytes as f64),
        (Metric::StateSpareBytes, state.spare_bytes as f64),
        (Metric::StateTableLoad, state.table_load),
        (Metric::StateDeltaBytes, state.last_delta_bytes as f64),
        (Metric::StateBaseBytes, state.last_base_bytes as f64),
    ];
    for (metric, value) in gauges {
        set_state_gauge(metric, operator, subtask, &state.name, value);
    }
}

impl Actor for SubtaskActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let address = context.address();
        self.wake.set_actor(address.clone().recipient());
        if self.guarded(context, Subtask::open).is_some() {
            self.report(ReportBody::Opened(address.recipient()));
        }
    }

    fn stopped(&mut self, _context: &mut Self::Context) {
        self.report(ReportBody::Ended);
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

    fn handle(&mut self, message: Control, context: &mut Self::Context) {
        match message {
            Control::Start => self.started = true,
            Control::Trigger { checkpoint, stop } => {
                self.guarded(context, |subtask| subtask.trigger(checkpoint, stop));
            }
            Control::Complete(checkpoint) => {
                self.guarded(context, |subtask| subtask.complete(checkpoint));
            }
            Control::Abort(checkpoint) => {
                self.guarded(context, |subtask| subtask.abort(checkpoint));
            }
            Control::Cancel => {
                context.stop();
                return;
            }
        }
        // A barrier may have unblocked an input, or the subtask may only now begin.
        self.run(context);
    }
}
