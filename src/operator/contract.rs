//! The contracts of sources, operators and sinks: what the runtime calls, in which order, and what it promises.
//!
//! All calls to one instance come from one thread, and an instance is made on the thread that it will run on, so none
//! of these traits asks for `Send`. A call must not block for long: it stands in an actor's handler. What has to wait
//! for a disk or a network goes into a [`BackgroundWork`], which runs elsewhere.

use std::collections::{VecDeque, vec_deque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::job_context::JobContext;
use crate::channel::Wake;
use crate::error::Result;
use crate::model::{Batch, CheckpointId, EventTime, OperatorId, SharedClock};
use crate::state::{KeyedStateBackend, OperatorStateBackend};
use crate::telemetry::JobStatus;

/// Work that may block: it runs on another thread, after the call that returned it. What snapshots leave is done in the order
/// of the calls, and so is what commits leave, but the two are done beside one another.
pub type BackgroundWork = Box<dyn FnOnce() -> Result<()> + Send>;

/// What one operator subtask is told when it is opened.
pub struct OperatorContext<'a> {
    /// The job that the operator belongs to.
    pub job: &'a JobContext,
    /// The operator's id in the job.
    pub operator: &'a OperatorId,
    /// Which parallel instance this is, from 0.
    pub subtask: usize,
    /// How many parallel instances there are.
    pub parallelism: usize,
    /// Where the time comes from.
    pub clock: &'a SharedClock,
    /// Where figures of the job go that its progress line shows.
    pub status: &'a Arc<JobStatus>,
    /// Makes this subtask take its next step soon: to be called, from any thread, when something has come that the
    /// operator waits for outside of the job.
    pub wake: &'a Arc<dyn Wake>,
    /// Where an operator leaves what must be done outside before it commits anything: it is begun at once, unless another
    /// process owns the job by then.
    pub recovery: &'a mut Vec<BackgroundWork>,
    /// The items of the checkpoint that the job resumes from, if it resumes from one.
    pub restored: Option<&'a RestoredOperatorState>,
    /// Where keyed state is registered. Everything registered here is in every checkpoint from then on.
    pub keyed_state: &'a mut KeyedStateBackend,
    /// Where list, union list and broadcast state are registered. They are in every checkpoint as they are when
    /// `snapshot` has returned.
    pub operator_state: &'a mut OperatorStateBackend,
}

/// The items that all subtasks of an operator had put into a checkpoint.
///
/// Every subtask is given the items of all of them and takes its own part, so the parallelism may have changed.
#[derive(Clone, Debug, Default)]
pub struct RestoredOperatorState {
    /// Item lists, one for each subtask that the operator had then, in the order of the subtasks.
    pub subtasks: Vec<Vec<Value>>,
}

impl RestoredOperatorState {
    /// All items of all subtasks, in order.
    pub fn items(&self) -> impl Iterator<Item = &Value> {
        self.subtasks.iter().flatten()
    }
}

/// What an operator adds to a checkpoint beside its keyed state.
#[derive(Default)]
pub struct OperatorSnapshot {
    /// What a connector keeps readable in the checkpoint's manifest, such as positions.
    pub items: Vec<Value>,
    /// What must be done before the checkpoint may be acknowledged, for example syncing a file.
    pub background: Vec<BackgroundWork>,
}

/// Where an operator puts its results. They travel on, in order, after the call returns.
#[derive(Default)]
pub struct Output {
    emitted: VecDeque<Emission>,
}

/// One thing that an operator emitted.
#[derive(Debug)]
pub enum Emission {
    /// Records.
    Batch(Batch),
    /// No record earlier than this will follow.
    Watermark(EventTime),
}

impl Output {
    /// Emits records. An empty batch is dropped here.
    pub fn emit(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.emitted.push_back(Emission::Batch(batch));
        }
    }

    /// Emits a watermark. Watermarks that do not advance are dropped further on.
    pub fn emit_watermark(&mut self, watermark: EventTime) {
        self.emitted.push_back(Emission::Watermark(watermark));
    }

    /// Takes out what was emitted, in order.
    pub fn take(&mut self) -> vec_deque::Drain<'_, Emission> {
        self.emitted.drain(..)
    }

    /// Takes out the first of what was emitted.
    pub fn take_first(&mut self) -> Option<Emission> {
        self.emitted.pop_front()
    }

    /// How many records were emitted and not taken out yet.
    pub fn rows(&self) -> usize {
        let rows = |emission: &Emission| match emission {
            Emission::Batch(batch) => batch.len(),
            Emission::Watermark(_) => 0,
        };
        self.emitted.iter().map(rows).sum()
    }

    /// Whether all that was emitted is taken out.
    pub fn is_empty(&self) -> bool {
        self.emitted.is_empty()
    }
}

/// What a source can say after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceStatus {
    /// There may be more at once.
    Ready,
    /// Nothing before this much time has passed, or the source's [`OperatorContext::wake`] is called.
    Wait(Duration),
    /// There will never be more. The source stays open until the job ends, and is snapshotted still.
    Finished,
}

/// Whether [`Operator::on_watermark`] or [`Operator::finish`] has more to emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishStatus {
    /// Call again when what was emitted has found room.
    More,
    /// All is emitted.
    Done,
}

/// Where records come from. Its position is its operator state.
pub trait Source {
    /// Called once, before anything else. Takes up the restored position.
    ///
    /// # Errors
    /// Fails the job.
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()>;

    /// Emits up to about `rows_max` records, and a watermark if there is one.
    ///
    /// # Errors
    /// Fails the job.
    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus>;

    /// The position after the last record emitted.
    ///
    /// # Errors
    /// Fails the job.
    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot>;

    /// The checkpoint is complete: what it covers may be acknowledged outside.
    ///
    /// # Errors
    /// Fails the job.
    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        Ok(Vec::new())
    }
}

/// What turns records into other records.
pub trait Operator {
    /// Called once, before anything else. Registers state, which then holds what was restored.
    ///
    /// # Errors
    /// Fails the job.
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    /// Works off one batch.
    ///
    /// # Errors
    /// Fails the job.
    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()>;

    /// Event time has advanced: emits what became due, in portions, and then the watermark. Unless overridden it only
    /// passes the watermark on; an override must pass it on itself, with its last portion.
    ///
    /// Called with the same watermark until it says [`FinishStatus::Done`]. Between the calls the operator is given no
    /// records, and no checkpoint is taken: what comes behind a watermark finds all of its effect.
    ///
    /// # Errors
    /// Fails the job.
    fn on_watermark(&mut self, watermark: EventTime, output: &mut Output) -> Result<FinishStatus> {
        output.emit_watermark(watermark);
        Ok(FinishStatus::Done)
    }

    /// When [`Operator::on_processing_time`] wants to be called next, in milliseconds since the Unix epoch. Asked often,
    /// so it must be cheap.
    fn next_processing_time(&self) -> Option<i64> {
        None
    }

    /// The time has come that [`Operator::next_processing_time`] gave: does one portion of what is due, at least
    /// something. Called again while something is due, between batches; no more once all input has ended.
    ///
    /// # Errors
    /// Fails the job.
    fn on_processing_time(&mut self, _now_unix_millis: i64, _output: &mut Output) -> Result<()> {
        Ok(())
    }

    /// All input has ended: emits what is left, in portions. Called until it says [`FinishStatus::Done`]; no
    /// checkpoint is taken between the calls.
    ///
    /// # Errors
    /// Fails the job.
    fn finish(&mut self, _output: &mut Output) -> Result<FinishStatus> {
        Ok(FinishStatus::Done)
    }

    /// The barrier has arrived: brings operator state up to date. State that is up to date needs nothing.
    ///
    /// # Errors
    /// Fails the job.
    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }

    /// The checkpoint is complete. Completions may be skipped: this one stands for all before it.
    ///
    /// # Errors
    /// Fails the job.
    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        Ok(Vec::new())
    }
}

/// Where records go. Two-phase commit: what was written before a barrier becomes visible outside only when the
/// checkpoint of that barrier is complete.
pub trait Sink {
    /// Called once, before anything else. Commits what the restored checkpoint holds as pending (idempotently), and
    /// takes back whatever was written after it.
    ///
    /// # Errors
    /// Fails the job.
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()>;

    /// Whether the next batch may come. As long as it may not, its subtask reads no input and polls no source, so that the
    /// whole job is slowed down; barriers of aligned checkpoints wait behind the records. Whoever says no must call
    /// [`OperatorContext::wake`] when there is room again. `awaits_barrier` says that a checkpoint was triggered and its
    /// barrier has yet to come: a sink that only a barrier can make room in must not keep it away.
    fn has_room(&mut self, _awaits_barrier: bool) -> bool {
        true
    }

    /// Whether a checkpoint should be taken before the next one is due, for example because so much waits for one. Asked
    /// often, so it must be cheap; whoever says yes is asked again, and need not say it twice for one checkpoint.
    fn wants_checkpoint(&mut self) -> bool {
        false
    }

    /// Writes one batch. It is also called without room, for what is under way through the chain already.
    ///
    /// # Errors
    /// Fails the job.
    fn write(&mut self, batch: Batch) -> Result<()>;

    /// First phase: all that was written so far is made safe, and can be committed from the snapshot alone. That goes for what
    /// earlier checkpoints cover as well, until its commit is done and not only begun: what commits leave for the background
    /// may come after this snapshot, or never.
    ///
    /// # Errors
    /// Fails the job.
    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot>;

    /// Second phase: makes visible what was written before the barrier of `checkpoint`, or of any earlier one.
    /// Must be idempotent.
    ///
    /// # Errors
    /// Fails the job.
    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>>;

    /// All input has ended; one more snapshot and commit will follow.
    ///
    /// # Errors
    /// Fails the job.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
