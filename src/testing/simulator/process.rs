//! One process that owns the job, or did once.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;

use super::coverage::Happening;
use super::shelf::{Fate, KnownSnapshot};
use super::simulation::{Checked, Over, Simulation, Turn, told};
use super::witness::{AttemptAt, ProcessView};
use crate::coordinator::{AttemptFailure, JobState, RestartDecision, Restarts};
use crate::engine::{CompletedCheckpoint, CompletedStop, Ticket};
use crate::error::ErrorKind;
use crate::model::{CheckpointId, Clock};
use crate::runtime::{Deed, JobRun, Recovered, SteppedAttempt, SteppedRecovery, UsedIds};
use crate::snapshot::SnapshotKind;

/// One of so many actions after a failure is the last one of its attempt.
const TEAR_DOWN: u32 = 8;

/// A process that runs the job.
pub(super) struct Process {
    pub(super) stage: Stage,
    pub(super) restarts: Restarts,
    pub(super) view: Arc<ProcessView>,
    /// Whether nobody has taken the job from it.
    pub(super) is_owner: bool,
    /// Whether it has taken the job from one that lives.
    pub(super) has_taken_over: bool,
    /// Whether it was started with a snapshot that it must refuse.
    pub(super) is_to_be_refused: bool,
    pub(super) has_started: bool,
    pub(super) has_progressed: bool,
    /// The last id of which one of its subtasks has heard.
    pub(super) last_triggered: Option<CheckpointId>,
    /// Whether somebody has asked it for a savepoint.
    pub(super) is_asked_for_savepoint: bool,
    pub(super) savepoints: Vec<Ticket<CompletedCheckpoint>>,
    pub(super) stops: Vec<Ticket<CompletedStop>>,
}

/// What a process is about.
pub(super) enum Stage {
    Recovering(SteppedRecovery),
    Running(Box<Running>),
    /// It has failed, and starts the job again at this time.
    Waiting(Box<(JobRun, UsedIds)>, Duration),
    Over,
}

/// An attempt at the job that runs.
pub(super) struct Running {
    run: JobRun,
    used: UsedIds,
    pub(super) attempt: SteppedAttempt,
}

impl Process {
    /// The attempt that runs, if one does.
    pub(super) fn attempt(&mut self) -> Option<&mut SteppedAttempt> {
        match &mut self.stage {
            Stage::Running(running) => Some(&mut running.attempt),
            _ => None,
        }
    }
}

impl Simulation {
    /// Lets one thing happen in a process.
    pub(super) fn turn(&mut self, process: &mut Process) -> Checked<Turn> {
        match std::mem::replace(&mut process.stage, Stage::Over) {
            Stage::Recovering(mut recovery) => {
                let polled = recovery.go_on(&self.runtime);
                if self.disk.has_stopped() {
                    return Ok(Turn::Over(Over::Crashed));
                }
                self.trace_disk()?;
                match polled {
                    Poll::Ready(recovered) => self.recovered(process, recovered),
                    Poll::Pending => {
                        process.stage = Stage::Recovering(recovery);
                        Ok(Turn::Did)
                    }
                }
            }
            Stage::Waiting(life, until) if until <= self.clock.elapsed() => {
                let (run, used) = *life;
                self.trace.add("the job is tried again".to_owned());
                let recovery = SteppedRecovery::begin(run, used, None, &self.runtime);
                process.stage = Stage::Recovering(recovery);
                Ok(Turn::Did)
            }
            Stage::Waiting(life, until) => {
                process.stage = Stage::Waiting(life, until);
                Ok(Turn::Rests(until))
            }
            Stage::Running(running) => {
                process.stage = Stage::Running(running);
                self.act(process)
            }
            Stage::Over => Ok(Turn::Over(Over::Ended)),
        }
    }

    fn recovered(&mut self, process: &mut Process, recovered: Recovered) -> Checked<Turn> {
        let Recovered { run, used, result } = recovered;
        let recovery = match result {
            Ok(_) if process.is_to_be_refused => {
                return Err("a job with checkpoints was started from a snapshot".to_owned());
            }
            Ok(_) if !process.is_owner => {
                // Whoever takes the job over has not said so yet; this process does not go on before that.
                let is_owner = self.runtime.block_on(run.store.ensure_owner()).is_ok();
                return match is_owner || self.disk.has_stopped() {
                    true => Ok(Turn::Over(Over::Ended)),
                    false => Err("a process has recovered a job that it has lost".to_owned()),
                };
            }
            Ok(recovery) => recovery,
            Err(error) if process.is_to_be_refused && error.kind() == ErrorKind::Configuration => {
                self.coverage.note(Happening::RefusedForeignSnapshot);
                return Ok(Turn::Over(Over::Ended));
            }
            Err(error) => {
                let failure = AttemptFailure::at_the_start(error);
                return self.failed(process, (run, used), failure);
            }
        };
        self.check_recovery(process, &recovery)?;
        let resumed_from = self.resume(&recovery, run.graph.parallelism)?;
        self.attempts += 1;
        process.view.begin(AttemptAt {
            number: self.attempts,
            resumed_from,
        });
        self.trace
            .add(format!("attempt {} from {resumed_from:?}", self.attempts));
        let attempt = SteppedAttempt::new(&run, &recovery, &self.runtime).map_err(told)?;
        process.has_started = true;
        process.has_progressed = false;
        process.stage = Stage::Running(Box::new(Running { run, used, attempt }));
        Ok(Turn::Did)
    }

    /// Lets one thing happen in an attempt.
    fn act(&mut self, process: &mut Process) -> Checked<Turn> {
        let pace = self.scenario.pace;
        let Some(attempt) = process.attempt() else {
            return Ok(Turn::Did);
        };
        let has_failed = (attempt.end()).is_some_and(|end| end.state == JobState::Failed);
        if has_failed && self.random.u32(0..TEAR_DOWN) == 0 {
            return self.ended(process);
        }
        let Some(action) = self.choose(&attempt.actions()) else {
            return self.at_rest(process);
        };
        let rows_max = self.random.usize(1..=pace.rows_max);
        let deed = attempt.perform(action, rows_max);
        self.trace.add(deed.to_string());
        let violation = self
            .outside
            .violation()
            .or_else(|| self.witness.violation());
        violation.map_or(Ok(()), Err)?;
        attempt.check_invariants()?;
        if self.disk.has_stopped() {
            return Ok(Turn::Over(Over::Crashed));
        }
        self.trace_disk()?;
        match deed {
            Deed::HeardManifest(checkpoint, true) => self.heard_complete(process, checkpoint)?,
            Deed::Obeyed(_, order) => {
                process.last_triggered = process.last_triggered.max(order.triggered());
            }
            _ => {}
        }
        self.take_answers(process);
        Ok(Turn::Did)
    }

    /// Nothing can happen in the attempt now: it is over, or time has to pass.
    fn at_rest(&mut self, process: &mut Process) -> Checked<Turn> {
        let Some(attempt) = process.attempt() else {
            return Ok(Turn::Did);
        };
        if attempt.end().is_some() {
            return self.ended(process);
        }
        attempt.check_rest()?;
        match attempt.next_time() {
            Some(time) => Ok(Turn::Rests(time)),
            None => Err("the job stands still, and waits for nothing".to_owned()),
        }
    }

    /// The attempt is over.
    fn ended(&mut self, process: &mut Process) -> Checked<Turn> {
        let Stage::Running(running) = std::mem::replace(&mut process.stage, Stage::Over) else {
            return Ok(Turn::Over(Over::Ended));
        };
        let Running {
            run,
            mut used,
            attempt,
        } = *running;
        let state = attempt.end().map(|end| end.state);
        self.trace.add(format!("the attempt is over: {state:?}"));
        match state {
            Some(JobState::Finished) => Ok(Turn::Over(Over::Finished)),
            Some(JobState::Stopped | JobState::Cancelled) => Ok(Turn::Over(Over::Ended)),
            _ => {
                let failed = attempt.into_attempt_failure(process.has_progressed);
                let (failure, next_id) = failed.ok_or("the job failed without saying why")?;
                used.note(next_id);
                self.failed(process, (run, used), failure)
            }
        }
    }

    /// The attempt has failed: the job is tried again, or the process ends.
    fn failed(
        &mut self,
        process: &mut Process,
        (mut run, used): (JobRun, UsedIds),
        failure: AttemptFailure,
    ) -> Checked<Turn> {
        let kind = failure.error.kind();
        let cause = failure.error.full_message();
        let is_lost = kind == ErrorKind::Conflict && !process.is_owner;
        // Of a failure somebody beside it can be heard first.
        let is_gone = kind == ErrorKind::Operator && cause.ends_with(" is gone");
        let is_troubled = self.is_disturbed || !process.is_owner;
        let may_fail = match kind {
            ErrorKind::Environment => process.has_started || is_troubled,
            _ => is_gone && is_troubled,
        };
        if !is_lost && !may_fail {
            return Err(format!("the job fails: {cause}"));
        }
        if is_lost {
            self.coverage.note(Happening::FormerOwnerRefused);
        }
        // A job that tolerates nothing could fail for ever.
        self.incidents_left = self.incidents_left.saturating_sub(1);
        if !process.has_started {
            return Ok(Turn::Over(Over::Ended));
        }
        let random = self.random.f64();
        let now = self.clock.elapsed();
        match process.restarts.failed(failure, now, random) {
            RestartDecision::GiveUp(_) => Ok(Turn::Over(Over::Ended)),
            RestartDecision::Restart { delay, .. } => {
                self.trace.add(format!("a restart in {delay:?}: {cause}"));
                self.coverage.note(Happening::Restarted);
                run.draw_nonce();
                process.stage = Stage::Waiting(Box::new((run, used)), now + delay);
                Ok(Turn::Did)
            }
        }
    }

    /// The coordinator of a process has heard that a checkpoint, or a savepoint, is complete.
    fn heard_complete(&mut self, process: &mut Process, checkpoint: CheckpointId) -> Checked<()> {
        let Stage::Running(running) = &process.stage else {
            return Ok(());
        };
        let statistics = running.run.status.checkpoints();
        let Some(report) = statistics.report(checkpoint) else {
            return Err(format!(
                "nothing is known of {checkpoint}, which is complete"
            ));
        };
        let is_savepoint = report.is_savepoint;
        let in_flight = report.in_flight_bytes();
        let is_unaligned = report.subtasks.iter().any(|subtask| subtask.is_unaligned);
        let has_others = statistics.in_progress_count() > 0;
        let path = report.path.clone();
        drop(statistics);
        if is_savepoint {
            return Ok(());
        }
        process.has_progressed = true;
        if !process.is_owner && self.last_recovered.is_some() {
            return self.check_completed_by_former_owner(checkpoint);
        }
        self.coverage.note(Happening::CheckpointCompleted);
        if has_others {
            self.coverage.note(Happening::ManyInProgress);
        }
        if in_flight > 0 {
            self.coverage.note(Happening::UnalignedCompleted);
        }
        if is_unaligned && !self.scenario.checkpoint.aligned_timeout.is_zero() {
            self.coverage.note(Happening::Switched);
        }
        self.check_completed(checkpoint)?;
        if let Some(path) = path {
            self.know(path, SnapshotKind::Checkpoint, checkpoint);
        }
        Ok(())
    }

    /// Looks which savepoints are complete by now.
    fn take_answers(&mut self, process: &mut Process) {
        let mut complete = Vec::new();
        process.savepoints.retain_mut(|ticket| {
            let answer = ticket.now_or_never();
            let is_open = answer.is_none();
            if let Some(Ok(savepoint)) = answer {
                complete.push((savepoint, Happening::SavepointTaken));
            }
            is_open
        });
        process.stops.retain_mut(|ticket| {
            let answer = ticket.now_or_never();
            let is_open = answer.is_none();
            if let Some(Ok(CompletedStop {
                savepoint: Some(savepoint),
                ..
            })) = answer
            {
                complete.push((savepoint, Happening::StoppedWithSavepoint));
            }
            is_open
        });
        for (savepoint, happening) in complete {
            self.coverage.note(happening);
            self.know(savepoint.path, SnapshotKind::Savepoint, savepoint.id);
        }
    }

    fn know(&mut self, path: String, kind: SnapshotKind, checkpoint: CheckpointId) {
        self.trace.add(format!("{path} is complete"));
        self.shelf.add(KnownSnapshot {
            path,
            kind,
            checkpoint,
            transactions: self.outside.transactions(),
            seals: self.witness.seals(checkpoint),
            fate: Fate::Kept,
        });
    }
}
