//! The operators of one subtask, chained: each hands its output to the next by a plain call.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, EventTime, OperatorId};
use crate::operator::{
    Emission, FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output,
    RestoredOperatorState, Sink, Source, SourceStatus,
};
use crate::state::{
    Epoch, KeyedStateBackend, LocalBarrier, OperatorStateBackend, SealedOperatorState, SealedState,
    StateStatistics,
};

use super::background::OperatorWork;
use super::output::Outputs;
use super::setting::Setting;

/// How many bytes of a base are copied after each batch: about one sub-table, so that no batch waits long for it.
const BASE_SLICE_BYTES: usize = 32 * 1024;

/// The operators of one subtask, in the order in which a record passes them.
pub(super) struct Chain {
    slots: Vec<Slot>,
    /// Which slot was called last: the one to blame when a call panics.
    running: usize,
    /// Which slot is being finished.
    finishing: usize,
    /// Whether the end of event time was passed on.
    watermark_ended: bool,
    records_out: u64,
    /// What is gathered of the snapshot that was begun: the parts of the first slots.
    gathered: Vec<OperatorPart>,
}

/// One operator of a chain, with what belongs to it alone.
pub(super) struct Slot {
    /// The operator's id.
    pub(super) operator: OperatorId,
    /// The instance itself.
    pub(super) component: Instance,
    /// The keyed state that the instance registers.
    pub(super) keyed_state: KeyedStateBackend,
    /// The operator state that the instance registers.
    pub(super) operator_state: OperatorStateBackend,
    /// The items that the job resumes from.
    pub(super) restored: Option<Arc<RestoredOperatorState>>,
    output: Output,
    watermark: EventTime,
    /// What belongs to the last barrier, as long as that is being gathered.
    begun: Option<Begun>,
    /// The checkpoints that are not known to be complete, oldest first, and the epochs that their barriers ended.
    barriers: VecDeque<(CheckpointId, Epoch)>,
}

/// What a barrier gives at once.
#[derive(Default)]
struct Begun {
    snapshot: OperatorSnapshot,
    operator_state: Vec<SealedOperatorState>,
    local: Option<LocalBarrier>,
}

/// An instance of a component.
pub(super) enum Instance {
    /// The first of its chain.
    Source(Box<dyn Source>),
    /// Anywhere in a chain.
    Operator(Box<dyn Operator>),
    /// The last of its chain.
    Sink(Box<dyn Sink>),
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

/// What one operator of a chain adds to a checkpoint.
pub(super) struct OperatorPart {
    /// The operator's id.
    pub(super) operator: OperatorId,
    /// Its items and the work that must precede the acknowledgement.
    pub(super) snapshot: OperatorSnapshot,
    /// Its operator state.
    pub(super) operator_state: Vec<SealedOperatorState>,
    /// Its keyed state.
    pub(super) keyed: Vec<SealedState>,
    /// What a later process can go back to, should this one be killed.
    pub(super) local: Option<LocalBarrier>,
}

impl Slot {
    /// A slot that is not open yet.
    pub(super) fn new(
        operator: OperatorId,
        component: Instance,
        keyed_state: KeyedStateBackend,
        operator_state: OperatorStateBackend,
        restored: Option<Arc<RestoredOperatorState>>,
    ) -> Self {
        Self {
            operator,
            component,
            keyed_state,
            operator_state,
            restored,
            output: Output::default(),
            watermark: EventTime::MIN,
            begun: None,
            barriers: VecDeque::new(),
        }
    }

    fn open(&mut self, subtask: usize, setting: &Setting) -> Result<()> {
        let restored = self.restored.take();
        let mut context = OperatorContext {
            operator: &self.operator,
            subtask,
            parallelism: setting.targets.parallelism,
            clock: &setting.clock,
            status: &setting.status,
            restored: restored.as_deref(),
            keyed_state: &mut self.keyed_state,
            operator_state: &mut self.operator_state,
        };
        match &mut self.component {
            Instance::Source(source) => source.open(&mut context),
            Instance::Operator(operator) => operator.open(&mut context),
            Instance::Sink(sink) => sink.open(&mut context),
        }?;
        let mut unclaimed = self.keyed_state.unclaimed();
        unclaimed.extend(self.operator_state.unclaimed());
        refuse_unclaimed(&unclaimed)
    }

    fn take(&mut self, emission: Emission, records_out: &mut u64) -> Result<()> {
        match (&mut self.component, emission) {
            (Instance::Operator(operator), Emission::Batch(batch)) => {
                operator.process(batch, &mut self.output)?;
                self.keyed_state.copy_base_slice(BASE_SLICE_BYTES)?;
            }
            (Instance::Operator(operator), Emission::Watermark(watermark)) => {
                if watermark > self.watermark {
                    self.watermark = watermark;
                    operator.on_watermark(watermark, &mut self.output)?;
                }
            }
            (Instance::Sink(sink), Emission::Batch(batch)) => {
                let rows = batch.len() as u64;
                sink.write(batch)?;
                *records_out += rows;
            }
            (Instance::Sink(_), Emission::Watermark(watermark)) => self.watermark = watermark,
            (Instance::Source(_), _) => {}
        }
        Ok(())
    }

    fn begin_snapshot(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let snapshot = match &mut self.component {
            Instance::Source(source) => source.snapshot(checkpoint),
            Instance::Operator(operator) => operator.snapshot(checkpoint),
            Instance::Sink(sink) => sink.snapshot(checkpoint),
        }?;
        let operator_state = self.operator_state.seal()?;
        self.keyed_state.end_epoch()?;
        let local = self.keyed_state.local_barrier();
        if let Some(local) = local {
            self.barriers.push_back((checkpoint, local.epoch));
        }
        self.begun = Some(Begun {
            snapshot,
            operator_state,
            local,
        });
        Ok(())
    }

    fn gather(&mut self, bytes_max: usize) -> Result<Option<OperatorPart>> {
        let Some(keyed) = self.keyed_state.gather(bytes_max)? else {
            return Ok(None);
        };
        let Begun {
            snapshot,
            operator_state,
            local,
        } = self.begun.take().unwrap_or_default();
        Ok(Some(OperatorPart {
            operator: self.operator.clone(),
            snapshot,
            operator_state,
            keyed,
            local,
        }))
    }

    /// The checkpoint is complete: state need not be able to go back behind it.
    fn release(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let mut covered = None;
        while self
            .barriers
            .front()
            .is_some_and(|(id, _)| *id <= checkpoint)
        {
            covered = self.barriers.pop_front();
        }
        match covered {
            Some((id, epoch)) if id == checkpoint => self.keyed_state.release(epoch),
            _ => Ok(()),
        }
    }
}

/// State that no operator registers would be lost with the next checkpoint: better to stop here.
fn refuse_unclaimed(unclaimed: &[&str]) -> Result<()> {
    if unclaimed.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Configuration,
        format!(
            "the checkpoint holds state that this operator no longer registers: {}; bring the former operator back, or \
             start with --fresh",
            unclaimed.join(", ")
        ),
    ))
}

impl Chain {
    /// A chain of slots, in the order in which a record passes them.
    pub(super) fn new(slots: Vec<Slot>) -> Self {
        Self {
            slots,
            running: 0,
            finishing: 0,
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
    pub(super) fn open(&mut self, subtask: usize, setting: &Setting) -> Result<()> {
        for index in (0..self.slots.len()).rev() {
            self.running = index;
            self.slots[index].open(subtask, setting)?;
        }
        Ok(())
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
        let rows = self.pass_on(0, outputs)?;
        Ok((status, rows))
    }

    /// Takes in what came over a link.
    ///
    /// # Errors
    /// When an operator fails that it reaches.
    pub(super) fn take(&mut self, emission: Emission, outputs: &mut Outputs) -> Result<()> {
        self.push(0, emission, outputs)
    }

    /// Brings the chain to its end, a portion a call: event time ends, then each operator finishes, in order. Gives
    /// whether all is done; call it again when the outputs have room.
    ///
    /// # Errors
    /// When an operator fails.
    pub(super) fn finish(&mut self, outputs: &mut Outputs) -> Result<bool> {
        if !self.watermark_ended {
            self.watermark_ended = true;
            let first = usize::from(matches!(self.slots[0].component, Instance::Source(_)));
            self.push(first, Emission::Watermark(EventTime::MAX), outputs)?;
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
            self.pass_on(index, outputs)?;
            if status == FinishStatus::Done {
                self.finishing += 1;
            } else {
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

    fn push(&mut self, index: usize, emission: Emission, outputs: &mut Outputs) -> Result<()> {
        if index == self.slots.len() {
            return outputs.emit(emission);
        }
        self.running = index;
        self.slots[index].take(emission, &mut self.records_out)?;
        self.pass_on(index, outputs)?;
        Ok(())
    }

    /// Hands what slot `index` emitted to the one behind it. Gives how many records that were.
    fn pass_on(&mut self, index: usize, outputs: &mut Outputs) -> Result<u64> {
        if self.slots[index].output.is_empty() {
            return Ok(0);
        }
        let mut rows = 0;
        let mut output = std::mem::take(&mut self.slots[index].output);
        for emission in output.take() {
            if let Emission::Batch(batch) = &emission {
                rows += batch.len() as u64;
            }
            self.push(index + 1, emission, outputs)?;
        }
        // Given back for its capacity.
        self.slots[index].output = output;
        Ok(rows)
    }
}
