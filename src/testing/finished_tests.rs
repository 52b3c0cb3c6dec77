//! Sources that finish while others run: they leave the checkpoints, and are not run again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{FaultPoint, JobHarness, RowsIn, collect};
use crate::connectors::MemoryOutput;
use crate::engine::JobOutcome;
use crate::error::Result;
use crate::graph::{JobGraph, StreamBuilder};
use crate::model::{Batch, CheckpointId};
use crate::operator::{OperatorContext, OperatorSnapshot, Output, Source, SourceStatus};

/// Gives the numbers below 3, once for all its subtasks, and ends.
struct Short {
    opened: Arc<AtomicUsize>,
    next: u64,
}

impl Source for Short {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let restored = context.restored.map(|restored| &restored.subtasks);
        let given = restored.into_iter().flatten().flatten();
        let given = given.filter_map(serde_json::Value::as_u64).max();
        self.next = match context.subtask {
            0 => given.unwrap_or(0),
            _ => 3,
        };
        Ok(())
    }

    fn poll(&mut self, _rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        if self.next == 3 {
            return Ok(SourceStatus::Finished);
        }
        output.emit(Batch::from_rows(vec![self.next]));
        self.next += 1;
        Ok(SourceStatus::Ready)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot {
            items: vec![json!(self.next)],
            ..OperatorSnapshot::default()
        })
    }
}

/// A short source with an output of its own, and a long one.
struct Job {
    graph: JobGraph,
    /// How often a subtask of the short source was opened.
    opened: Arc<AtomicUsize>,
    short: MemoryOutput<u64>,
    input: RowsIn<u64>,
    long: MemoryOutput<u64>,
}

impl Job {
    fn new() -> Self {
        let (job, input) = (StreamBuilder::new("job"), RowsIn::new());
        let opened = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&opened);
        let short = job.source::<u64, _>("short", move || {
            let opened = Arc::clone(&counted);
            Ok(Short { opened, next: 0 })
        });
        let short = collect(&short, "short-out");
        let long = collect(&input.add_to(&job, "long"), "long-out");
        Self {
            graph: job.build().unwrap(),
            opened,
            short,
            input,
            long,
        }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    fn check_to_the_end(&self, harness: &mut JobHarness) {
        self.input.push([8]);
        self.input.finish();
        let outcome = harness.run_to_end().unwrap();
        assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
        assert_eq!(self.short.rows(), [0, 1, 2]);
        assert_eq!(self.long.rows(), [7, 8]);
    }
}

#[test]
fn a_chain_that_has_committed_its_end_is_not_opened_again() {
    for (seed, parallelism) in (0..30).flat_map(|seed| [(seed, 1), (seed, 3)]) {
        let job = Job::new();
        let mut harness = JobHarness::new(job.graph.clone()).unwrap().with_seed(seed);
        harness.start().unwrap();
        job.input.push([7]);
        // The first one that it takes part in after its end, and one without it.
        harness.checkpoint().unwrap().unwrap();
        harness.checkpoint().unwrap().unwrap();
        assert_eq!(job.opened(), 1);
        harness.crash();
        harness.restore_at(parallelism).unwrap();
        harness.checkpoint().unwrap().unwrap();
        harness.crash();
        harness.start().unwrap();
        assert_eq!(job.opened(), 1, "seed {seed}");
        job.check_to_the_end(&mut harness);
        assert_eq!(job.opened(), 1, "seed {seed}");
    }
}

#[test]
fn a_chain_whose_end_is_not_committed_is_opened_to_do_that() {
    for seed in 0..30 {
        let job = Job::new();
        let mut harness = JobHarness::new(job.graph.clone()).unwrap().with_seed(seed);
        harness.start().unwrap();
        job.input.push([7]);
        harness.crash_at(FaultPoint::Commit);
        let completed = harness.checkpoint().unwrap();
        assert_eq!(completed, Some(CheckpointId(1)), "seed {seed}");
        assert!(!harness.is_running(), "seed {seed}");
        harness.start().unwrap();
        assert_eq!(job.opened(), 2, "seed {seed}");
        assert_eq!(job.short.rows(), [0, 1, 2], "seed {seed}");
        job.check_to_the_end(&mut harness);
    }
}

#[test]
fn a_job_of_which_all_had_finished_ends_again_at_once() {
    let job = Job::new();
    let mut harness = JobHarness::new(job.graph.clone()).unwrap();
    harness.start().unwrap();
    job.input.push([7]);
    job.check_to_the_end(&mut harness);
    harness.start().unwrap();
    let outcome = harness.run_to_end().unwrap();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert_eq!((job.short.rows().len(), job.long.rows().len()), (3, 2));
}
