//! The subtask: an ordinary struct whose [`Subtask::step`] does all the work. The actor around it only decides when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Barrier, Wake};
use crate::error::Result;
use crate::model::{CheckpointId, OperatorId, SubtaskId};

use super::chain::{Chain, StateFigures};
use super::figures::{StateReport, SubtaskFigures};
use super::inputs::Inputs;
use super::output::Outputs;
use super::past::Past;
use super::portion::Portion;
use super::setting::Setting;
use super::subtask_event::SubtaskEvent;
use snapshot::{DueSnapshot, Sealing};

mod input;
mod overtaking;
mod snapshot;

/// How many records one portion of a watermark, of what is due by the clock, or of the end counts for, so that many
/// portions leave the worker to others now and then. About what an operator emits in one.
const PORTION_ROWS: usize = 4096;

/// The longest sleep until something is due by the clock, so that a jump of the wall-clock time is noticed.
const PROCESSING_TIME_SLEEP_MAX: Duration = Duration::from_secs(10);

/// How much of a snapshot is gathered after each batch: what keeps no batch waiting for more than some 50 microseconds.
const GATHER_BYTES: usize = 64 * 1024;

/// How much is gathered at the barrier itself, so that a small snapshot is complete at once.
const GATHER_BYTES_AT_BARRIER: usize = 8 * 1024;

/// How long a step may take, so that slow operators leave the worker to others now and then: to sources that are to send
/// a barrier, for example.
const STEP_DURATION_MAX: Duration = Duration::from_millis(5);

/// One parallel instance of a chain of operators, with its links.
pub(super) struct Subtask {
    id: SubtaskId,
    setting: Setting,
    /// Makes the subtask be stepped soon.
    wake: Arc<dyn Wake>,
    chain: Chain,
    head: Head,
    outputs: Outputs,
    /// Whether the sink at the end of the chain had no room when it was last asked.
    sink_is_full: bool,
    phase: Phase,
    /// How far it had come in the checkpoint that the job goes on from.
    past: Past,
    /// Whether a portion of the end was done.
    finish_begun: bool,
    /// Snapshots that are due because all input has ended, and wait until the chain has finished.
    snapshots_after_finish: Vec<DueSnapshot>,
    /// Snapshots that became due while a watermark was under way through the chain.
    snapshots_after_watermark: Vec<DueSnapshot>,
    /// Checkpoints that were triggered, and whose snapshots are still to be taken.
    awaited: BTreeSet<CheckpointId>,
    /// Whether a checkpoint was asked for since the last one was triggered.
    has_asked: bool,
    /// The snapshot that was taken and is not complete yet.
    sealing: Option<Sealing>,
    /// The barrier that was last heard of, if it may begin to overtake later.
    timeout: Option<Barrier>,
    /// How much of a batch is worked off at a time.
    portion: Portion,
    events: Vec<SubtaskEvent>,
    records_in: u64,
    /// When the figures of named states are to be reported again.
    state_report: StateReport,
}

/// Where a subtask's records come from.
pub(super) enum Head {
    /// The first operator of the chain is a source.
    Source {
        /// Set once the source has been told to stop: it emits no more, and its readers wait.
        stopped: bool,
    },
    /// Links from other subtasks.
    Links(Box<Inputs>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// All input has ended; the chain is emitting what is left.
    Finishing,
    /// All is emitted, and every reader knows.
    Finished,
}

/// What the subtask needs before another step is worth while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to do at once.
    Busy,
    /// A wake: input on a link, or room in one.
    Waiting,
    /// A wake, or time: the source has nothing, and nothing is due by the clock, before this much of it has passed.
    Sleeping(Duration),
}

impl Subtask {
    /// A subtask that is not open yet.
    pub(super) fn new(
        id: SubtaskId,
        setting: Setting,
        wake: Arc<dyn Wake>,
        chain: Chain,
        head: Head,
        outputs: Outputs,
        past: Past,
    ) -> Self {
        Self {
            id,
            setting,
            wake,
            chain,
            head,
            outputs,
            sink_is_full: false,
            phase: Phase::Running,
            past,
            finish_begun: false,
            snapshots_after_finish: Vec::new(),
            snapshots_after_watermark: Vec::new(),
            awaited: BTreeSet::new(),
            has_asked: false,
            sealing: None,
            timeout: None,
            portion: Portion::default(),
            events: Vec::new(),
            records_in: 0,
            state_report: StateReport::default(),
        }
    }

    /// Which subtask this is.
    pub(super) fn id(&self) -> &SubtaskId {
        &self.id
    }

    /// The operator that was called last: the one to blame for a failure.
    pub(super) fn running(&self) -> &OperatorId {
        self.chain.running()
    }

    /// Whether something that it has to send waits for room, in a link or in its sink.
    pub(super) fn is_back_pressured(&self) -> bool {
        self.sink_is_full || self.outputs.is_waiting()
    }

    /// Opens the operators: state is restored, sinks commit what the restored checkpoint holds as pending. Those of a subtask
    /// that had finished for good have no more to do, and are left alone.
    ///
    /// # Errors
    /// When an operator cannot be opened.
    pub(super) fn open(&mut self) -> Result<()> {
        match self.past {
            Past::FinishedForGood => Ok(()),
            _ => {
                let recovery = self.chain.open(self.id.index, &self.wake, &self.setting)?;
                if !recovery.is_empty() {
                    self.events.push(SubtaskEvent::Recovery(recovery));
                }
                Ok(())
            }
        }
    }

    /// What must hold between any two calls.
    ///
    /// # Errors
    /// Names the promise that is broken.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        match &self.head {
            Head::Source { .. } => Ok(()),
            Head::Links(inputs) => inputs.gate.check_invariants(),
        }
    }

    /// What must hold of a subtask that sleeps.
    ///
    /// # Errors
    /// Names what it could do.
    #[cfg(test)]
    pub(super) fn check_rest(&self) -> Result<(), &'static str> {
        let can_read = match &self.head {
            Head::Source { .. } => false,
            Head::Links(inputs) => inputs.can_receive(),
        };
        if self.outputs.is_waiting_in_vain() {
            Err("there is room for what it has to send")
        } else if self.sink_is_full || self.outputs.is_waiting() || self.phase == Phase::Finished {
            Ok(())
        } else if self.chain.is_watermark_under_way() || self.phase == Phase::Finishing {
            Err("it has more to emit")
        } else if can_read {
            Err("there is something to read")
        } else {
            Ok(())
        }
    }

    /// Works until about `rows_max` records are done, some milliseconds have passed, nothing is left to do, or a link is
    /// full.
    ///
    /// # Errors
    /// When an operator fails, or a neighbour is gone. The subtask is of no use afterwards.
    pub(super) fn step(&mut self, rows_max: usize) -> Result<Progress> {
        let now_unix_millis = self.setting.clock.unix_millis();
        let begun = self.setting.clock.elapsed();
        let mut rows_left = rows_max;
        loop {
            self.heed_overtaking()?;
            self.gather(GATHER_BYTES)?;
            self.sink_is_full = !self.chain.has_room(!self.awaited.is_empty());
            self.pass_on_want();
            if self.sink_is_full || !self.outputs.flush()? {
                return Ok(self.unless_gathering(self.until_timeout(Progress::Waiting)));
            }
            if rows_left == 0 || self.elapsed_since(begun) >= STEP_DURATION_MAX {
                return Ok(Progress::Busy);
            }
            self.chain.advance_time();
            let turn = match self.phase {
                Phase::Finished => Turn::Nothing(Progress::Waiting),
                Phase::Finishing => {
                    self.finish()?;
                    Turn::Did(PORTION_ROWS)
                }
                Phase::Running => self.run(rows_left, now_unix_millis)?,
            };
            match turn {
                // An element without rows counts as one, so that the loop ends.
                Turn::Did(rows) => rows_left = rows_left.saturating_sub(rows.max(1)),
                Turn::Nothing(progress) => {
                    let progress = self.until_timeout(self.until_due(progress));
                    return Ok(self.unless_gathering(progress));
                }
            }
        }
    }

    /// The coordinator floods the barrier of a checkpoint: a source takes its snapshot at once and sends the barrier
    /// on; any other subtask learns which barrier to expect from inputs that may have ended. With `stop`, a source
    /// emits nothing after it.
    ///
    /// # Errors
    /// When an operator fails.
    pub(super) fn trigger(&mut self, barrier: Barrier, stop: bool) -> Result<()> {
        self.await_timeout(barrier);
        self.awaited.insert(barrier.checkpoint);
        self.has_asked = false;
        match &mut self.head {
            Head::Source { stopped } => {
                *stopped |= stop;
                self.snapshot_when_possible(DueSnapshot::at_once(barrier))
            }
            Head::Links(inputs) => {
                let commands = inputs.gate.trigger(barrier, self.setting.clock.elapsed());
                self.carry_out(commands)
            }
        }
    }

    /// The input of the job ends here: a source emits nothing more, and what follows is as if it had no more.
    pub(super) fn drain(&mut self) {
        if matches!(self.head, Head::Source { .. }) && self.phase == Phase::Running {
            self.phase = Phase::Finishing;
            // The watermark that they wait for is followed by the end.
            let waiting = std::mem::take(&mut self.snapshots_after_watermark);
            self.snapshots_after_finish.extend(waiting);
        }
    }

    /// The coordinator has given the checkpoint up.
    ///
    /// # Errors
    /// When a reader is gone.
    pub(super) fn abort(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.forget_due(checkpoint);
        self.awaited.remove(&checkpoint);
        self.timeout
            .take_if(|barrier| barrier.checkpoint == checkpoint);
        if let Head::Links(inputs) = &mut self.head {
            let commands = inputs.gate.abort(checkpoint);
            self.carry_out(commands)?;
        }
        Ok(())
    }

    /// The checkpoint is complete: what it covers is committed outside.
    ///
    /// # Errors
    /// When an operator fails.
    pub(super) fn complete(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.timeout
            .take_if(|barrier| barrier.checkpoint <= checkpoint);
        let background = self.chain.commit(checkpoint)?;
        self.events
            .push(SubtaskEvent::Commit(checkpoint, background));
        Ok(())
    }

    /// Takes out what the subtask has to tell, in order.
    pub(super) fn take_events(&mut self) -> std::vec::Drain<'_, SubtaskEvent> {
        self.events.drain(..)
    }

    /// What passed the subtask since this was last asked.
    pub(super) fn take_figures(&mut self) -> SubtaskFigures {
        SubtaskFigures {
            is_source: matches!(self.head, Head::Source { .. }),
            is_last: self.outputs.is_empty(),
            records_in: std::mem::take(&mut self.records_in),
            records_sent: self.outputs.take_records_out(),
            records_sunk: self.chain.take_records_out(),
            watermark: self.chain.watermark(),
            unix_millis: self.setting.clock.unix_millis(),
        }
    }

    /// The figures of every named state, after a checkpoint and once a second.
    pub(super) fn take_state_figures(&mut self) -> Vec<StateFigures> {
        if self.state_report.is_due(self.setting.clock.elapsed()) {
            self.chain.state_figures()
        } else {
            Vec::new()
        }
    }

    /// One turn while there is input: first what is under way, then what is due, and only then more input.
    fn run(&mut self, rows_left: usize, now_unix_millis: i64) -> Result<Turn> {
        if self.chain.is_watermark_under_way() {
            self.advance_watermark()?;
            return Ok(Turn::Did(PORTION_ROWS));
        }
        if self.obeys_clock()
            && self
                .chain
                .advance_processing_time(now_unix_millis, &mut self.outputs)?
        {
            return Ok(Turn::Did(PORTION_ROWS));
        }
        match self.head {
            Head::Source { .. } => self.poll_source(rows_left),
            Head::Links(_) => self.read_links(),
        }
    }

    /// One portion of a watermark; after the last, the checkpoints that were triggered meanwhile.
    fn advance_watermark(&mut self) -> Result<()> {
        self.chain.advance_watermark(&mut self.outputs)?;
        if !self.chain.is_watermark_under_way() {
            for due in std::mem::take(&mut self.snapshots_after_watermark) {
                self.snapshot(due)?;
            }
        }
        Ok(())
    }

    /// Whether what is due by the clock is done. Once all input has ended, or a source was told to stop, it never is:
    /// its time may lie far behind the end of the job.
    fn obeys_clock(&self) -> bool {
        let stopped = matches!(self.head, Head::Source { stopped: true });
        self.phase == Phase::Running && !self.past.has_finished() && !stopped
    }

    /// What the subtask needs if it has nothing to do now, and perhaps has when something is due by the clock.
    fn until_due(&self, progress: Progress) -> Progress {
        if !self.obeys_clock() {
            return progress;
        }
        let Some(next_unix_millis) = self.chain.next_processing_time() else {
            return progress;
        };
        let now_unix_millis = self.setting.clock.unix_millis();
        let millis = next_unix_millis.saturating_sub(now_unix_millis);
        let Ok(millis @ 1..) = u64::try_from(millis) else {
            return Progress::Busy;
        };
        let sleep = Duration::from_millis(millis).min(PROCESSING_TIME_SLEEP_MAX);
        match progress {
            Progress::Sleeping(duration) => Progress::Sleeping(duration.min(sleep)),
            _ => Progress::Sleeping(sleep),
        }
    }

    /// Tells the coordinator, once for each checkpoint, that the sink wants one. One whose barrier is on its way will do.
    fn pass_on_want(&mut self) {
        if self.awaited.is_empty() && !self.has_asked && self.chain.wants_checkpoint() {
            self.has_asked = true;
            self.events.push(SubtaskEvent::CheckpointWanted);
        }
    }

    /// What the next step is worth: there is no waiting while a snapshot is to be gathered.
    fn unless_gathering(&self, progress: Progress) -> Progress {
        match self.is_gathering() {
            true => Progress::Busy,
            false => progress,
        }
    }

    /// One portion of the end. A subtask that had finished before the restore has emitted its end already.
    fn finish(&mut self) -> Result<()> {
        self.finish_begun = true;
        if !self.past.has_finished() && !self.chain.finish(&mut self.outputs)? {
            return Ok(());
        }
        self.outputs.broadcast_end()?;
        self.phase = Phase::Finished;
        self.events.push(SubtaskEvent::Finished);
        for due in std::mem::take(&mut self.snapshots_after_finish) {
            self.snapshot(due)?;
        }
        Ok(())
    }
}

/// What came of one turn of the loop.
enum Turn {
    /// So many records were worked off.
    Did(usize),
    /// There was nothing to do.
    Nothing(Progress),
}

#[cfg(test)]
mod tests;
