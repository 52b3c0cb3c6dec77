//! Around the step of a subtask, without an actor: orders in, reports and background work out.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{OperatorId, SharedClock};
use crate::state::StateStatistics;
use crate::telemetry::{
    Activity, JobStatus, Metric, TaskMeter, TaskStatus, WatermarkGauge, count, set_gauge,
    set_state_gauge,
};

use super::commit_lane::CommitJob;
use super::message::{Control, Report, ReportBody, Reporter};
use super::panic::catch_panic;
use super::setting::Setting;
use super::subtask::{Progress, Subtask};
use super::subtask_event::{SealedSubtask, SubtaskEvent};

/// A subtask with its ways to the coordinator and to the background.
pub(super) struct SubtaskDriver {
    subtask: Subtask,
    reporter: Reporter,
    /// What is to be made safe in the store.
    snapshots: mpsc::Sender<SealedSubtask>,
    /// What is to be done outside.
    commits: mpsc::Sender<CommitJob>,
    status: Arc<JobStatus>,
    clock: SharedClock,
    /// What the subtask spends its time on.
    meter: Arc<TaskMeter>,
    /// Where the watermark is shown, if the subtask is at an end of the graph.
    watermark: Option<WatermarkGauge>,
    started: bool,
    ended: bool,
}

impl SubtaskDriver {
    /// A driver of a subtask that is not open yet.
    pub(super) fn new(
        subtask: Subtask,
        reporter: Reporter,
        snapshots: mpsc::Sender<SealedSubtask>,
        commits: mpsc::Sender<CommitJob>,
        setting: &Setting,
    ) -> Self {
        let (status, clock) = (Arc::clone(&setting.status), Arc::clone(&setting.clock));
        let meter = status.add_task(subtask.id().clone(), clock.elapsed());
        Self {
            subtask,
            reporter,
            snapshots,
            commits,
            status,
            clock,
            meter,
            watermark: None,
            started: false,
            ended: false,
        }
    }

    /// The subtask.
    pub(super) fn subtask(&self) -> &Subtask {
        &self.subtask
    }

    /// Opens the operators. Gives whether they are open.
    pub(super) fn open(&mut self) -> bool {
        let begun = self.clock.elapsed();
        let is_open = self.guarded(Subtask::open).is_some();
        let now = self.clock.elapsed();
        let took = now.saturating_sub(begun);
        self.meter.opened(took);
        self.meter.switch(Activity::Idle, now, 0, 0);
        let id = self.subtask.id();
        let seconds = took.as_secs_f64();
        set_gauge(Metric::Initialization, &id.operator, id.index, seconds);
        is_open
    }

    /// Whether the subtask has begun and not ended, so that a step may be worth while.
    pub(super) fn is_running(&self) -> bool {
        self.started && !self.ended
    }

    /// Whether the subtask has failed or was cancelled: it is of no use any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Works until about `rows_max` records are done. Gives what the subtask needs before the next step; nothing when it
    /// has ended.
    pub(super) fn step(&mut self, rows_max: usize) -> Option<Progress> {
        self.meter
            .switch(Activity::Busy, self.clock.elapsed(), 0, 0);
        let progress = self.guarded(|subtask| subtask.step(rows_max));
        let activity = match progress {
            // Until its next turn it waits for its worker, not for anything else.
            Some(Progress::Busy) => Activity::Busy,
            _ if self.subtask.is_back_pressured() => Activity::BackPressured,
            _ => Activity::Idle,
        };
        self.report_figures(activity);
        progress
    }

    /// Does what the coordinator orders. A step may be worth while afterwards: a barrier may have unblocked an input, or
    /// the subtask may only now begin.
    pub(super) fn obey(&mut self, order: Control) {
        match order {
            Control::Start => {
                self.started = true;
                self.meter.set_status(TaskStatus::Running);
            }
            Control::Trigger { barrier, stop } => {
                self.guarded(|subtask| subtask.trigger(barrier, stop));
            }
            Control::Drain => {
                self.guarded(|subtask| {
                    subtask.drain();
                    Ok(())
                });
            }
            Control::Complete(checkpoint) => {
                self.guarded(|subtask| subtask.complete(checkpoint));
            }
            Control::Abort(checkpoint) => {
                self.guarded(|subtask| subtask.abort(checkpoint));
            }
            Control::Cancel => {
                self.ended = true;
                self.meter.set_status(TaskStatus::Canceled);
            }
        }
    }

    /// The last word of a subtask, when it is dropped.
    pub(super) fn report_end(&self) {
        self.report(ReportBody::Ended);
    }

    /// Calls into the subtask. An error or a panic there is a failed task that the coordinator hears of.
    fn guarded<R>(&mut self, call: impl FnOnce(&mut Subtask) -> Result<R>) -> Option<R> {
        if self.ended {
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
        self.ended = true;
        self.meter.set_status(TaskStatus::Failed);
        let operator = self.subtask.running().clone();
        self.report(ReportBody::Failed(operator, error));
        None
    }

    fn forward_events(&mut self) -> Result<()> {
        let events: Vec<SubtaskEvent> = self.subtask.take_events().collect();
        for event in events {
            match event {
                SubtaskEvent::Snapshot(snapshot) => {
                    // Dropping sealed state would break the chain of deltas, so this cannot be passed over.
                    enqueue(&self.snapshots, snapshot, "the checkpoint storage")?;
                }
                SubtaskEvent::Commit(checkpoint, work) => {
                    let checkpoint = Some(checkpoint);
                    let job = CommitJob { checkpoint, work };
                    enqueue(&self.commits, job, "whoever a sink commits to")?;
                }
                SubtaskEvent::Recovery(work) => {
                    let checkpoint = None;
                    let job = CommitJob { checkpoint, work };
                    enqueue(&self.commits, job, "whoever a sink commits to")?;
                }
                SubtaskEvent::CheckpointWanted => self.report(ReportBody::CheckpointWanted),
                SubtaskEvent::Declined(checkpoint, reason) => {
                    self.report(ReportBody::Declined(checkpoint, reason));
                }
                SubtaskEvent::Finished => {
                    self.meter.set_status(TaskStatus::Finished);
                    self.report(ReportBody::Finished);
                }
            }
        }
        Ok(())
    }

    /// Once a step, not once a record.
    fn report_figures(&mut self, activity: Activity) {
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
        let now = self.clock.elapsed();
        self.meter
            .switch(activity, now, figures.records_in, records_out);
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
        (self.reporter)(Report {
            subtask: self.subtask.id().clone(),
            body,
        });
    }
}

fn enqueue<T>(queue: &mpsc::Sender<T>, job: T, waited_for: &str) -> Result<()> {
    queue.try_send(job).map_err(|error| match error {
        TrySendError::Full(_) => Error::new(
            ErrorKind::Environment,
            format!("{waited_for} is so slow that too many checkpoints wait for it"),
        ),
        TrySendError::Closed(_) => Error::new(ErrorKind::Bug, "its background is gone"),
    })
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
