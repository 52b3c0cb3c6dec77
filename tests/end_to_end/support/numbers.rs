//! A source of numbers that can be held back, and that can fail.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use floodmark::connectors::MemorySource;
use floodmark::error::Result;
use floodmark::model::{CheckpointId, EventTime};
use floodmark::operator::{
    BackgroundWork, Emission, OperatorContext, OperatorSnapshot, Output, Source, SourceStatus,
};

use super::fault::{Fault, Gate, Place};

/// In how many splits the numbers come.
pub(crate) const SPLITS: u32 = 4;

/// How many numbers a subtask that is held back gives out at full speed.
const HELD_AFTER: u64 = 500;

/// How soon a subtask that is held back gives out its next number, so that there is always something new to save.
const TRICKLE: Duration = Duration::from_millis(1);

/// What a source is held back for. A source that is resumed is not.
#[derive(Clone)]
pub(crate) enum Hold {
    /// Nothing.
    No,
    /// So many complete checkpoints, each begun when this gate was open.
    Checkpoints(usize, Gate),
    /// This gate to open.
    Gate(Gate),
}

/// What a source sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Resumed,
    Snapshot,
    Commit,
}

/// Everything about a source of numbers that its subtasks share.
#[derive(Clone)]
pub(crate) struct NumbersPlan {
    pub(crate) numbers: Arc<[u64]>,
    /// The event time of a number; it does not fall.
    pub(crate) event_time: fn(&u64) -> EventTime,
    pub(crate) hold: Hold,
    pub(crate) fault: Fault,
    /// Opened when a subtask has given out all it has.
    pub(crate) ended: Gate,
    pub(crate) sights: SyncSender<Sight>,
    /// Held by every instance, and by what makes them.
    pub(crate) _alive: Arc<()>,
}

/// The source.
pub(crate) struct Numbers {
    plan: NumbersPlan,
    numbers: MemorySource,
    given: u64,
    resumed: bool,
    /// The checkpoints that count for the hold and are not complete yet.
    counted: Vec<CheckpointId>,
    complete: usize,
    /// Whether the last poll gave out the one number that a held source gives out at a time.
    has_trickled: bool,
}

impl Numbers {
    pub(crate) fn new(plan: &NumbersPlan) -> Result<Self> {
        plan.fault.strike(Place::SourceMake)?;
        Ok(Self {
            numbers: MemorySource::of_timed_rows(
                Arc::clone(&plan.numbers),
                SPLITS,
                plan.event_time,
            )?,
            plan: plan.clone(),
            given: 0,
            resumed: false,
            counted: Vec::new(),
            complete: 0,
            has_trickled: false,
        })
    }

    fn is_held(&self) -> bool {
        let is_held = match &self.plan.hold {
            Hold::No => false,
            Hold::Checkpoints(awaited, _) => self.complete < *awaited,
            Hold::Gate(gate) => !gate.is_open(),
        };
        is_held && !self.resumed
    }

    fn see(&self, sight: Sight) {
        // A test that has ended looks no more.
        let _ = self.plan.sights.send(sight);
    }
}

impl Source for Numbers {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.plan.fault.strike(Place::SourceOpen)?;
        self.resumed = context.restored.is_some();
        if self.resumed {
            self.see(Sight::Resumed);
        }
        self.numbers.open(context)
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        let mut rows_max = rows_max as u64;
        if !self.is_held() {
            self.plan.fault.release();
            self.plan.fault.strike(Place::SourcePoll)?;
        } else if self.given < HELD_AFTER {
            rows_max = rows_max.min(HELD_AFTER - self.given);
        } else if self.has_trickled {
            self.has_trickled = false;
            return Ok(SourceStatus::Wait(TRICKLE));
        } else {
            self.has_trickled = true;
            rows_max = 1;
        }
        let mut given = Output::default();
        let status = self.numbers.poll(rows_max as usize, &mut given)?;
        for emission in given.take() {
            match emission {
                Emission::Batch(batch) => {
                    self.given += batch.len() as u64;
                    output.emit(batch);
                }
                Emission::Watermark(watermark) => output.emit_watermark(watermark),
            }
        }
        if status == SourceStatus::Finished {
            self.plan.ended.open();
        }
        Ok(status)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.see(Sight::Snapshot);
        if matches!(&self.plan.hold, Hold::Checkpoints(_, gate) if gate.is_open()) {
            self.counted.push(checkpoint);
        }
        self.numbers.snapshot(checkpoint)
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.see(Sight::Commit);
        if self.counted.contains(&checkpoint) {
            self.complete += 1;
        }
        Ok(Vec::new())
    }
}
