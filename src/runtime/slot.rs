//! One operator of a chain, and what belongs to it alone: its state, its output, its watermark.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::channel::Wake;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, EventTime, OperatorId};
use crate::operator::{
    BackgroundWork, Emission, FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output,
    RestoredOperatorState, Sink, Source,
};
use crate::state::{
    Epoch, KeyedStateBackend, LocalBarrier, OperatorStateBackend, SealedOperatorState, SealedState,
};

use super::setting::Setting;

/// How many bytes of a base are copied after each batch: about one sub-table, so that no batch waits long for it.
const BASE_SLICE_BYTES: usize = 32 * 1024;

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
    /// What it emitted. Something stays in it only while the slot behind it has more to do for a watermark.
    pub(super) output: Output,
    /// The last watermark that it was given.
    pub(super) watermark: EventTime,
    /// Whether the operator has more to do for the watermark.
    pub(super) is_advancing: bool,
    /// What belongs to the last barrier, as long as that is being gathered.
    begun: Option<Begun>,
    /// The checkpoints that are not known to be complete, oldest first, and the epochs that their barriers ended.
    barriers: VecDeque<(CheckpointId, Epoch)>,
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

/// What a barrier gives at once.
#[derive(Default)]
struct Begun {
    snapshot: OperatorSnapshot,
    operator_state: Vec<SealedOperatorState>,
    local: Option<LocalBarrier>,
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
            is_advancing: false,
            begun: None,
            barriers: VecDeque::new(),
        }
    }

    /// Opens the operator; it then has all of its state. Gives what must be done outside before it commits anything.
    ///
    /// # Errors
    /// When it cannot be opened, or leaves state of the checkpoint unregistered.
    pub(super) fn open(
        &mut self,
        subtask: usize,
        wake: &Arc<dyn Wake>,
        setting: &Setting,
    ) -> Result<Vec<BackgroundWork>> {
        let mut recovery = Vec::new();
        let restored = self.restored.take();
        let mut context = OperatorContext {
            job: &setting.job,
            recovery: &mut recovery,
            operator: &self.operator,
            subtask,
            parallelism: setting.targets.parallelism,
            clock: &setting.clock,
            status: &setting.status,
            wake,
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
        refuse_unclaimed(&unclaimed)?;
        Ok(recovery)
    }

    /// Gives the operator something to take. What it emits is in `output` then.
    ///
    /// # Errors
    /// When the operator fails.
    pub(super) fn take(&mut self, emission: Emission, records_out: &mut u64) -> Result<()> {
        match (&mut self.component, emission) {
            (Instance::Operator(operator), Emission::Batch(batch)) => {
                operator.process(batch, &mut self.output)?;
                self.maintain_state()?;
            }
            (Instance::Operator(_), Emission::Watermark(watermark)) => {
                if watermark > self.watermark {
                    self.watermark = watermark;
                    self.advance()?;
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

    /// Whether the operator can be given records. Only a sink is ever full: everything else passes on what it takes.
    pub(super) fn has_room(&mut self, awaits_barrier: bool) -> bool {
        match &mut self.component {
            Instance::Sink(sink) => sink.has_room(awaits_barrier),
            Instance::Source(_) | Instance::Operator(_) => true,
        }
    }

    /// Whether the operator wants a checkpoint before the next is due.
    pub(super) fn wants_checkpoint(&mut self) -> bool {
        match &mut self.component {
            Instance::Sink(sink) => sink.wants_checkpoint(),
            Instance::Source(_) | Instance::Operator(_) => false,
        }
    }

    /// One portion of what the operator does for its watermark.
    ///
    /// # Errors
    /// When the operator fails.
    pub(super) fn advance(&mut self) -> Result<()> {
        if let Instance::Operator(operator) = &mut self.component {
            let status = operator.on_watermark(self.watermark, &mut self.output)?;
            self.is_advancing = status == FinishStatus::More;
            self.maintain_state()?;
        }
        Ok(())
    }

    /// When the operator wants to be called by the clock, in milliseconds since the Unix epoch.
    pub(super) fn next_processing_time(&self) -> Option<i64> {
        match &self.component {
            Instance::Operator(operator) => operator.next_processing_time(),
            Instance::Source(_) | Instance::Sink(_) => None,
        }
    }

    /// One portion of what is due by the clock.
    ///
    /// # Errors
    /// When the operator fails.
    pub(super) fn advance_processing_time(&mut self, now_unix_millis: i64) -> Result<()> {
        if let Instance::Operator(operator) = &mut self.component {
            operator.on_processing_time(now_unix_millis, &mut self.output)?;
            self.maintain_state()?;
        }
        Ok(())
    }

    /// What is done for the keyed state after each call of the operator.
    fn maintain_state(&mut self) -> Result<()> {
        self.keyed_state.copy_base_slice(BASE_SLICE_BYTES)?;
        self.keyed_state.sweep_slice()
    }

    /// The barrier: the operator's state is to be as of now, whatever follows.
    ///
    /// # Errors
    /// When the operator fails, or what the last barrier gives is still to be gathered.
    pub(super) fn begin_snapshot(&mut self, checkpoint: CheckpointId) -> Result<()> {
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

    /// Gathers about `bytes_max` of what was begun. Gives all of it, once, when it is complete.
    ///
    /// # Errors
    /// When there is no room.
    pub(super) fn gather(&mut self, bytes_max: usize) -> Result<Option<OperatorPart>> {
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
    ///
    /// # Errors
    /// Those of the state.
    pub(super) fn release(&mut self, checkpoint: CheckpointId) -> Result<()> {
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
