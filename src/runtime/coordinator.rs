//! The coordinator of one run of a job, as a plain struct: it passes reports to the checkpoint protocol and the job's
//! life, does what they ask for in the store, and says what is to be sent to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tracing::{debug, error, warn};

use crate::coordinator::{
    CheckpointCommand, CheckpointCoordinator, CheckpointFailure, CheckpointKind,
    CheckpointSettings, FailureReason, JobCommand, JobFailure, JobLife, JobState, RequestId,
};
use crate::error::{Error, ErrorKind};
use crate::model::{CheckpointId, OperatorId, SharedClock, SubtaskId};
use crate::telemetry::{JobPhase, JobStatus, Metric, ReportedFailure, count};

use super::background::SubtaskAck;
use super::checkpoint_recorder::CheckpointRecorder;
use super::committer::Committer;
use super::message::{Control, Report, ReportBody, StoreReport, StoreReporter};
use super::open_requests::OpenRequests;
use super::task_sampler::TaskSampler;

mod manifests;
mod requests;
#[cfg(test)]
mod tests;

type Command = CheckpointCommand<Box<SubtaskAck>>;

/// Coordinates one run of a job. Each event returns what its owner has to do, in order.
pub(crate) struct Coordinator {
    checkpoints: CheckpointCoordinator<Box<SubtaskAck>>,
    life: JobLife,
    committer: Committer,
    clock: SharedClock,
    status: Arc<JobStatus>,
    recorder: CheckpointRecorder,
    sampler: TaskSampler,
    /// The id of the next checkpoint.
    next_id: CheckpointId,
    /// Every subtask of the job, and whether it is open.
    subtasks: BTreeMap<SubtaskId, bool>,
    /// Those that have finished for good, as of the last trigger: they take part in no checkpoint any more.
    finished: BTreeSet<SubtaskId>,
    ended: BTreeSet<SubtaskId>,
    requests: OpenRequests,
    /// What the request for a stop is called, and whether the input is to end first.
    stop: Option<(RequestId, bool)>,
    /// Is told what came of work in the store.
    store_reporter: StoreReporter,
    effects: Vec<Effect>,
}

/// The subtasks of a job.
pub(super) struct JobSubtasks {
    pub(super) all: Vec<SubtaskId>,
    /// Those of them that had finished for good in the checkpoint that the job goes on from.
    pub(super) finished: BTreeSet<SubtaskId>,
}

/// What the owner of a [`Coordinator`] has to do.
pub(super) enum Effect {
    /// Send this to every subtask that is open. One that is gone misses nothing.
    TellAll(Control),
    /// Send this to one subtask.
    Tell(SubtaskId, Control),
    /// Call [`Coordinator::tick`] at this time of the job's clock. It replaces any time asked for before.
    WakeAt(Duration),
    /// The job has come to its end.
    End(JobEnd),
}

/// How a job came to its end.
pub(crate) struct JobEnd {
    pub(crate) state: JobState,
    /// What failed first, with the operator it failed in.
    pub(crate) failure: Option<Error>,
    /// Whether all subtasks had begun to work.
    pub(super) has_run: bool,
    /// The id of the next checkpoint: all that were used are below.
    pub(super) next_id: CheckpointId,
    /// The store's work that is left: manifests that are being written, superseded checkpoints that are being deleted.
    pub(super) tasks: Vec<BoxFuture<'static, ()>>,
}

impl Coordinator {
    pub(super) fn new(
        settings: CheckpointSettings,
        committer: Committer,
        subtasks: JobSubtasks,
        next_id: CheckpointId,
        clock: SharedClock,
        status: Arc<JobStatus>,
        store_reporter: StoreReporter,
    ) -> Self {
        let JobSubtasks { all, finished } = subtasks;
        Self {
            checkpoints: CheckpointCoordinator::new(settings),
            life: JobLife::new(),
            recorder: CheckpointRecorder::beside(&committer, Arc::clone(&status)),
            sampler: TaskSampler::default(),
            committer,
            clock,
            status,
            next_id,
            subtasks: all.into_iter().map(|subtask| (subtask, false)).collect(),
            finished,
            ended: BTreeSet::new(),
            requests: OpenRequests::default(),
            stop: None,
            store_reporter,
            effects: Vec::new(),
        }
    }

    /// The subtasks are being made.
    pub(super) fn start(&mut self) -> Vec<Effect> {
        self.status.set_phase(JobPhase::Restoring);
        let commands = self.life.start();
        self.live(commands);
        self.take_effects()
    }

    /// The operators of `subtask` are open.
    pub(super) fn opened(&mut self, subtask: SubtaskId) -> Vec<Effect> {
        if self.life.state() != JobState::Restoring {
            self.effects
                .push(Effect::Tell(subtask.clone(), Control::Cancel));
        }
        self.subtasks.insert(subtask, true);
        let all_open = self.subtasks.values().all(|is_open| *is_open);
        if all_open && self.life.state() == JobState::Restoring {
            let commands = self.life.restored();
            self.live(commands);
            self.status.set_phase(JobPhase::Running);
            self.tell_all(Control::Start);
            let subtasks = self.subtasks.keys().cloned().collect();
            let finished = self.finished.clone();
            let commands = self
                .checkpoints
                .started(subtasks, finished, self.next_id, self.now());
            self.carry_out(commands);
        }
        self.take_effects()
    }

    /// A subtask, or its background, has something to say.
    pub(super) fn reported(&mut self, report: Report) -> Vec<Effect> {
        let Report { subtask, body } = report;
        match body {
            ReportBody::Acknowledged(checkpoint, acknowledgement) => {
                self.acknowledged(checkpoint, &subtask, acknowledgement);
            }
            ReportBody::Declined(checkpoint, reason) => {
                self.declined(checkpoint, &subtask, FailureReason::from(reason).into());
            }
            ReportBody::UploadFailed(checkpoint, error) => {
                let reason = error.full_message();
                warn!(%checkpoint, %subtask, reason, "state could not be stored");
                let cause = format!("subtask {subtask}: {reason}");
                let failure = CheckpointFailure::new(FailureReason::AsyncException, cause);
                self.declined(checkpoint, &subtask, failure);
            }
            ReportBody::Committed(checkpoint) => {
                count(Metric::Commits, &subtask.operator, subtask.index, 1);
                let commands = self.checkpoints.committed(checkpoint, &subtask, self.now());
                self.carry_out(commands);
            }
            ReportBody::CheckpointWanted => {
                let commands = self.checkpoints.wanted(self.now());
                self.carry_out(commands);
            }
            ReportBody::Finished => {
                let commands = self.checkpoints.subtask_finished(&subtask, self.now());
                self.carry_out(commands);
            }
            ReportBody::Failed(operator, error) => {
                self.failed(Some(subtask), Some(operator), error);
            }
            ReportBody::Ended => self.ended(subtask),
        }
        self.take_effects()
    }

    /// Work in the store has something to say.
    pub(super) fn stored(&mut self, report: StoreReport) -> Vec<Effect> {
        match report {
            StoreReport::Manifest(written) => self.manifest_written(written),
            StoreReport::Cleaned => {
                let commands = self.checkpoints.cleaning_ended(self.now());
                self.carry_out(commands);
            }
            StoreReport::Located(request, Ok(())) => self.admit(request),
            StoreReport::Located(request, Err(error)) => {
                request.refuse(error.context(FailureReason::IoException));
            }
        }
        self.take_effects()
    }

    /// Whether anybody has asked for the job's end, even if the job had failed by then.
    pub(super) fn end_requested(&self) -> bool {
        self.life.end_requested()
    }

    /// The time has come that [`Effect::WakeAt`] gave.
    pub(super) fn tick(&mut self) -> Vec<Effect> {
        let commands = self.checkpoints.tick(self.now());
        self.carry_out(commands);
        self.take_effects()
    }

    /// To be called about once a second: works out rates, and writes down what became of checkpoints.
    pub(super) fn look_after_figures(&mut self) {
        self.sampler.sample(&self.status, self.clock.elapsed());
        self.recorder.save();
    }

    /// What must hold between any two events.
    ///
    /// # Errors
    /// Names the promise that is broken.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        self.checkpoints.check_invariants()
    }

    fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn tell_all(&mut self, message: Control) {
        self.effects.push(Effect::TellAll(message));
    }

    /// Tells every subtask that still takes part in checkpoints.
    fn tell_taking_part(&mut self, message: Control) {
        let subtasks = self.subtasks.keys();
        let taking_part = subtasks.filter(|subtask| !self.finished.contains(subtask));
        let effects = taking_part.map(|subtask| Effect::Tell(subtask.clone(), message));
        self.effects.extend(effects);
    }

    fn acknowledged(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        acknowledgement: Box<SubtaskAck>,
    ) {
        if self.status.checkpoints().has_failed(checkpoint) {
            warn!(%checkpoint, %subtask, "late acknowledgement of a checkpoint that has failed");
        }
        self.recorder
            .acknowledged(checkpoint, subtask, &acknowledgement);
        self.committer
            .acknowledged(checkpoint, subtask, &acknowledgement);
        let commands =
            self.checkpoints
                .acknowledged(checkpoint, subtask, acknowledgement, self.now());
        self.carry_out(commands);
    }

    fn declined(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        failure: CheckpointFailure,
    ) {
        let commands = self
            .checkpoints
            .declined(checkpoint, subtask, failure, self.now());
        self.carry_out(commands);
    }

    fn failed(&mut self, subtask: Option<SubtaskId>, operator: Option<OperatorId>, error: Error) {
        let commands = self.life.failed(JobFailure {
            subtask,
            operator,
            error,
        });
        self.live(commands);
    }

    fn ended(&mut self, subtask: SubtaskId) {
        let asked = !matches!(self.life.state(), JobState::Restoring | JobState::Running);
        if !asked {
            let error = Error::new(ErrorKind::Bug, "it ended although nothing had told it to");
            self.failed(Some(subtask.clone()), None, error);
        }
        self.ended.insert(subtask);
        if self.ended.len() == self.subtasks.len() {
            let commands = self.life.all_subtasks_stopped();
            self.live(commands);
        }
    }

    /// Carries out what the checkpoint protocol asks for.
    fn carry_out(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                CheckpointCommand::Trigger {
                    checkpoint,
                    kind,
                    finished,
                } => {
                    debug!(%checkpoint, %kind, finished = finished.len(), "triggered");
                    self.next_id = checkpoint.next();
                    self.committer.begin(checkpoint, &finished);
                    self.recorder
                        .triggered(checkpoint, kind, self.subtasks.len(), &finished);
                    self.finished = finished.into_iter().collect();
                    self.tell_taking_part(Control::Trigger {
                        barrier: self.checkpoints.barrier(checkpoint, kind, self.now()),
                        stop: kind == CheckpointKind::Stop,
                    });
                }
                CheckpointCommand::WriteManifest {
                    checkpoint,
                    kind,
                    acknowledged,
                    finished,
                    triggered_at,
                } => self.write_manifest(checkpoint, kind, acknowledged, finished, triggered_at),
                CheckpointCommand::NotifyComplete(checkpoint) => {
                    self.tell_taking_part(Control::Complete(checkpoint));
                }
                CheckpointCommand::NotifyAborted {
                    checkpoint,
                    failure,
                } => self.aborted(checkpoint, &failure),
                CheckpointCommand::Drain => self.tell_all(Control::Drain),
                CheckpointCommand::Answer { request, result } => {
                    self.requests.answer(request, result);
                }
                // What it describes is still in its subtask's chain, and the retention knows of it.
                CheckpointCommand::Discard(_) => {}
                CheckpointCommand::WakeAt(at) => self.effects.push(Effect::WakeAt(at)),
                CheckpointCommand::FailJob { kind, failure } => {
                    let message = match kind {
                        CheckpointKind::Stop => format!(
                            "the job could not be stopped with a checkpoint, and its sources have stopped already: \
                             {failure}"
                        ),
                        _ => format!(
                            "more checkpoints failed than tolerable_failures allows, the last one with {failure}"
                        ),
                    };
                    self.failed(None, None, Error::new(ErrorKind::Environment, message));
                }
                CheckpointCommand::Finished => {
                    let commands = self.life.finished();
                    self.live(commands);
                }
                CheckpointCommand::Stopped => {
                    let commands = self.life.stop_checkpoint_committed();
                    self.live(commands);
                }
            }
        }
    }

    fn aborted(&mut self, checkpoint: CheckpointId, failure: &CheckpointFailure) {
        if failure.reason.is_of_the_end() {
            debug!(%checkpoint, %failure, "checkpoint given up");
        } else {
            warn!(%checkpoint, %failure, "checkpoint failed");
        }
        self.status.checkpoint_failed();
        self.recorder.failed(checkpoint, failure);
        self.committer.aborted(checkpoint);
        self.tell_taking_part(Control::Abort(checkpoint));
    }

    /// Carries out what the job's life asks for.
    fn live(&mut self, commands: Vec<JobCommand>) {
        for command in commands {
            match command {
                JobCommand::TakeStopCheckpoint => {
                    self.status.set_phase(JobPhase::Stopping);
                    let (request, drain) = match self.stop {
                        Some((request, drain)) => (Some(request), drain),
                        None => (None, false),
                    };
                    let commands = self.checkpoints.stop_requested(request, drain, self.now());
                    self.carry_out(commands);
                }
                JobCommand::ReportFailure => {
                    if let Some(failure) = self.life.failure() {
                        error!(%failure, "the job has failed");
                        self.status.add_failure(ReportedFailure {
                            message: failure.to_string(),
                            subtask: failure.subtask.clone(),
                            unix_millis: self.clock.unix_millis(),
                        });
                    }
                }
                JobCommand::CancelAll => {
                    let failure = self.ending();
                    let commands = self.checkpoints.shut_down(&failure, self.now());
                    self.carry_out(commands);
                    self.tell_all(Control::Cancel);
                }
                JobCommand::End(state) => self.end(state),
            }
        }
    }

    /// Why checkpoints fail that are pending while the job comes to its end.
    fn ending(&self) -> CheckpointFailure {
        match self.life.failure() {
            None => FailureReason::CoordinatorShutdown.into(),
            Some(failure) => {
                let reason = match &failure.subtask {
                    Some(_) => FailureReason::TaskFailure,
                    None => FailureReason::JobFailover,
                };
                CheckpointFailure::new(reason, failure.to_string())
            }
        }
    }

    fn end(&mut self, state: JobState) {
        for suppressed in self.life.suppressed() {
            debug!(%suppressed, "failed after the first failure");
        }
        let failure = self.life.failure().map(|failure| {
            let kind = failure.error.kind();
            Error::new(kind, failure.to_string())
        });
        let mut tasks = self.committer.take_tasks();
        tasks.extend(self.recorder.finish());
        self.effects.push(Effect::End(JobEnd {
            state,
            failure,
            has_run: self.life.has_run(),
            next_id: self.next_id,
            tasks,
        }));
    }
}
