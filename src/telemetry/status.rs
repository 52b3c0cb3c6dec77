//! What a job is doing just now: written by the runtime, read by whoever shows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{CheckpointId, EventTime, SubtaskId};

use super::failure_log::{FailureLog, ReportedFailure};
use super::statistics::CheckpointStatistics;
use super::task_meter::TaskMeter;

/// The figures of one job, shared between its workers and its display.
///
/// Counters are relaxed atomics: they are added to once a batch, and read a few times a second by somebody who can
/// live with figures that are not of one instant.
#[derive(Debug, Default)]
pub struct JobStatus {
    phase: AtomicU8,
    records_in: AtomicU64,
    records_out: AtomicU64,
    records_skipped: AtomicU64,
    checkpoints_completed: AtomicU64,
    checkpoints_failed: AtomicU64,
    state_records: AtomicU64,
    state_bytes: AtomicU64,
    /// Set once a checkpoint, so a lock costs nothing, and its parts always belong together.
    last_checkpoint: Mutex<Option<LastCheckpoint>>,
    /// One cell for each subtask that reports a watermark.
    watermarks: Mutex<Vec<Arc<AtomicI64>>>,
    /// What became of checkpoints. It is written to a handful of times for each, so a lock costs nothing.
    checkpoints: Mutex<CheckpointStatistics>,
    /// What has failed.
    failures: Mutex<FailureLog>,
    /// The meter of each subtask.
    tasks: Mutex<BTreeMap<SubtaskId, Arc<TaskMeter>>>,
}

/// What a job is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobPhase {
    /// Its parts are being made.
    #[default]
    Starting,
    /// It loads the state of a checkpoint.
    Restoring,
    /// It processes records.
    Running,
    /// It takes its last checkpoint, because its sources have ended or because it was asked to stop.
    Stopping,
    /// It has ended.
    Ended,
}

/// The checkpoint that was completed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCheckpoint {
    /// Its id.
    pub id: CheckpointId,
    /// From its trigger to its durable manifest.
    pub duration: Duration,
    /// Bytes that it wrote to the store.
    pub bytes: u64,
}

/// All figures of a job at about one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusSnapshot {
    /// What the job is about.
    pub phase: JobPhase,
    /// Rows that the sources have given out.
    pub records_in: u64,
    /// Rows that the sinks have taken.
    pub records_out: u64,
    /// Rows that the sources could not read and passed over or put aside.
    pub records_skipped: u64,
    /// Checkpoints completed since the start.
    pub checkpoints_completed: u64,
    /// Checkpoints given up since the start.
    pub checkpoints_failed: u64,
    /// Records in keyed state, over all subtasks.
    pub state_records: u64,
    /// Bytes of working segments, over all subtasks.
    pub state_bytes: u64,
    /// The checkpoint that was completed last.
    pub last_checkpoint: Option<LastCheckpoint>,
    /// The least of all reported watermarks; nothing until every subtask that reports has reported one.
    pub watermark: Option<EventTime>,
}

/// Where one subtask reports its watermark.
#[derive(Debug)]
pub struct WatermarkGauge(Arc<AtomicI64>);

impl JobStatus {
    /// All figures zero, ready to be shared.
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// The same, with a record of the last `history_max` checkpoints.
    pub fn with_history(history_max: usize) -> Arc<Self> {
        Arc::new(Self {
            checkpoints: Mutex::new(CheckpointStatistics::new(history_max)),
            ..Self::default()
        })
    }

    /// What became of checkpoints, to be read or to be told an event. Nobody else gets at it meanwhile: look and let go.
    pub fn checkpoints(&self) -> MutexGuard<'_, CheckpointStatistics> {
        lock(&self.checkpoints)
    }

    /// Says what the job is about from now on.
    pub fn set_phase(&self, phase: JobPhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Adds rows that a source has given out.
    pub fn add_records_in(&self, rows: u64) {
        self.records_in.fetch_add(rows, Ordering::Relaxed);
    }

    /// Adds rows that a sink has taken.
    pub fn add_records_out(&self, rows: u64) {
        self.records_out.fetch_add(rows, Ordering::Relaxed);
    }

    /// Adds rows that a source could not read.
    pub fn add_records_skipped(&self, rows: u64) {
        self.records_skipped.fetch_add(rows, Ordering::Relaxed);
    }

    /// Sets the size of keyed state, over all subtasks: records, and bytes of working segments.
    pub fn set_state_size(&self, records: u64, bytes: u64) {
        self.state_records.store(records, Ordering::Relaxed);
        self.state_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes that a checkpoint was completed.
    pub fn checkpoint_completed(&self, checkpoint: LastCheckpoint) {
        self.checkpoints_completed.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_checkpoint) = Some(checkpoint);
    }

    /// Notes that a checkpoint was given up.
    pub fn checkpoint_failed(&self) {
        self.checkpoints_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A place for one more subtask to report its watermark. Take one for each subtask at the end of the graph,
    /// before the job runs.
    pub fn add_watermark(&self) -> WatermarkGauge {
        let cell = Arc::new(AtomicI64::new(EventTime::MIN.0));
        lock(&self.watermarks).push(Arc::clone(&cell));
        WatermarkGauge(cell)
    }

    /// Notes what the job has failed with.
    pub fn add_failure(&self, failure: ReportedFailure) {
        lock(&self.failures).add(failure);
    }

    /// What has failed in the job, the oldest first; the last few failures.
    pub fn failures(&self) -> Vec<ReportedFailure> {
        lock(&self.failures).to_vec()
    }

    /// A meter for a subtask that is about to be made; `now` is the time of the job's clock. The meter of one that was
    /// made before, by an attempt that failed, counts no more.
    pub fn add_task(&self, subtask: SubtaskId, now: Duration) -> Arc<TaskMeter> {
        let meter = Arc::new(TaskMeter::new(now));
        lock(&self.tasks).insert(subtask, Arc::clone(&meter));
        meter
    }

    /// The meters of all subtasks, in their order.
    pub fn tasks(&self) -> Vec<(SubtaskId, Arc<TaskMeter>)> {
        let tasks = lock(&self.tasks);
        let tasks = tasks.iter();
        tasks
            .map(|(subtask, meter)| (subtask.clone(), Arc::clone(meter)))
            .collect()
    }

    /// All figures at about this instant.
    pub fn snapshot(&self) -> StatusSnapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let watermark = lock(&self.watermarks)
            .iter()
            .map(|cell| EventTime(cell.load(Ordering::Relaxed)))
            .min()
            .filter(|watermark| *watermark != EventTime::MIN);
        StatusSnapshot {
            phase: JobPhase::from_number(self.phase.load(Ordering::Relaxed)),
            records_in: load(&self.records_in),
            records_out: load(&self.records_out),
            records_skipped: load(&self.records_skipped),
            checkpoints_completed: load(&self.checkpoints_completed),
            checkpoints_failed: load(&self.checkpoints_failed),
            state_records: load(&self.state_records),
            state_bytes: load(&self.state_bytes),
            last_checkpoint: *lock(&self.last_checkpoint),
            watermark,
        }
    }
}

impl WatermarkGauge {
    /// Reports the subtask's watermark.
    pub fn set(&self, watermark: EventTime) {
        self.0.store(watermark.0, Ordering::Relaxed);
    }
}

impl JobPhase {
    const ALL: [Self; 5] = [
        Self::Starting,
        Self::Restoring,
        Self::Running,
        Self::Stopping,
        Self::Ended,
    ];

    /// The phase as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Restoring => "restoring",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
        }
    }

    fn from_number(number: u8) -> Self {
        let known = Self::ALL.into_iter().find(|phase| *phase as u8 == number);
        known.unwrap_or_default()
    }
}

/// What is behind these locks is replaced as a whole, so a thread that panicked has left nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_watermark_is_the_least_of_its_subtasks() {
        let status = JobStatus::shared();
        assert_eq!(status.snapshot().watermark, None);
        let (first, second) = (status.add_watermark(), status.add_watermark());
        first.set(EventTime(7));
        assert_eq!(status.snapshot().watermark, None);
        second.set(EventTime(5));
        assert_eq!(status.snapshot().watermark, Some(EventTime(5)));
        second.set(EventTime::MAX);
        assert_eq!(status.snapshot().watermark, Some(EventTime(7)));
    }

    #[test]
    fn what_is_written_is_read() {
        let status = JobStatus::shared();
        status.add_records_in(5);
        status.add_records_in(6);
        status.add_records_out(7);
        status.add_records_skipped(1);
        status.set_state_size(100, 2000);
        status.checkpoint_failed();
        let checkpoint = LastCheckpoint {
            id: CheckpointId(3),
            duration: Duration::from_millis(12),
            bytes: 99,
        };
        status.checkpoint_completed(checkpoint);
        let expected = StatusSnapshot {
            phase: JobPhase::Starting,
            records_in: 11,
            records_out: 7,
            records_skipped: 1,
            checkpoints_completed: 1,
            checkpoints_failed: 1,
            state_records: 100,
            state_bytes: 2000,
            last_checkpoint: Some(checkpoint),
            watermark: None,
        };
        assert_eq!(status.snapshot(), expected);
        for phase in JobPhase::ALL {
            status.set_phase(phase);
            assert_eq!(status.snapshot().phase, phase);
        }
    }
}
