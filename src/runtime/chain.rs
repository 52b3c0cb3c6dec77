//! The operators of one subtask, chained: each hands its output to the next by a plain call.

use std::sync::Arc;

use crate::channel::Wake;
use crate::error::Result;
use crate::model::{CheckpointId, EventTime, OperatorId};
use crate::operator::{Emission, FinishStatus, SourceStatus};
use crate::state::StateStatistics;

use super::background::OperatorWork;
use super::output::Outputs;
use super::setting::Setting;
use super::slot::{Instance, OperatorPart, Slot};

/// The operators of one subtask, in the order in which a record passes them.
pub(super) struct Chain {
    slots: Vec<Slot>,
    /// Which slot was called last: the one to blame when a call panics.
    running: usize,
    /// Which slot is being finished.
    finishing: usize,
    /// Whether a watermark is on its way through the chain: a slot has more to do for it, or something waits behind it.
    watermark_under_way: bool,
    /// Whether the end of event time was passed on.
    watermark_ended: bool,
    records_out: u64,
    /// What is gathered of the snapshot that was begun: the parts of the first slots.
    gathered: Vec<OperatorPart>,
}

/// How much keyed state there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StateSize {
    /// How many records.
    pub(super) records: u64,
    /// How many bytes of working segments they take.
    pub(super) bytes: u64,
}

/// An operator, and the figures of one of its states.
pub(super) type StateFigures = (OperatorId, StateStatistics);

impl Chain {
    /// A chain of slots, in the order in which a record passes them.
    pub(super) fn new(slots: Vec<Slot>) -> Self {
        Self {
            slots,
            running: 0,
            finishing: 0,
            watermark_under_way: false,
            watermark_ended: false,
            records_out: 0,
            gathered: Vec::new(),
        }
    }

    /// The operator that was called last.
    pub(super) fn running(&self) -> &OperatorId {
        &self.slots[self.running].operator
    }

    /// Opens every operator, the last one first, so that none emits to one that is not open.
    ///
    /// # Errors
    /// The first operator's that fails to open.
    pub(super) fn open(
        &mut self,
        subtask: usize,
        wake: &Arc<dyn Wake>,
        setting: &Setting,
    ) -> Result<Vec<OperatorWork>> {
        let mut recovery = Vec::new();
        for index in (0..self.slots.len()).rev() {
            self.running = index;
            let slot = &mut self.slots[index];
            let work = slot.open(subtask, wake, setting)?;
            if !work.is_empty() {
                recovery.push((slot.operator.clone(), work));
            }
        }
        Ok(recovery)
    }

    /// Whether the operator at the end can be given records.
    pub(super) fn has_room(&mut self, awaits_barrier: bool) -> bool {
        let last = self.slots.last_mut();
        last.is_none_or(|slot| slot.has_room(awaits_barrier))
    }

    /// Whether the operator at the end wants a checkpoint before the next is due.
    pub(super) fn wants_checkpoint(&mut self) -> bool {
        self.slots.last_mut().is_some_and(Slot::wants_checkpoint)
    }

    /// Reads the clock for what goes by processing time: until the next call it stands still for all operators.
    pub(super) fn advance_time(&self) {
        for slot in &self.slots {
            slot.keyed_state.advance_time();
        }
    }

    /// Lets the source at the head emit up to about `rows_max` records. Gives how many it emitted.
    ///
    /// # Errors
    /// When the source fails, or an operator that its records reach.
    pub(super) fn poll_source(
        &mut self,
        rows_max: usize,
        outputs: &mut Outputs,
    ) -> Result<(SourceStatus, u64)> {
        self.running = 0;
        let slot = &mut self.slots[0];
        let Instance::Source(source) = &mut slot.component else {
            return Ok((SourceStatus::Finished, 0));
        };
        let status = source.poll(rows_max, &mut slot.output)?;
        let rows = slot.output.rows() as u64;
        self.pass_on(0, outputs)?;
        Ok((status, rows))
    }

    /// Takes in what came over a link. No watermark may be under way.
    ///
    /// # Errors
    /// When an operator fails that it reaches.
    pub(super) fn take(&mut self, emission: Emission, outputs: &mut Outputs) -> Result<()> {
        self.push(0, emission, outputs)?;
        Ok(())
    }

    /// Whether a watermark is on its way through the chain. Until it is through, the chain must be given nothing, and no
    /// snapshot may be taken of it: records that wait behind the watermark would be in nobody's state.
    pub(super) fn is_watermark_under_way(&self) -> bool {
        self.watermark_under_way
    }

    /// Goes on with the watermark that is under way, by one portion. To be called when the outputs have room.
    ///
    /// # Errors
    /// When an operator fails.
    pub(super) fn advance_watermark(&mut self, outputs: &mut Outputs) -> Result<()> {
        self.watermark_under_way = false;
        // The last slot first, so that nothing gathers between two.
        for index in (0..self.slots.len()).rev() {
            if !self.pass_on(index, outputs)? {
                return Ok(());
            }
            if self.slots[index].is_advancing {
                self.running = index;
                self.slots[index].advance()?;
                self.pass_on(index, outputs)?;
                self.watermark_under_way = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// When the first operator wants to be called by the clock, in milliseconds since the Unix epoch.
    pub(super) fn next_processing_time(&self) -> Option<i64> {
        self.slots
            .iter()
            .filter_map(Slot::next_processing_time)
            .min()
    }

    /// Lets one operator that is due do a portion of what is. No watermark may be under way. Gives whether one was due.
    ///
    /// # Errors
    /// When an operator fails.
    pub(super) fn advance_processing_time(
        &mut self,
        now_unix_millis: i64,
        outputs: &mut Outputs,
    ) -> Result<bool> {
        let is_due = |slot: &Slot| {
            slot.next_processing_time()
                .is_some_and(|time| time <= now_unix_millis)
        };
        let Some(index) = self.slots.iter().position(is_due) else {
            return Ok(false);
        };
        self.running = index;
        self.slots[index].advance_processing_time(now_unix_millis)?;
        self.pass_on(index, outputs)?;
        Ok(true)
    }

    /// Brings the chain to its end, a portion a call: event time ends, then each operator finishes, in order. Gives
    /// whether all is done; call it again when the outputs have room.
    ///
    /// # Errors
    /// When an operator fails.
    pub(super) fn finish(&mut self, outputs: &mut Outputs) -> Result<bool> {
        if self.watermark_under_way {
            self.advance_watermark(outputs)?;
            return Ok(false);
        }
        if !self.watermark_ended {
            self.watermark_ended = true;
            let first = usize::from(matches!(self.slots[0].component, Instance::Source(_)));
            self.push(first, Emission::Watermark(EventTime::MAX), outputs)?;
            if self.watermark_under_way {
                return Ok(false);
            }
        }
        while self.finishing < self.slots.len() {
            let index = self.finishing;
            self.running = index;
            let slot = &mut self.slots[index];
            let status = match &mut slot.component {
                Instance::Source(_) => FinishStatus::Done,
                Instance::Operator(operator) => operator.finish(&mut slot.output)?,
                Instance::Sink(sink) => {
                    sink.finish()?;
                    FinishStatus::Done
                }
            };
            if status == FinishStatus::Done {
                self.finishing += 1;
            }
            // What it emitted may hold a watermark.
            if !self.pass_on(index, outputs)? || status == FinishStatus::More {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The synchronous part of a checkpoint: every operator's state is to be as of now, whatever follows.
    ///
    /// # Errors
    /// When an operator fails, or what the last barrier gives is still to be gathered.
    pub(super) fn begin_snapshot(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.gathered = Vec::with_capacity(self.slots.len());
        for (index, slot) in self.slots.iter_mut().enumerate() {
            self.running = index;
            slot.begin_snapshot(checkpoint)?;
        }
        Ok(())
    }

    /// Gathers about `bytes_max` of what was begun. Gives all of it, once, when it is complete.
    ///
    /// # Errors
    /// When there is no room.
    pub(super) fn gather(&mut self, bytes_max: usize) -> Result<Option<Vec<OperatorPart>>> {
        for index in self.gathered.len()..self.slots.len() {
            self.running = index;
            match self.slots[index].gather(bytes_max)? {
                Some(part) => self.gathered.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(std::mem::take(&mut self.gathered)))
    }

    /// The second phase of two-phase commit, in every operator.
    ///
    /// # Errors
    /// When an operator fails.
    pub(super) fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<OperatorWork>> {
        let mut background = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            self.running = index;
            let work = match &mut slot.component {
                Instance::Source(source) => source.commit(checkpoint),
                Instance::Operator(operator) => operator.commit(checkpoint),
                Instance::Sink(sink) => sink.commit(checkpoint),
            }?;
            slot.release(checkpoint)?;
            background.push((slot.operator.clone(), work));
        }
        Ok(background)
    }

    /// The last watermark that the last operator was given.
    pub(super) fn watermark(&self) -> EventTime {
        self.slots
            .last()
            .map_or(EventTime::MIN, |slot| slot.watermark)
    }

    /// How many records the sink at the end has taken since this was last asked.
    pub(super) fn take_records_out(&mut self) -> u64 {
        std::mem::take(&mut self.records_out)
    }

    /// How much keyed state the operators hold together.
    pub(super) fn state_size(&self) -> StateSize {
        let mut size = StateSize::default();
        for state in self
            .slots
            .iter()
            .flat_map(|slot| slot.keyed_state.statistics())
        {
            size.records += state.records;
            size.bytes += state.table_bytes;
        }
        size
    }

    /// The figures of every named state, with the operator that it belongs to.
    pub(super) fn state_figures(&self) -> Vec<StateFigures> {
        let of_slot = |slot: &Slot| {
            let operator = slot.operator.clone();
            let states = slot.keyed_state.statistics().into_iter();
            states.map(move |state| (operator.clone(), state))
        };
        self.slots.iter().flat_map(of_slot).collect()
    }

    /// Gives slot `index` something to take. Gives whether all of its effect has gone through the chain; if not, a
    /// watermark is under way.
    fn push(&mut self, index: usize, emission: Emission, outputs: &mut Outputs) -> Result<bool> {
        if index == self.slots.len() {
            outputs.emit(emission)?;
            return Ok(true);
        }
        self.running = index;
        self.slots[index].take(emission, &mut self.records_out)?;
        let is_through = self.pass_on(index, outputs)? && !self.slots[index].is_advancing;
        self.watermark_under_way |= !is_through;
        Ok(is_through)
    }

    /// Hands what slot `index` emitted to the one behind it, up to a watermark for which that has more to do. Gives
    /// whether all was handed on, and has gone through the chain.
    fn pass_on(&mut self, index: usize, outputs: &mut Outputs) -> Result<bool> {
        while let Some(emission) = self.slots[index].output.take_first() {
            if !self.push(index + 1, emission, outputs)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
