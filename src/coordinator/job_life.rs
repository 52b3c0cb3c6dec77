//! The life of a job, from its making to its one outcome.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::model::{OperatorId, SubtaskId};

/// How many failures are kept beside the first. One failure often makes many others follow, which say little.
const SUPPRESSED_MAX: usize = 16;

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It is made and nothing runs.
    Created,
    /// Its subtasks take up their state.
    Restoring,
    /// It runs.
    Running,
    /// Its last output is committed, and its subtasks are ended.
    Finishing,
    /// All input was worked off and all output is committed.
    Finished,
    /// A stop checkpoint is being taken, or its subtasks are ended after it.
    Stopping,
    /// It stopped with a checkpoint that it can be resumed from.
    Stopped,
    /// Something failed, and its subtasks are ended.
    Failing,
    /// It failed. It can be resumed from its newest checkpoint.
    Failed,
    /// It is to end at once, and its subtasks are ended.
    Cancelling,
    /// It ended at once, without a last checkpoint. It can be resumed from its newest one.
    Cancelled,
}

impl JobState {
    /// Whether nothing will change any more.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Stopped | Self::Failed | Self::Cancelled
        )
    }
}

/// What failed, and where.
#[derive(Debug)]
pub struct JobFailure {
    /// The subtask it happened in, if it was in one.
    pub subtask: Option<SubtaskId>,
    /// The operator it happened in: any of the chain that runs in the subtask.
    pub operator: Option<OperatorId>,
    /// What happened.
    pub error: Error,
}

impl fmt::Display for JobFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operator) = &self.operator {
            write!(formatter, "operator {operator}: ")?;
        }
        if let Some(subtask) = &self.subtask {
            write!(formatter, "subtask {subtask}: ")?;
        }
        formatter.write_str(&self.error.full_message())
    }
}

/// What the owner of a [`JobLife`] has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobCommand {
    /// Tell the checkpoint coordinator that a stop is requested.
    TakeStopCheckpoint,
    /// Report [`JobLife::failure`] to the user.
    ReportFailure,
    /// End every subtask now, without another checkpoint, and report when all have ended.
    CancelAll,
    /// The job has come to its end, in this state.
    End(JobState),
}

/// The life of one attempt at a job: told what happens, it says what to do. The first failure decides; later ones are
/// kept as suppressed.
#[derive(Debug)]
pub struct JobLife {
    state: JobState,
    /// While [`JobState::Stopping`]: whether the stop checkpoint is complete and committed, so that the subtasks may
    /// end.
    may_end: bool,
    /// Whether it ever was [`JobState::Running`].
    has_run: bool,
    /// Whether anybody has asked for its end, in whatever state.
    end_requested: bool,
    failure: Option<JobFailure>,
    suppressed: Vec<JobFailure>,
}

impl Default for JobLife {
    fn default() -> Self {
        Self::new()
    }
}

impl JobLife {
    /// A job that is [`JobState::Created`].
    pub fn new() -> Self {
        Self {
            state: JobState::Created,
            may_end: false,
            has_run: false,
            end_requested: false,
            failure: None,
            suppressed: Vec::new(),
        }
    }

    /// Where the job is in its life.
    pub fn state(&self) -> JobState {
        self.state
    }

    /// Whether all subtasks have begun to work.
    pub fn has_run(&self) -> bool {
        self.has_run
    }

    /// Whether a stop or a cancellation was asked for, even if the job had failed by then.
    pub fn end_requested(&self) -> bool {
        self.end_requested
    }

    /// What failed first, if anything did.
    pub fn failure(&self) -> Option<&JobFailure> {
        self.failure.as_ref()
    }

    /// What failed after the first failure, or while the subtasks were being ended; the first few of it.
    pub fn suppressed(&self) -> &[JobFailure] {
        &self.suppressed
    }

    /// The job's failures, the first and the suppressed ones.
    pub fn into_failures(self) -> (Option<JobFailure>, Vec<JobFailure>) {
        (self.failure, self.suppressed)
    }

    /// The subtasks are being made, and take up their state.
    pub fn start(&mut self) -> Vec<JobCommand> {
        if self.state == JobState::Created {
            self.state = JobState::Restoring;
        }
        Vec::new()
    }

    /// All subtasks have taken up their state.
    pub fn restored(&mut self) -> Vec<JobCommand> {
        if self.state == JobState::Restoring {
            self.state = JobState::Running;
            self.has_run = true;
        }
        Vec::new()
    }

    /// Something failed: a subtask, or the job's checkpoints.
    ///
    /// Once the subtasks are being ended, a failure decides nothing any more: subtasks end one by one, so one that is
    /// still at work can find that its neighbour has gone before it.
    pub fn failed(&mut self, failure: JobFailure) -> Vec<JobCommand> {
        let decides = match self.state {
            JobState::Created | JobState::Restoring | JobState::Running => true,
            JobState::Stopping => !self.may_end,
            _ => false,
        };
        if decides {
            self.failure = Some(failure);
            self.state = JobState::Failing;
            return vec![JobCommand::ReportFailure, JobCommand::CancelAll];
        }
        if self.suppressed.len() < SUPPRESSED_MAX {
            self.suppressed.push(failure);
        }
        Vec::new()
    }

    /// The job is to stop, with a last checkpoint if it has something to save.
    pub fn stop(&mut self) -> Vec<JobCommand> {
        self.end_requested = true;
        match self.state {
            JobState::Created | JobState::Restoring => self.cancel(),
            JobState::Running => {
                self.state = JobState::Stopping;
                vec![JobCommand::TakeStopCheckpoint]
            }
            _ => Vec::new(),
        }
    }

    /// The job is to end at once.
    pub fn cancel(&mut self) -> Vec<JobCommand> {
        self.end_requested = true;
        match self.state {
            JobState::Created | JobState::Restoring | JobState::Running | JobState::Stopping => {
                self.state = JobState::Cancelling;
                vec![JobCommand::CancelAll]
            }
            _ => Vec::new(),
        }
    }

    /// The stop checkpoint is complete and committed.
    pub fn stop_checkpoint_committed(&mut self) -> Vec<JobCommand> {
        if self.state == JobState::Stopping {
            self.may_end = true;
            return vec![JobCommand::CancelAll];
        }
        Vec::new()
    }

    /// The final checkpoint is complete and committed. The input may have ended while the job was to stop.
    pub fn finished(&mut self) -> Vec<JobCommand> {
        if matches!(self.state, JobState::Running | JobState::Stopping) {
            self.state = JobState::Finishing;
            return vec![JobCommand::CancelAll];
        }
        Vec::new()
    }

    /// All subtasks have ended.
    pub fn all_subtasks_stopped(&mut self) -> Vec<JobCommand> {
        let outcome = match self.state {
            JobState::Finishing => JobState::Finished,
            JobState::Stopping if self.may_end => JobState::Stopped,
            JobState::Failing => JobState::Failed,
            JobState::Cancelling => JobState::Cancelled,
            state if state.is_terminal() => return Vec::new(),
            _ => return self.ended_unasked(),
        };
        self.state = outcome;
        vec![JobCommand::End(outcome)]
    }

    fn ended_unasked(&mut self) -> Vec<JobCommand> {
        self.failure = Some(JobFailure {
            subtask: None,
            operator: None,
            error: Error::new(
                ErrorKind::Bug,
                "all subtasks ended although nothing had told them to",
            ),
        });
        self.state = JobState::Failed;
        vec![JobCommand::ReportFailure, JobCommand::End(JobState::Failed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use JobCommand::{CancelAll, End, ReportFailure, TakeStopCheckpoint};

    type Event = fn(&mut JobLife) -> Vec<JobCommand>;

    fn failure(message: &str) -> JobFailure {
        JobFailure {
            subtask: Some(SubtaskId::new("sum".into(), 1)),
            operator: Some("filter".into()),
            error: Error::new(ErrorKind::Operator, message),
        }
    }

    /// Events in order, all commands they bring about, and the state that they lead to.
    fn check(events: &[Event], commands: &[JobCommand], state: JobState) -> JobLife {
        let mut life = JobLife::new();
        let mut seen = Vec::new();
        for event in events {
            seen.extend(event(&mut life));
        }
        assert_eq!(seen, commands);
        assert_eq!(life.state(), state);
        life
    }

    const FAILED: Event = |life| life.failed(failure("first"));
    const FAILED_AGAIN: Event = |life| life.failed(failure("second"));
    const RUNNING: [Event; 2] = [JobLife::start, JobLife::restored];

    fn when_running(events: &[Event], commands: &[JobCommand], state: JobState) -> JobLife {
        check(&[&RUNNING, events].concat(), commands, state)
    }

    #[test]
    fn a_job_whose_input_ends_finishes() {
        when_running(
            &[JobLife::finished, JobLife::all_subtasks_stopped],
            &[CancelAll, End(JobState::Finished)],
            JobState::Finished,
        );
    }

    #[test]
    fn a_stopped_job_takes_a_checkpoint_first() {
        when_running(
            &[
                JobLife::stop,
                JobLife::stop,
                JobLife::stop_checkpoint_committed,
                JobLife::all_subtasks_stopped,
            ],
            &[TakeStopCheckpoint, CancelAll, End(JobState::Stopped)],
            JobState::Stopped,
        );
    }

    #[test]
    fn input_that_ends_while_the_job_is_to_stop_finishes_it() {
        when_running(
            &[
                JobLife::stop,
                JobLife::finished,
                JobLife::all_subtasks_stopped,
            ],
            &[TakeStopCheckpoint, CancelAll, End(JobState::Finished)],
            JobState::Finished,
        );
    }

    #[test]
    fn a_job_with_nothing_to_save_is_cancelled_when_it_is_to_stop() {
        check(
            &[JobLife::start, JobLife::stop, JobLife::all_subtasks_stopped],
            &[CancelAll, End(JobState::Cancelled)],
            JobState::Cancelled,
        );
    }

    #[test]
    fn a_second_signal_cancels_a_job_that_is_stopping() {
        when_running(
            &[
                JobLife::stop,
                JobLife::cancel,
                JobLife::cancel,
                FAILED,
                JobLife::all_subtasks_stopped,
            ],
            &[TakeStopCheckpoint, CancelAll, End(JobState::Cancelled)],
            JobState::Cancelled,
        );
    }

    #[test]
    fn the_first_failure_decides_and_later_ones_are_suppressed() {
        let life = when_running(
            &[
                FAILED,
                FAILED_AGAIN,
                JobLife::stop,
                JobLife::cancel,
                JobLife::finished,
                JobLife::all_subtasks_stopped,
                JobLife::all_subtasks_stopped,
            ],
            &[ReportFailure, CancelAll, End(JobState::Failed)],
            JobState::Failed,
        );
        assert_eq!(
            life.failure().map(ToString::to_string).as_deref(),
            Some("operator filter: subtask sum[1]: first")
        );
        let (_, suppressed) = life.into_failures();
        assert_eq!(suppressed.len(), 1);
        assert_eq!(suppressed[0].error.to_string(), "second");
    }

    /// A stopped job once failed now and then: a subtask saw its neighbour's links close before it was itself told to
    /// end.
    #[test]
    fn a_failure_among_the_last_subtasks_changes_nothing_about_the_outcome() {
        when_running(
            &[
                JobLife::stop,
                JobLife::stop_checkpoint_committed,
                FAILED,
                JobLife::all_subtasks_stopped,
            ],
            &[TakeStopCheckpoint, CancelAll, End(JobState::Stopped)],
            JobState::Stopped,
        );
        let life = when_running(
            &[JobLife::finished, FAILED, JobLife::all_subtasks_stopped],
            &[CancelAll, End(JobState::Finished)],
            JobState::Finished,
        );
        assert_eq!(life.suppressed().len(), 1);
    }

    #[test]
    fn a_failure_before_the_stop_checkpoint_is_committed_fails_the_job() {
        when_running(
            &[JobLife::stop, FAILED, JobLife::all_subtasks_stopped],
            &[
                TakeStopCheckpoint,
                ReportFailure,
                CancelAll,
                End(JobState::Failed),
            ],
            JobState::Failed,
        );
    }

    #[test]
    fn a_job_that_failed_knows_whether_it_had_run_and_was_to_end() {
        let stopped = JobLife::all_subtasks_stopped;
        let commands = [ReportFailure, CancelAll, End(JobState::Failed)];
        let life = check(
            &[JobLife::start, FAILED, stopped],
            &commands,
            JobState::Failed,
        );
        assert_eq!((life.has_run(), life.end_requested()), (false, false));
        let life = when_running(&[FAILED, stopped], &commands, JobState::Failed);
        assert_eq!((life.has_run(), life.end_requested()), (true, false));
        for asked in [JobLife::stop, JobLife::cancel] {
            let life = when_running(&[FAILED, stopped, asked], &commands, JobState::Failed);
            assert_eq!((life.has_run(), life.end_requested()), (true, true));
        }
    }

    #[test]
    fn only_the_first_suppressed_failures_are_kept() {
        let mut life = JobLife::new();
        for _ in 0..=2 * SUPPRESSED_MAX {
            life.failed(failure("again"));
        }
        assert_eq!(life.suppressed().len(), SUPPRESSED_MAX);
    }

    #[test]
    fn subtasks_that_end_unasked_fail_the_job() {
        let commands = [ReportFailure, End(JobState::Failed)];
        let ended: Event = JobLife::all_subtasks_stopped;
        when_running(&[ended], &commands, JobState::Failed);
        let commands = [&[TakeStopCheckpoint], &commands[..]].concat();
        when_running(&[JobLife::stop, ended], &commands, JobState::Failed);
    }
}
