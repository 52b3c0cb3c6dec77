//! What comes into a subtask: from its source, or over links and past their gate.

use super::snapshot::DueSnapshot;
use super::{Head, Phase, Progress, Subtask, Turn};
use crate::channel::{Element, GateCommand};
use crate::error::Result;
use crate::operator::{Emission, SourceStatus};
use crate::runtime::subtask_event::SubtaskEvent;

/// How many records a source is asked for at a time.
const SOURCE_ROWS_MAX: usize = 1024;

impl Subtask {
    /// Lets the source emit a batch.
    pub(super) fn poll_source(&mut self, rows_left: usize) -> Result<Turn> {
        if matches!(self.head, Head::Source { stopped: true }) {
            return Ok(Turn::Nothing(Progress::Waiting));
        }
        if self.past.has_finished() {
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

    /// Takes one element from a link.
    pub(super) fn read_links(&mut self) -> Result<Turn> {
        let Head::Links(inputs) = &mut self.head else {
            return Ok(Turn::Nothing(Progress::Waiting));
        };
        let Some((input, element)) = inputs.receive(self.portion.rows_max())? else {
            return Ok(Turn::Nothing(Progress::Waiting));
        };
        let rows = element.rows();
        self.records_in += rows as u64;
        let now = self.setting.clock.elapsed();
        match element {
            Element::Batch(batch) => {
                self.chain.take(Emission::Batch(batch), &mut self.outputs)?;
                if self.setting.unaligned {
                    self.portion.took(rows, self.elapsed_since(now));
                }
            }
            Element::Watermark(watermark) => {
                if let Some(watermark) = inputs.gate.watermark(input, watermark) {
                    self.chain
                        .take(Emission::Watermark(watermark), &mut self.outputs)?;
                }
            }
            Element::Barrier(barrier) => {
                let commands = inputs.gate.barrier(input, barrier, now);
                self.await_timeout(barrier);
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

    /// Does what the gate decides.
    pub(super) fn carry_out(&mut self, commands: Vec<GateCommand>) -> Result<()> {
        for command in commands {
            match command {
                GateCommand::Snapshot { barrier, alignment } => {
                    self.snapshot_when_possible(DueSnapshot { barrier, alignment })?;
                }
                GateCommand::Aligned {
                    checkpoint,
                    alignment,
                } => self.on_aligned(checkpoint, alignment),
                GateCommand::EndCapture(checkpoint) => self.on_capture_ended(checkpoint),
                GateCommand::Decline { checkpoint, reason } => {
                    self.events.push(SubtaskEvent::Declined(checkpoint, reason));
                }
                GateCommand::ForwardCancel(checkpoint) => {
                    self.outputs.broadcast_cancel(checkpoint)?;
                }
                // A chain that had finished before the restore has seen the end of event time already.
                GateCommand::AdvanceWatermark(_) if self.past.has_finished() => {}
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
}
