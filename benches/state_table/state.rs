//! The same sum through the state API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use floodmark::error::{Error, Result};
use floodmark::model::{Clock, KeyGroupRange, MAX_PARALLELISM_DEFAULT, SystemClock};
use floodmark::state::{KeyedStateBackend, LocalRecovery, StateSettings, ValueState};

use crate::disk::Disk;
use crate::drive::{BATCH_ROWS, Figures, SlowBatch, drive};
use crate::waits::ProcessorWaits;

const SLICE_BYTES: usize = 32 << 10;
const GATHER_BYTES: usize = 64 << 10;
const GATHER_BYTES_AT_BARRIER: usize = 8 << 10;

/// So many of the slowest batches are shown when a state has grown.
const SLOWEST: usize = 5;

/// How the state is kept.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    /// Nothing: no checkpoint is taken, and nothing noted for one.
    pub(crate) interval: Option<Duration>,
    pub(crate) local_recovery: bool,
}

/// The running sum in a value state. Segments lie in `segments`, or where they do by default; checkpoints in `store`.
pub(crate) fn run(keys: u64, mode: Mode, segments: Option<&Path>, store: &Path) -> Result<Figures> {
    let (mut backend, sums, _folder) = open(mode, segments)?;
    fill(&mut backend, &sums, keys)?;
    let folder = temporary(store)?;
    let mut disk = Disk::start(folder.path().to_path_buf());
    let clock = SystemClock::default();
    let (mut barriers, mut late, mut epoch) = (Vec::new(), 0, None);
    let mut due = mode.interval;
    let mut figures = drive(keys, |rows, now| {
        if let (Some(at), Some(interval)) = (due, mode.interval)
            && now >= at
        {
            due = Some(at + interval);
            let gathered = backend.gather(usize::MAX)?;
            late += usize::from(gathered.is_some() || !disk.is_done());
            if let Some(sealed) = gathered {
                disk.send(sealed);
            }
            if let Some(epoch) = epoch.take() {
                // The checkpoint before is complete by now.
                backend.release(epoch)?;
            }
            let start = clock.elapsed();
            backend.end_epoch()?;
            let gathered = backend.gather(GATHER_BYTES_AT_BARRIER)?;
            barriers.push(clock.elapsed() - start);
            epoch = backend.local_barrier().map(|barrier| barrier.epoch);
            if let Some(sealed) = gathered {
                disk.send(sealed);
            }
        }
        sums.update_batch(
            rows.iter().map(|row| &row.0),
            |_| 0,
            |index, sum| *sum.unseal() += rows[index].1,
        )?;
        if let Some(sealed) = backend.gather(GATHER_BYTES)? {
            disk.send(sealed);
        }
        backend.copy_base_slice(SLICE_BYTES)?;
        Ok(())
    })?;
    barriers.sort_unstable();
    figures.barriers = barriers;
    figures.late = late;
    figures.bytes_written = disk.finish()?;
    let table_bytes: u64 = backend
        .statistics()
        .iter()
        .map(|state| state.table_bytes)
        .sum();
    figures.bytes_per_key = table_bytes as f64 / keys as f64;
    Ok(figures)
}

/// From empty to `keys` keys, with a barrier every 100 ms: the longest batch tells whether growing ever makes one wait.
pub(crate) fn grow(keys: u64, segments: Option<&Path>, store: &Path) -> Result<Figures> {
    let mode = Mode {
        interval: Some(Duration::from_millis(100)),
        local_recovery: false,
    };
    let (mut backend, sums, _folder) = open(mode, segments)?;
    let folder = temporary(store)?;
    let mut disk = Disk::start(folder.path().to_path_buf());
    let clock = SystemClock::default();
    let mut figures = Figures::default();
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    let mut slowest = Vec::with_capacity(2 * SLOWEST + 1);
    let waits = ProcessorWaits::of_this_thread();
    let mut waited = waits.total();
    let start = clock.elapsed();
    let (mut now, mut barrier, mut next) = (start, start, 0_u64);
    let mut is_gathering = false;
    let mut batches = Vec::with_capacity((keys / BATCH_ROWS as u64) as usize + 1);
    while next < keys {
        batch.clear();
        batch.extend(next..keys.min(next + BATCH_ROWS as u64));
        next += BATCH_ROWS as u64;
        let begun = clock.elapsed();
        if now - barrier > Duration::from_millis(100) {
            barrier = now;
            // The barrier before is to be gathered first.
            if is_gathering {
                figures.late += 1;
            } else {
                backend.end_epoch()?;
                is_gathering = true;
            }
        }
        let ended = clock.elapsed();
        sums.update_batch(&batch, |_| 1, |_, _| ())?;
        let updated = clock.elapsed();
        if let Some(sealed) = backend.gather(GATHER_BYTES)? {
            disk.send(sealed);
            is_gathering = false;
        }
        let gathered = clock.elapsed();
        backend.copy_base_slice(SLICE_BYTES)?;
        now = clock.elapsed();
        let waited_before = std::mem::replace(&mut waited, waits.total());
        let waited = waited - waited_before;
        let own = (now - begun).saturating_sub(waited);
        figures.own_max = figures.own_max.max(own);
        batches.push(now - begun);
        slowest.push(SlowBatch {
            whole: now - begun,
            waited,
            barrier: ended - begun,
            update: updated - ended,
            gather: gathered - updated,
            base: now - gathered,
            keys: next,
        });
        if slowest.len() > 2 * SLOWEST {
            keep_slowest(&mut slowest);
        }
    }
    keep_slowest(&mut slowest);
    figures.slowest = slowest;
    batches.sort_unstable();
    figures.rows_per_second = keys as f64 / (now - start).as_secs_f64();
    figures.batch_max = batches.last().copied().unwrap_or_default();
    figures.barriers = batches;
    figures.bytes_written = disk.finish()?;
    let table_bytes: u64 = backend
        .statistics()
        .iter()
        .map(|state| state.table_bytes)
        .sum();
    figures.bytes_per_key = table_bytes as f64 / keys as f64;
    Ok(figures)
}

fn keep_slowest(batches: &mut Vec<SlowBatch>) {
    batches.sort_by_key(|batch| std::cmp::Reverse(batch.whole));
    batches.truncate(SLOWEST);
}

type Opened = (KeyedStateBackend, ValueState<u64, i64>, tempfile::TempDir);

fn open(mode: Mode, segments: Option<&Path>) -> Result<Opened> {
    let default = default_segments();
    let folder = temporary(segments.unwrap_or(&default))?;
    let in_files = segments.is_some() || mode.local_recovery;
    let settings = StateSettings {
        directory: in_files.then(|| folder.path().to_path_buf()),
        max_parallelism: MAX_PARALLELISM_DEFAULT,
        key_groups: KeyGroupRange::of_subtask(0, 1, MAX_PARALLELISM_DEFAULT),
        incremental: mode.interval.is_some(),
        clock: SystemClock::shared(),
        local_recovery: mode.local_recovery.then_some(LocalRecovery {
            lineage: 1,
            boot: 1,
            take_back: None,
        }),
    };
    let mut backend = KeyedStateBackend::new(settings, Vec::new());
    let sums = backend.value_state("sum")?;
    Ok((backend, sums, folder))
}

/// All keys once, and a checkpoint of them that nobody keeps.
fn fill(backend: &mut KeyedStateBackend, sums: &ValueState<u64, i64>, keys: u64) -> Result<()> {
    for start in (0..keys).step_by(BATCH_ROWS) {
        let batch: Vec<u64> = (start..keys.min(start + BATCH_ROWS as u64)).collect();
        sums.update_batch(&batch, |_| 0, |_, _| ())?;
    }
    drop(backend.seal()?);
    if let Some(barrier) = backend.local_barrier() {
        backend.release(barrier.epoch)?;
    }
    Ok(())
}

fn temporary(folder: &Path) -> Result<tempfile::TempDir> {
    tempfile::tempdir_in(folder).map_err(|error| Error::io("make a folder", error))
}

/// Where working segments lie that have files, unless told otherwise.
fn default_segments() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}
