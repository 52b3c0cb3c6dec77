//! What keyed state costs over a bare table: one thread, keys and values of 8 bytes, a running sum, uniform keys, batches
//! of 1024 rows.
//!
//! `cargo bench --bench state_table [-- KEYS...]`; the numbers of keys are 1 and 10 million unless given. The working
//! segments lie on `/dev/shm` if there is one, and else in the temporary folder.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use floodmark::error::{Error, Result};
use floodmark::model::{Clock, KeyGroupRange, MAX_PARALLELISM_DEFAULT, SystemClock, hash_key};
use floodmark::state::{KeyedStateBackend, StateSettings, ValueState};

const BATCH_ROWS: usize = 1024;
const RUN: Duration = Duration::from_secs(2);
const RUNS: usize = 3;
const SLICE_BYTES: usize = 32 << 10;
const GATHER_BYTES: usize = 64 << 10;

type Row = (u64, i64, i64);

fn main() -> Result<()> {
    let mut counts: Vec<u64> = std::env::args()
        .filter_map(|text| text.parse().ok())
        .collect();
    if counts.is_empty() {
        counts = vec![1_000_000, 10_000_000];
    }
    println!(
        "{:>9} {:<12} {:>9} {:>8} {:>12} {:>12} {:>12} {:>10}",
        "keys",
        "mode",
        "M rows/s",
        "of bare",
        "max batch",
        "barrier p50",
        "barrier p99",
        "delta MB/s"
    );
    for keys in counts {
        let bare = median(|| run_bare(keys))?;
        print_row(keys, "bare", &bare, &bare);
        for (mode, interval) in [
            ("no barrier", None),
            ("every 1 s", Some(Duration::from_secs(1))),
            ("every 100 ms", Some(Duration::from_millis(100))),
        ] {
            let figures = median(|| run_state(keys, interval))?;
            print_row(keys, mode, &figures, &bare);
        }
    }
    Ok(())
}

/// What one run gave.
struct Figures {
    rows_per_second: f64,
    batch_max: Duration,
    barriers: Vec<Duration>,
    delta_bytes_per_second: f64,
}

fn median(mut run: impl FnMut() -> Result<Figures>) -> Result<Figures> {
    let mut runs = (0..RUNS).map(|_| run()).collect::<Result<Vec<_>>>()?;
    runs.sort_by(|a, b| a.rows_per_second.total_cmp(&b.rows_per_second));
    Ok(runs.swap_remove(RUNS / 2))
}

fn print_row(keys: u64, mode: &str, figures: &Figures, bare: &Figures) {
    let quantile = |share: f64| {
        let last = figures.barriers.len().saturating_sub(1) as f64;
        let barrier = figures.barriers.get((last * share) as usize);
        barrier.map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}"))
    };
    println!(
        "{keys:>9} {mode:<12} {:>9.1} {:>7.0}% {:>12} {:>12} {:>12} {:>10.0}",
        figures.rows_per_second / 1e6,
        100.0 * figures.rows_per_second / bare.rows_per_second,
        format!("{:.1?}", figures.batch_max),
        quantile(0.5),
        quantile(0.99),
        figures.delta_bytes_per_second / 1e6,
    );
}

/// Rows with uniform keys, always the same ones.
struct Generator {
    state: u64,
    keys: u64,
    rows: Vec<Row>,
}

impl Generator {
    fn new(keys: u64) -> Self {
        Self {
            state: 0,
            keys,
            rows: Vec::with_capacity(BATCH_ROWS),
        }
    }

    fn batch(&mut self) -> &[Row] {
        self.rows.clear();
        for _ in 0..BATCH_ROWS {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.state ^ (self.state >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = mixed ^ (mixed >> 29);
            let key = (u128::from(mixed) * u128::from(self.keys)) >> 64;
            self.rows.push((key as u64, 1, 0));
        }
        &self.rows
    }
}

/// Calls `work` with batches for the time of a run; gives rows a second and the longest batch.
fn drive(
    keys: u64,
    mut work: impl FnMut(&[Row], Duration) -> Result<()>,
) -> Result<(f64, Duration)> {
    let clock = SystemClock::default();
    let mut generator = Generator::new(keys);
    let mut rows = 0;
    let mut longest = Duration::ZERO;
    let start = clock.elapsed();
    let mut now = start;
    while now - start < RUN {
        work(generator.batch(), now)?;
        rows += BATCH_ROWS;
        let end = clock.elapsed();
        longest = longest.max(end - now);
        now = end;
    }
    Ok((rows as f64 / (now - start).as_secs_f64(), longest))
}

fn run_state(keys: u64, interval: Option<Duration>) -> Result<Figures> {
    let folder = tempfile::tempdir_in(scratch())
        .map_err(|error| Error::io("make a folder for the segments", error))?;
    let mut backend = backend(folder.path(), interval.is_some());
    let sums: ValueState<u64, i64> = backend.value_state("sum")?;
    for start in (0..keys).step_by(BATCH_ROWS) {
        let batch: Vec<u64> = (start..keys.min(start + BATCH_ROWS as u64)).collect();
        sums.update_batch(&batch, |_| 0, |_, _| ())?;
    }
    let clock = SystemClock::default();
    let mut barriers = Vec::new();
    let mut last = Duration::ZERO;
    let mut delta_bytes = 0;
    let mut late = 0;
    let (rows_per_second, batch_max) = drive(keys, |rows, now| {
        if interval.is_some_and(|interval| now - last >= interval) {
            last = now;
            if let Some(sealed) = backend.gather(usize::MAX)? {
                late += 1;
                delta_bytes += sealed.iter().map(|state| state.delta.len()).sum::<u64>();
            }
            let start = clock.elapsed();
            backend.end_epoch()?;
            barriers.push(clock.elapsed() - start);
        }
        sums.update_batch(
            rows.iter().map(|row| &row.0),
            |_| 0,
            |index, sum| *sum.unseal() += rows[index].1,
        )?;
        if let Some(sealed) = backend.gather(GATHER_BYTES)? {
            delta_bytes += sealed.iter().map(|state| state.delta.len()).sum::<u64>();
        }
        backend.copy_base_slice(SLICE_BYTES)?;
        Ok(())
    })?;
    barriers.sort_unstable();
    Ok(Figures {
        rows_per_second,
        batch_max,
        barriers,
        delta_bytes_per_second: delta_bytes as f64 / RUN.as_secs_f64(),
    })
}

fn backend(directory: &Path, incremental: bool) -> KeyedStateBackend {
    let settings = StateSettings {
        directory: directory.to_path_buf(),
        max_parallelism: MAX_PARALLELISM_DEFAULT,
        key_groups: KeyGroupRange::of_subtask(0, 1, MAX_PARALLELISM_DEFAULT),
        incremental,
        local_recovery: None,
    };
    KeyedStateBackend::new(settings, Vec::new())
}

fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

fn run_bare(keys: u64) -> Result<Figures> {
    let mut table = BareTable::new(keys);
    for key in 0..keys {
        *table.value(key, hash_key(&key.to_le_bytes())) = 0;
    }
    let (rows_per_second, batch_max) = drive(keys, |rows, _| {
        let mut hashes = [0; 32];
        for rows in rows.chunks(hashes.len()) {
            for (row, hash) in rows.iter().zip(&mut hashes) {
                *hash = hash_key(&row.0.to_le_bytes());
                table.prefetch(*hash);
            }
            for (row, hash) in rows.iter().zip(hashes) {
                *table.value(row.0, hash) += row.1;
            }
        }
        Ok(())
    })?;
    Ok(Figures {
        rows_per_second,
        batch_max,
        barriers: Vec::new(),
        delta_bytes_per_second: 0.0,
    })
}

/// What one would write by hand for just this: cache-line buckets, half full, never growing, nothing saved.
struct BareTable {
    buckets: Vec<BareBucket>,
    mask: usize,
}

#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct BareBucket {
    keys: [u64; 3],
    values: [i64; 3],
    occupied: u8,
}

impl BareTable {
    fn new(keys: u64) -> Self {
        let buckets = (keys as usize * 2 / 3).next_power_of_two();
        Self {
            buckets: vec![BareBucket::default(); buckets],
            mask: buckets - 1,
        }
    }

    fn prefetch(&self, hash: u64) {
        let bucket: *const BareBucket = &raw const self.buckets[hash as usize & self.mask];
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "a prefetch has no safe form")]
        // SAFETY: a prefetch reads nothing that the program could see, and never faults.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(bucket.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = bucket;
    }

    fn value(&mut self, key: u64, hash: u64) -> &mut i64 {
        let mut number = hash as usize & self.mask;
        loop {
            let bucket = &self.buckets[number];
            let mut matches = 0;
            for slot in 0..3 {
                matches |= u32::from(bucket.keys[slot] == key) << slot;
            }
            matches &= u32::from(bucket.occupied);
            let slot = if matches != 0 {
                matches.trailing_zeros()
            } else {
                bucket.occupied.trailing_ones()
            } as usize;
            if slot < 3 {
                let bucket = &mut self.buckets[number];
                bucket.keys[slot] = key;
                bucket.occupied |= 1 << slot;
                return &mut bucket.values[slot];
            }
            number = (number + 1) & self.mask;
        }
    }
}
