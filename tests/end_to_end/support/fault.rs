//! What is made to go wrong in a job, and where.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use floodmark::error::{Error, ErrorKind, Result};
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{
    BackgroundWork, FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output, Sink,
};

/// The reason that every fault gives.
pub(crate) const REASON: &str = "it is made to fail";

/// Something that goes wrong, always in the same place; or nothing.
#[derive(Clone, Default)]
pub(crate) struct Fault {
    what: Option<(Place, How)>,
    /// How often it still goes wrong; without a number, always.
    left: Option<Arc<AtomicUsize>>,
    /// Open when the source is held no more. What does not go wrong at the start goes wrong only then, when there is a
    /// complete checkpoint.
    late: Gate,
}

/// Where something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    SourceMake,
    SourceOpen,
    SourcePoll,
    OperatorMake,
    OperatorOpen,
    OperatorProcess,
    OperatorSnapshot,
    OperatorCommit,
    OperatorFinish,
    SinkMake,
    SinkOpen,
    SinkWrite,
    SinkSnapshotWork,
    SinkCommitWork,
}

/// How it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Error,
    Panic,
}

/// Opened once, by one part of a job, for others to see.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<AtomicBool>);

/// Passes rows on, and fails where its fault says.
pub(crate) struct Trap(Fault);

/// Passes numbers on, and emits one of its own when they have ended.
pub(crate) struct Farewell(pub(crate) u64);

/// A sink that fails where its fault says.
pub(crate) struct FaultySink<S> {
    sink: S,
    fault: Fault,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Place {
    /// The operator that is to blame.
    pub(crate) fn operator(self) -> &'static str {
        match self {
            Self::SourceMake | Self::SourceOpen | Self::SourcePoll => "numbers",
            Self::OperatorMake
            | Self::OperatorOpen
            | Self::OperatorProcess
            | Self::OperatorSnapshot
            | Self::OperatorCommit
            | Self::OperatorFinish => "trap",
            Self::SinkMake
            | Self::SinkOpen
            | Self::SinkWrite
            | Self::SinkSnapshotWork
            | Self::SinkCommitWork => "out",
        }
    }

    /// Whether it is passed before any record is.
    pub(crate) fn is_at_the_start(self) -> bool {
        matches!(
            self,
            Self::SourceMake
                | Self::SourceOpen
                | Self::OperatorMake
                | Self::OperatorOpen
                | Self::SinkMake
                | Self::SinkOpen
        )
    }
}

impl Fault {
    pub(crate) fn at(place: Place, how: How) -> Self {
        Self {
            what: Some((place, how)),
            ..Self::default()
        }
    }

    /// The same, but only so often.
    pub(crate) fn so_often(place: Place, how: How, times: usize) -> Self {
        Self {
            left: Some(Arc::new(AtomicUsize::new(times))),
            ..Self::at(place, how)
        }
    }

    fn is_spent(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        let left = self.left.as_ref();
        left.is_some_and(|left| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_err()
        })
    }

    /// The source is held no more.
    pub(crate) fn release(&self) {
        self.late.open();
    }

    /// Goes wrong if this is the place, and the time.
    pub(crate) fn strike(&self, place: Place) -> Result<()> {
        match self.what {
            Some((here, how))
                if here == place && (here.is_at_the_start() || self.late.is_open()) =>
            {
                if self.is_spent() {
                    return Ok(());
                }
                match how {
                    How::Error => Err(Error::new(ErrorKind::Operator, REASON)),
                    How::Panic => panic!("{REASON}"),
                }
            }
            _ => Ok(()),
        }
    }

    fn work(&self, place: Place) -> BackgroundWork {
        let fault = self.clone();
        Box::new(move || fault.strike(place))
    }
}

impl Trap {
    pub(crate) fn new(fault: &Fault) -> Result<Self> {
        fault.strike(Place::OperatorMake)?;
        Ok(Self(fault.clone()))
    }
}

impl Operator for Trap {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        self.0.strike(Place::OperatorOpen)
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        self.0.strike(Place::OperatorProcess)?;
        output.emit(batch);
        Ok(())
    }

    fn finish(&mut self, _output: &mut Output) -> Result<FinishStatus> {
        self.0.strike(Place::OperatorFinish)?;
        Ok(FinishStatus::Done)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.0.strike(Place::OperatorSnapshot)?;
        Ok(OperatorSnapshot::default())
    }

    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.0.strike(Place::OperatorCommit)?;
        Ok(Vec::new())
    }
}

impl Operator for Farewell {
    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        output.emit(batch);
        Ok(())
    }

    fn finish(&mut self, output: &mut Output) -> Result<FinishStatus> {
        output.emit(Batch::from_rows(vec![self.0]));
        Ok(FinishStatus::Done)
    }
}

impl<S: Sink> FaultySink<S> {
    pub(crate) fn new(sink: S, fault: &Fault) -> Result<Self> {
        fault.strike(Place::SinkMake)?;
        Ok(Self {
            sink,
            fault: fault.clone(),
        })
    }
}

impl<S: Sink> Sink for FaultySink<S> {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.fault.strike(Place::SinkOpen)?;
        self.sink.open(context)
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.fault.strike(Place::SinkWrite)?;
        self.sink.write(batch)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let mut snapshot = self.sink.snapshot(checkpoint)?;
        snapshot
            .background
            .push(self.fault.work(Place::SinkSnapshotWork));
        Ok(snapshot)
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        let mut background = self.sink.commit(checkpoint)?;
        background.push(self.fault.work(Place::SinkCommitWork));
        Ok(background)
    }
}
