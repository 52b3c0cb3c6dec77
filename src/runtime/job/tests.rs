//! Whole jobs whose checkpoints lie on a simulated disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::background_runtime::BackgroundRuntime;
use super::{JobOutcome, JobRun};
use crate::channel::LinkLimits;
use crate::config::{CheckpointMode, OnCancel, RestartSection, RestartStrategyKind};
use crate::connectors::{MemoryOutput, MemorySink};
use crate::coordinator::CheckpointSettings;
use crate::error::Result;
use crate::graph::{JobGraph, StreamBuilder};
use crate::model::{Batch, CheckpointId, SharedClock, SystemClock};
use crate::operator::{
    BackgroundWork, OperatorContext, OperatorSnapshot, Output, Source, SourceStatus,
};
use crate::snapshot::CheckpointStore;
use crate::storage::{ObjectName, SimulatedDisk, StoragePaths};
use crate::telemetry::JobStatus;

mod panics;

/// How many sights can wait for the test, far more than a run has.
const SIGHTS_MAX: usize = 1 << 16;
/// How long a test waits for the next sight. It is never reached unless the job hangs.
const SIGHT_TIMEOUT: Duration = Duration::from_secs(60);

/// What the source sees of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Snapshot,
    Commit,
}

/// A source that goes on counting, slowly, until it is told to end.
struct Counter {
    next: u64,
    has_given: bool,
    is_over: Arc<AtomicBool>,
    sights: SyncSender<Sight>,
}

impl Source for Counter {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    fn poll(&mut self, _rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        if self.is_over.load(Ordering::SeqCst) {
            return Ok(SourceStatus::Finished);
        }
        self.has_given = !self.has_given;
        if !self.has_given {
            return Ok(SourceStatus::Wait(Duration::from_millis(1)));
        }
        output.emit(Batch::from_rows(vec![self.next]));
        self.next += 1;
        Ok(SourceStatus::Ready)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let _ = self.sights.send(Sight::Snapshot);
        Ok(OperatorSnapshot::default())
    }

    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        let _ = self.sights.send(Sight::Commit);
        Ok(Vec::new())
    }
}

/// A job that counts, and sums up what it has counted.
struct Counting {
    is_over: Arc<AtomicBool>,
    sights: Receiver<Sight>,
    status: Arc<JobStatus>,
    output: MemoryOutput<u64>,
    job: JoinHandle<JobOutcome>,
    _folder: tempfile::TempDir,
}

impl Counting {
    fn start(disk: &SimulatedDisk, fresh: bool) -> Self {
        Self::start_with(disk, fresh, SystemClock::shared())
    }

    fn start_with(disk: &SimulatedDisk, fresh: bool, clock: SharedClock) -> Self {
        let (sender, sights) = sync_channel(SIGHTS_MAX);
        let is_over = Arc::new(AtomicBool::new(false));
        let output = MemoryOutput::default();
        let status = JobStatus::shared();
        let folder = tempfile::tempdir().unwrap();
        let run = JobRun {
            boot: None,
            graph: graph(&is_over, &sender, &output),
            store: CheckpointStore::on(disk),
            claim: None,
            retained_max: 1,
            on_cancel: OnCancel::default(),
            fresh,
            start_from: None,
            allow_non_restored_state: false,
            savepoint_directory: None,
            checkpoints: CheckpointSettings {
                interval: Some(Duration::from_millis(5)),
                tolerable_failures: u32::MAX,
                ..CheckpointSettings::default()
            },
            // What fails here is not to be hidden by another attempt.
            restart: RestartSection::of(RestartStrategyKind::None),
            mode: CheckpointMode::ExactlyOnce,
            limits: LinkLimits {
                rows_max: 100,
                elements_max: 10,
            },
            directory: Some(folder.path().to_path_buf()),
            clock,
            status: Arc::clone(&status),
            nonce: 1,
        };
        let (started, _) = sync_channel(1);
        let job = thread::Builder::new().spawn(move || run.run(&started));
        Self {
            is_over,
            sights,
            status,
            output,
            job: job.unwrap(),
            _folder: folder,
        }
    }

    fn next_sight(&self) -> Sight {
        let sight = self.sights.recv_timeout(SIGHT_TIMEOUT);
        sight.expect("the job goes on")
    }

    /// Waits until so many checkpoints are complete.
    fn wait_for_checkpoints(&self, number: usize) {
        for _ in 0..number {
            while self.next_sight() != Sight::Commit {}
        }
    }

    /// Waits until a checkpoint has begun although the one before did not become complete.
    fn wait_for_a_failed_checkpoint(&self) {
        while (self.next_sight(), self.next_sight()) != (Sight::Snapshot, Sight::Snapshot) {}
    }

    /// Lets the job end. All its sums must have been committed.
    fn finish(self) {
        self.is_over.store(true, Ordering::SeqCst);
        let outcome = self.job.join().unwrap();
        assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
        let sums = self.output.rows();
        let expected: Vec<u64> = (0..sums.len() as u64)
            .map(|last| last * (last + 1) / 2)
            .collect();
        assert!(!sums.is_empty());
        assert_eq!(sums, expected);
    }
}

#[test]
fn a_full_disk_fails_checkpoints_and_not_the_job_which_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::default();
    let job = Counting::start(&disk, false);
    job.wait_for_checkpoints(1);
    disk.fill_up();
    job.wait_for_a_failed_checkpoint();
    assert!(job.status.snapshot().checkpoints_failed > 0);
    disk.leave_room(None);
    job.wait_for_checkpoints(2);
    job.finish();
}

/// The first removal does not hold back the next checkpoint, the second one does: a store that cannot keep up is not
/// filled.
#[test]
fn checkpoints_wait_only_when_more_removals_are_under_way_than_checkpoints_may_be() {
    let disk = SimulatedDisk::default();
    let job = Counting::start(&disk, false);
    job.wait_for_checkpoints(1);
    disk.stall_removals(true);
    job.wait_for_checkpoints(2);
    let folders = |disk: &SimulatedDisk| {
        let paths = disk.paths();
        let manifests = paths.iter().filter(|path| path.ends_with("/manifest.json"));
        manifests.count()
    };
    assert_eq!(folders(&disk), 3, "{:?}", disk.paths());
    disk.stall_removals(false);
    job.wait_for_checkpoints(2);
    job.finish();
    assert_eq!(folders(&disk), 1, "{:?}", disk.paths());
}

/// A job that was always started fresh never swept up what a crash had left.
#[test]
fn a_fresh_start_sweeps_up_what_a_crash_left_behind() {
    let disk = SimulatedDisk::default();
    let orphan = ObjectName::from_file_name("1-sums-0-2-0.delta").unwrap();
    let paths = StoragePaths::new("job").unwrap();
    let stored = async { disk.store().put(&paths.object(&orphan), &[]).await };
    BackgroundRuntime::start()
        .unwrap()
        .block_on(stored)
        .unwrap();
    let job = Counting::start(&disk, true);
    job.wait_for_checkpoints(1);
    job.finish();
    let path = format!("job/{orphan}");
    assert!(!disk.paths().contains(&path), "{:?}", disk.paths());
}

fn graph(
    is_over: &Arc<AtomicBool>,
    sights: &SyncSender<Sight>,
    output: &MemoryOutput<u64>,
) -> JobGraph {
    let job = StreamBuilder::new("job").parallelism(1);
    let (is_over, sights) = (Arc::clone(is_over), sights.clone());
    let numbers = job.source::<u64, _>("numbers", move || {
        Ok(Counter {
            next: 0,
            has_given: false,
            is_over: Arc::clone(&is_over),
            sights: sights.clone(),
        })
    });
    let sums = numbers.key_by(|_| 0_u64).reduce(
        "sums",
        |_| 0_u64,
        |number, mut sum| {
            *sum = (sum.to_native() + number).into();
            sum.to_native()
        },
    );
    let output = output.clone();
    sums.sink("out", move || Ok(MemorySink::of_rows(&output)));
    job.build().unwrap()
}
