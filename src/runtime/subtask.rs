//! The subtask: an ordinary struct whose [`Subtask::step`] does all the work. The actor around it only decides when.

use std::time::Duration;

use crate::channel::{
    Alignment, DeclineReason, Disconnected, Element, Gate, GateCommand, LinkReceiver,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, OperatorId, SubtaskId};
use crate::operator::{Emission, SourceStatus};

use super::background::OperatorWork;
use super::chain::{Chain, OperatorPart, StateFigures, StateSize};
use super::figures::{StateReport, SubtaskFigures};
use super::output::Outputs;
use super::setting::Setting;

/// How many records a source is asked for at a time.
const SOURCE_ROWS_MAX: usize = 1024;

/// How many records one portion of the end counts for, so that a long one leaves the worker to others now and then.
const FINISH_ROWS: usize = 4096;

/// How much of a snapshot is gathered after each batch: what keeps no batch waiting for more than some 50 microseconds.
const GATHER_BYTES: usize = 64 * 1024;

/// How much is gathered at the barrier itself, so that a small snapshot is complete at once.
const GATHER_BYTES_AT_BARRIER: usize = 8 * 1024;

/// One parallel instance of a chain of operators, with its links.
pub(super) struct Subtask {
    id: SubtaskId,
    setting: Setting,
    chain: Chain,
    head: Head,
    outputs: Outputs,
    phase: Phase,
    /// Whether a checkpoint that the job resumes from found this subtask finished.
    finished_before: bool,
    /// Checkpoints that are aligned because all input has ended, and wait until the chain has finished.
    snapshots_after_finish: Vec<CheckpointId>,
    /// The snapshot that is being gathered, still without its operators.
    sealing: Option<SealedSubtask>,
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
    Links(Inputs),
}

/// The links that a subtask reads, and the gate that aligns the barriers on them.
pub(super) struct Inputs {
    links: Vec<LinkReceiver>,
    /// Which links have delivered their end. They are not looked at again: their writers may be gone.
    ended: Vec<bool>,
    gate: Gate,
    /// Which link is looked at first in the next round.
    next: usize,
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
pub(super) enum Progress {
    /// There is more to do at once.
    Busy,
    /// A wake: input on a link, or room in one.
    Waiting,
    /// Time: the source has nothing before this much of it has passed.
    Sleeping(Duration),
}

/// What a subtask has to tell the coordinator, or to have done in the background.
pub(super) enum SubtaskEvent {
    /// The synchronous part of a checkpoint is done.
    Snapshot(SealedSubtask),
    /// The subtask cannot take part in this checkpoint.
    Declined(CheckpointId, DeclineReason),
    /// The second phase of this checkpoint has work for the background; it may be empty.
    Commit(CheckpointId, Vec<OperatorWork>),
    /// All input has ended and is worked off. The subtask still takes part in checkpoints.
    Finished,
}

/// The state of a subtask as of a barrier.
pub(super) struct SealedSubtask {
    /// The checkpoint that it belongs to.
    pub(super) checkpoint: CheckpointId,
    /// Whether the subtask had finished.
    pub(super) finished: bool,
    /// How long the subtask stood still for it.
    pub(super) sync_duration: Duration,
    /// How long the barriers on its inputs took.
    pub(super) alignment: Alignment,
    /// How much keyed state it held.
    pub(super) state_size: StateSize,
    /// The state of each operator of the chain.
    pub(super) operators: Vec<OperatorPart>,
}

impl Inputs {
    /// Inputs over `links`, aligned by `gate`.
    pub(super) fn new(links: Vec<LinkReceiver>, gate: Gate) -> Self {
        Self {
            ended: vec![false; links.len()],
            links,
            gate,
            next: 0,
        }
    }

    /// The next element of an input that is not blocked, round and round.
    fn receive(&mut self) -> Result<Option<(usize, Element)>> {
        let count = self.links.len();
        for offset in 0..count {
            let input = (self.next + offset) % count;
            if self.gate.is_blocked(input) || self.ended[input] {
                continue;
            }
            match self.links[input].try_recv() {
                Ok(Some(element)) => {
                    self.ended[input] = matches!(element, Element::End);
                    self.next = (input + 1) % count;
                    return Ok(Some((input, element)));
                }
                Ok(None) => {}
                Err(Disconnected) => return Err(writer_is_gone()),
            }
        }
        Ok(None)
    }
}

/// The writer ended without saying so: it has failed, and is reported on its own.
fn writer_is_gone() -> Error {
    Error::new(ErrorKind::Operator, "the subtask before this one is gone")
}

impl Subtask {
    /// A subtask that is not open yet.
    pub(super) fn new(
        id: SubtaskId,
        setting: Setting,
        chain: Chain,
        head: Head,
        outputs: Outputs,
        finished_before: bool,
    ) -> Self {
        Self {
            id,
            setting,
            chain,
            head,
            outputs,
            phase: Phase::Running,
            finished_before,
            snapshots_after_finish: Vec::new(),
            sealing: None,
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

    /// Opens the operators: state is restored, sinks commit what the restored checkpoint holds as pending.
    ///
    /// # Errors
    /// When an operator cannot be opened.
    pub(super) fn open(&mut self) -> Result<()> {
        self.chain.open(self.id.index, &self.setting)
    }

    /// Works until about `rows_max` records are done, nothing is left to do, or a link is full.
    ///
    /// # Errors
    /// When an operator fails, or a neighbour is gone. The subtask is of no use afterwards.
    pub(super) fn step(&mut self, rows_max: usize) -> Result<Progress> {
        let mut rows_left = rows_max;
        loop {
            self.gather(GATHER_BYTES)?;
            if !self.outputs.flush()? {
                return Ok(self.unless_sealing(Progress::Waiting));
            }
            if rows_left == 0 {
                return Ok(Progress::Busy);
            }
            let turn = match self.phase {
                Phase::Finished => Turn::Nothing(Progress::Waiting),
                Phase::Finishing => {
                    self.finish()?;
                    // About what an operator emits in one portion.
                    Turn::Did(FINISH_ROWS)
                }
                Phase::Running if matches!(self.head, Head::Source { .. }) => {
                    self.poll_source(rows_left)?
                }
                Phase::Running => self.read_links()?,
            };
            match turn {
                // An element without rows counts as one, so that the loop ends.
                Turn::Did(rows) => rows_left = rows_left.saturating_sub(rows.max(1)),
                Turn::Nothing(progress) => return Ok(self.unless_sealing(progress)),
            }
        }
    }

    /// The coordinator floods the barrier of a checkpoint: a source takes its snapshot at once and sends the barrier
    /// on; any other subtask learns which barrier to expect from inputs that may have ended. With `stop`, a source
    /// emits nothing after it.
    ///
    /// # Errors
    /// When an operator fails.
    pub(super) fn trigger(&mut self, checkpoint: CheckpointId, stop: bool) -> Result<()> {
        match &mut self.head {
            Head::Source { stopped } => {
                *stopped |= stop;
                // A source that had finished before the restore sends no barrier any more, not even before its first
                // step: its readers wait for its end.
                let is_ending = self.finished_before && self.phase == Phase::Running;
                if is_ending || self.phase == Phase::Finishing {
                    self.snapshots_after_finish.push(checkpoint);
                    Ok(())
                } else {
                    self.snapshot(checkpoint, Alignment::default())
                }
            }
            Head::Links(inputs) => {
                let commands = inputs
                    .gate
                    .trigger(checkpoint, self.setting.clock.elapsed());
                self.carry_out(commands)
            }
        }
    }

    /// The coordinator has given the checkpoint up.
    ///
    /// # Errors
    /// When a reader is gone.
    pub(super) fn abort(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.snapshots_after_finish
            .retain(|waiting| *waiting != checkpoint);
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

    fn poll_source(&mut self, rows_left: usize) -> Result<Turn> {
        if matches!(self.head, Head::Source { stopped: true }) {
            return Ok(Turn::Nothing(Progress::Waiting));
        }
        if self.finished_before {
            self.phase = Phase::Finishing;
            return Ok(Turn::Did(0));
        }
        let (status, rows) = self
            .chain
            .poll_source(rows_left.min(SOURCE_ROWS_MAX), &mut self.outputs)?;
        self.records_in += rows;
        match status {
            SourceStatus::Ready => Ok(Turn::Did(rows as usize)),
            SourceStatus::Finished => {
                self.phase = Phase::Finishing;
                Ok(Turn::Did(rows as usize))
            }
            SourceStatus::Wait(_) if !self.outputs.flush()? => Ok(Turn::Nothing(Progress::Waiting)),
            SourceStatus::Wait(duration) => Ok(Turn::Nothing(Progress::Sleeping(duration))),
        }
    }

    fn read_links(&mut self) -> Result<Turn> {
        let Head::Links(inputs) = &mut self.head else {
            return Ok(Turn::Nothing(Progress::Waiting));
        };
        let Some((input, element)) = inputs.receive()? else {
            return Ok(Turn::Nothing(Progress::Waiting));
        };
        let rows = element.rows();
        self.records_in += rows as u64;
        let now = self.setting.clock.elapsed();
        match element {
            Element::Batch(batch) => {
                self.chain.take(Emission::Batch(batch), &mut self.outputs)?;
            }
            Element::Watermark(watermark) => {
                if let Some(watermark) = inputs.gate.watermark(input, watermark) {
                    self.chain
                        .take(Emission::Watermark(watermark), &mut self.outputs)?;
                }
            }
            Element::Barrier(checkpoint) => {
                let commands = inputs.gate.barrier(input, checkpoint, now);
                self.carry_out(commands)?;
            }
            Element::CancelBarrier(checkpoint) => {
                let commands = inputs.gate.cancel_barrier(input, checkpoint);
                self.carry_out(commands)?;
            }
            Element::End => {
                let commands = inputs.gate.end(input, now);
                self.carry_out(commands)?;
            }
        }
        Ok(Turn::Did(rows))
    }

    fn carry_out(&mut self, commands: Vec<GateCommand>) -> Result<()> {
        for command in commands {
            match command {
                GateCommand::Snapshot {
                    checkpoint,
                    alignment,
                } => {
                    let ended =
                        matches!(&self.head, Head::Links(inputs) if inputs.gate.has_ended());
                    if ended && self.phase != Phase::Finished {
                        self.snapshots_after_finish.push(checkpoint);
                    } else {
                        self.snapshot(checkpoint, alignment)?;
                    }
                }
                GateCommand::Decline { checkpoint, reason } => {
                    self.events.push(SubtaskEvent::Declined(checkpoint, reason));
                }
                GateCommand::ForwardCancel(checkpoint) => {
                    self.outputs.broadcast_cancel(checkpoint)?;
                }
                // A chain that had finished before the restore has seen the end of event time already.
                GateCommand::AdvanceWatermark(_) if self.finished_before => {}
                GateCommand::AdvanceWatermark(watermark) => {
                    self.chain
                        .take(Emission::Watermark(watermark), &mut self.outputs)?;
                }
                GateCommand::End => self.phase = Phase::Finishing,
                // The gate is asked before each read.
                GateCommand::Block(_) | GateCommand::UnblockAll => {}
            }
        }
        Ok(())
    }

    /// The barrier goes on first, so that the subtasks behind this one can begin while it takes its snapshot.
    fn snapshot(&mut self, checkpoint: CheckpointId, alignment: Alignment) -> Result<()> {
        let started = self.setting.clock.elapsed();
        let finished = self.phase == Phase::Finished;
        if !finished {
            self.outputs.broadcast_barrier(checkpoint)?;
        }
        // Only one is gathered at a time. It is complete long before the next barrier, unless it was given up.
        self.gather(usize::MAX)?;
        self.chain.begin_snapshot(checkpoint)?;
        self.sealing = Some(SealedSubtask {
            checkpoint,
            finished,
            sync_duration: Duration::ZERO,
            alignment,
            state_size: self.chain.state_size(),
            operators: Vec::new(),
        });
        let gathered = self.chain.gather(GATHER_BYTES_AT_BARRIER)?;
        if let Some(sealing) = &mut self.sealing {
            sealing.sync_duration = self.setting.clock.elapsed().saturating_sub(started);
        }
        self.on_gathered(gathered);
        Ok(())
    }

    /// Goes on gathering the snapshot that was begun, if there is one.
    fn gather(&mut self, bytes_max: usize) -> Result<()> {
        if self.sealing.is_some() {
            let gathered = self.chain.gather(bytes_max)?;
            self.on_gathered(gathered);
        }
        Ok(())
    }

    fn on_gathered(&mut self, gathered: Option<Vec<OperatorPart>>) {
        if let Some(operators) = gathered
            && let Some(sealing) = self.sealing.take()
        {
            self.state_report.on_snapshot();
            self.events.push(SubtaskEvent::Snapshot(SealedSubtask {
                operators,
                ..sealing
            }));
        }
    }

    /// What the next step is worth: there is no waiting while a snapshot is to be gathered.
    fn unless_sealing(&self, progress: Progress) -> Progress {
        match &self.sealing {
            Some(_) => Progress::Busy,
            None => progress,
        }
    }

    /// One portion of the end. A subtask that had finished before the restore has emitted its end already.
    fn finish(&mut self) -> Result<()> {
        if !self.finished_before && !self.chain.finish(&mut self.outputs)? {
            return Ok(());
        }
        self.outputs.broadcast_end()?;
        self.phase = Phase::Finished;
        self.events.push(SubtaskEvent::Finished);
        for checkpoint in std::mem::take(&mut self.snapshots_after_finish) {
            self.snapshot(checkpoint, Alignment::default())?;
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
