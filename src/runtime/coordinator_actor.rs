//! The actor around the coordinator: it passes events to the checkpoint protocol and the job's life, and carries out
//! what they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle};
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use crate::coordinator::{
    CheckpointCommand, CheckpointCoordinator, CheckpointKind, CheckpointSettings, FailureReason,
    JobCommand, JobFailure, JobLife, JobState,
};
use crate::error::{Error, ErrorKind};
use crate::model::{CheckpointId, OperatorId, SharedClock, SubtaskId};
use crate::telemetry::{
    JobPhase, JobStatus, LastCheckpoint, Metric, count_in_job, observe, observe_in_job,
};

use super::background::SubtaskAck;
use super::committer::{Committed, Committer};
use super::message::{Control, Report, ReportBody};

type Command = CheckpointCommand<Box<SubtaskAck>>;

/// Coordinates one run of a job. It lives on the job's own thread.
pub(super) struct CoordinatorActor {
    checkpoints: CheckpointCoordinator<Box<SubtaskAck>>,
    life: JobLife,
    committer: Committer,
    clock: SharedClock,
    status: Arc<JobStatus>,
    /// The id of the first checkpoint of this run.
    next_id: CheckpointId,
    /// Every subtask of the job; with its address once it is open.
    subtasks: BTreeMap<SubtaskId, Option<Recipient<Control>>>,
    ended: BTreeSet<SubtaskId>,
    timer: Option<SpawnHandle>,
    outcome: Option<oneshot::Sender<JobEnd>>,
}

/// How a job came to its end.
pub(super) struct JobEnd {
    pub(super) state: JobState,
    /// What failed first, with the operator it failed in.
    pub(super) failure: Option<Error>,
    /// The store's work that is left: manifests that are being written, superseded checkpoints that are being deleted.
    pub(super) tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What somebody outside asks for.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(super) enum Request {
    /// Take a checkpoint now.
    Checkpoint,
    /// Stop with a last checkpoint.
    Stop,
    /// End at once.
    Cancel,
}

/// A manifest is durable, or could not be written.
#[derive(Message)]
#[rtype(result = "()")]
struct ManifestWritten {
    checkpoint: CheckpointId,
    kind: CheckpointKind,
    triggered_at: Duration,
    result: Result<Committed, Error>,
}

impl CoordinatorActor {
    pub(super) fn new(
        settings: CheckpointSettings,
        committer: Committer,
        subtasks: impl Iterator<Item = SubtaskId>,
        next_id: CheckpointId,
        clock: SharedClock,
        status: Arc<JobStatus>,
        outcome: oneshot::Sender<JobEnd>,
    ) -> Self {
        Self {
            checkpoints: CheckpointCoordinator::new(settings),
            life: JobLife::new(),
            committer,
            clock,
            status,
            next_id,
            subtasks: subtasks.map(|subtask| (subtask, None)).collect(),
            ended: BTreeSet::new(),
            timer: None,
            outcome: Some(outcome),
        }
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Tells every subtask that is open. One that is gone misses nothing.
    fn tell_all(&self, message: Control) {
        for subtask in self.subtasks.values().flatten() {
            subtask.do_send(message);
        }
    }

    fn opened(
        &mut self,
        subtask: SubtaskId,
        address: Recipient<Control>,
        context: &mut Context<Self>,
    ) {
        if self.life.state() != JobState::Restoring {
            address.do_send(Control::Cancel);
        }
        self.subtasks.insert(subtask, Some(address));
        let all_open = self.subtasks.values().all(Option::is_some);
        if all_open && self.life.state() == JobState::Restoring {
            let commands = self.life.restored();
            self.live(commands, context);
            self.status.set_phase(JobPhase::Running);
            self.tell_all(Control::Start);
            let subtasks = self.subtasks.keys().cloned().collect();
            let commands = self.checkpoints.started(subtasks, self.next_id, self.now());
            self.carry_out(commands, context);
        }
    }

    fn acknowledged(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        acknowledgement: Box<SubtaskAck>,
        context: &mut Context<Self>,
    ) {
        let (operator, index) = (&subtask.operator, subtask.index);
        let figures = &acknowledgement.figures;
        let stall = figures.sync_duration.as_secs_f64();
        observe(Metric::BarrierStall, operator, index, stall);
        debug!(
            %checkpoint,
            %subtask,
            start_delay = ?figures.start_delay,
            alignment = ?figures.alignment_duration,
            sync = ?figures.sync_duration,
            r#async = ?figures.async_duration,
            bytes = figures.uploaded_bytes,
            "acknowledged"
        );
        self.committer
            .acknowledged(checkpoint, subtask, &acknowledgement);
        let commands =
            self.checkpoints
                .acknowledged(checkpoint, subtask, acknowledgement, self.now());
        self.carry_out(commands, context);
    }

    fn declined(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        reason: FailureReason,
        context: &mut Context<Self>,
    ) {
        let commands = self
            .checkpoints
            .declined(checkpoint, subtask, reason, self.now());
        self.carry_out(commands, context);
    }

    fn failed(
        &mut self,
        subtask: Option<SubtaskId>,
        operator: Option<OperatorId>,
        error: Error,
        context: &mut Context<Self>,
    ) {
        let commands = self.life.failed(JobFailure {
            subtask,
            operator,
            error,
        });
        self.live(commands, context);
    }

    fn ended(&mut self, subtask: SubtaskId, context: &mut Context<Self>) {
        let asked = !matches!(self.life.state(), JobState::Restoring | JobState::Running);
        if !asked {
            let error = Error::new(ErrorKind::Bug, "it ended although nothing had told it to");
            self.failed(Some(subtask.clone()), None, error, context);
        }
        self.ended.insert(subtask);
        if self.ended.len() == self.subtasks.len() {
            let commands = self.life.all_subtasks_stopped();
            self.live(commands, context);
        }
    }

    /// Carries out what the checkpoint protocol asks for.
    fn carry_out(&mut self, commands: Vec<Command>, context: &mut Context<Self>) {
        for command in commands {
            match command {
                CheckpointCommand::Trigger { checkpoint, kind } => {
                    debug!(%checkpoint, %kind, "triggered");
                    self.committer.begin(checkpoint);
                    self.tell_all(Control::Trigger {
                        checkpoint,
                        stop: kind == CheckpointKind::Stop,
                    });
                }
                CheckpointCommand::WriteManifest {
                    checkpoint,
                    kind,
                    acknowledged,
                    triggered_at,
                } => self.write_manifest(checkpoint, kind, acknowledged, triggered_at, context),
                CheckpointCommand::NotifyComplete(checkpoint) => {
                    self.tell_all(Control::Complete(checkpoint));
                }
                CheckpointCommand::NotifyAborted { checkpoint, reason } => {
                    self.aborted(checkpoint, reason);
                }
                // What it describes is still in its subtask's chain, and the retention knows of it.
                CheckpointCommand::Discard(_) => {}
                CheckpointCommand::WakeAt(at) => self.wake_at(at, context),
                CheckpointCommand::FailJob(reason) => {
                    let error = Error::new(
                        ErrorKind::Environment,
                        format!(
                            "more checkpoints failed than tolerable_failures allows, the last one with {reason}"
                        ),
                    );
                    self.failed(None, None, error, context);
                }
                CheckpointCommand::Finished => {
                    let commands = self.life.finished();
                    self.live(commands, context);
                }
                CheckpointCommand::Stopped => {
                    let commands = self.life.stop_checkpoint_committed();
                    self.live(commands, context);
                }
            }
        }
    }

    fn write_manifest(
        &mut self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        acknowledged: Vec<(SubtaskId, Box<SubtaskAck>)>,
        triggered_at: Duration,
        context: &mut Context<Self>,
    ) {
        let took = self.now().saturating_sub(triggered_at);
        let triggered_unix_millis = self.clock.unix_millis() - took.as_millis() as i64;
        let (records, bytes) = acknowledged
            .iter()
            .fold((0, 0), |(records, bytes), (_, ack)| {
                (
                    records + ack.state_size.records,
                    bytes + ack.state_size.bytes,
                )
            });
        self.status.set_state_size(records, bytes);
        let address = context.address();
        self.committer.commit(
            checkpoint,
            acknowledged,
            triggered_unix_millis,
            move |result| {
                address.do_send(ManifestWritten {
                    checkpoint,
                    kind,
                    triggered_at,
                    result,
                });
            },
        );
    }

    fn aborted(&mut self, checkpoint: CheckpointId, reason: FailureReason) {
        if reason == FailureReason::CoordinatorShutdown {
            debug!(%checkpoint, %reason, "checkpoint given up");
        } else {
            warn!(%checkpoint, %reason, "checkpoint failed");
        }
        self.status.checkpoint_failed();
        count_in_job(Metric::CheckpointsFailed, 1);
        self.committer.aborted(checkpoint);
        self.tell_all(Control::Abort(checkpoint));
    }

    fn completed(
        &mut self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        duration: Duration,
        committed: Committed,
    ) {
        let bytes = committed.bytes;
        if kind.is_last() {
            info!(%checkpoint, %kind, ?duration, bytes, "checkpoint completed");
        } else {
            debug!(%checkpoint, %kind, ?duration, bytes, "checkpoint completed");
        }
        self.status.checkpoint_completed(LastCheckpoint {
            id: checkpoint,
            duration,
            bytes,
        });
        count_in_job(Metric::CheckpointsCompleted, 1);
        observe_in_job(Metric::CheckpointDuration, duration.as_secs_f64());
        observe_in_job(Metric::CheckpointBytes, bytes as f64);
        self.committer.completed(checkpoint, committed.objects);
    }

    fn wake_at(&mut self, at: Duration, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        let delay = at.saturating_sub(self.now());
        self.timer = Some(context.run_later(delay, |actor, context| {
            actor.timer = None;
            let commands = actor.checkpoints.tick(actor.now());
            actor.carry_out(commands, context);
        }));
    }

    /// Carries out what the job's life asks for.
    fn live(&mut self, commands: Vec<JobCommand>, context: &mut Context<Self>) {
        for command in commands {
            match command {
                JobCommand::TakeStopCheckpoint => {
                    self.status.set_phase(JobPhase::Stopping);
                    let commands = self.checkpoints.stop_requested(self.now());
                    self.carry_out(commands, context);
                }
                JobCommand::ReportFailure => {
                    if let Some(failure) = self.life.failure() {
                        error!(%failure, "the job has failed");
                    }
                }
                JobCommand::CancelAll => {
                    let commands = self.checkpoints.shut_down(self.now());
                    self.carry_out(commands, context);
                    self.tell_all(Control::Cancel);
                }
                JobCommand::End(state) => self.end(state),
            }
        }
    }

    fn end(&mut self, state: JobState) {
        self.status.set_phase(JobPhase::Ended);
        for suppressed in self.life.suppressed() {
            debug!(%suppressed, "failed after the first failure");
        }
        let failure = self.life.failure().map(|failure| {
            let kind = failure.error.kind();
            Error::new(kind, failure.to_string())
        });
        if let Some(outcome) = self.outcome.take() {
            // Nobody listens any more when the thread that started the job is gone.
            let _ = outcome.send(JobEnd {
                state,
                failure,
                tasks: self.committer.take_tasks(),
            });
        }
    }
}

impl Actor for CoordinatorActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.status.set_phase(JobPhase::Restoring);
        let commands = self.life.start();
        self.live(commands, context);
    }
}

impl Handler<Report> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, report: Report, context: &mut Self::Context) {
        let Report { subtask, body } = report;
        match body {
            ReportBody::Opened(address) => self.opened(subtask, address, context),
            ReportBody::Acknowledged(checkpoint, acknowledgement) => {
                self.acknowledged(checkpoint, &subtask, acknowledgement, context);
            }
            ReportBody::Declined(checkpoint, reason) => {
                self.declined(checkpoint, &subtask, reason.into(), context);
            }
            ReportBody::UploadFailed(checkpoint, error) => {
                let reason = error.full_message();
                warn!(%checkpoint, %subtask, reason, "state could not be stored");
                self.declined(checkpoint, &subtask, FailureReason::AsyncException, context);
            }
            ReportBody::Committed(checkpoint) => {
                let commands = self.checkpoints.committed(checkpoint, &subtask, self.now());
                self.carry_out(commands, context);
            }
            ReportBody::Finished => {
                let commands = self.checkpoints.subtask_finished(&subtask, self.now());
                self.carry_out(commands, context);
            }
            ReportBody::Failed(operator, error) => {
                self.failed(Some(subtask), Some(operator), error, context);
            }
            ReportBody::Ended => self.ended(subtask, context),
        }
    }
}

impl Handler<ManifestWritten> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, written: ManifestWritten, context: &mut Self::Context) {
        let checkpoint = written.checkpoint;
        let commands = match written.result {
            Ok(committed) => {
                let duration = self.now().saturating_sub(written.triggered_at);
                let bytes = committed.bytes;
                self.completed(checkpoint, written.kind, duration, committed);
                self.checkpoints
                    .manifest_committed(checkpoint, bytes, self.now())
            }
            Err(error) => {
                let reason = error.full_message();
                warn!(%checkpoint, reason, "the manifest could not be written");
                if error.kind() == ErrorKind::Conflict {
                    // Somebody else writes checkpoints of this job: this process must not go on.
                    self.failed(None, None, error, context);
                }
                self.checkpoints.manifest_failed(checkpoint, self.now())
            }
        };
        self.carry_out(commands, context);
    }
}

impl Handler<Request> for CoordinatorActor {
    type Result = ();

    fn handle(&mut self, request: Request, context: &mut Self::Context) {
        match request {
            Request::Checkpoint => {
                let commands = self.checkpoints.request(self.now());
                self.carry_out(commands, context);
            }
            Request::Stop => {
                let commands = self.life.stop();
                self.live(commands, context);
            }
            Request::Cancel => {
                let commands = self.life.cancel();
                self.live(commands, context);
            }
        }
    }
}
