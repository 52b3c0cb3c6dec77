//! What drives a table: batches of rows for a while, and a stopwatch.

use std::time::Duration;

use floodmark::error::Result;
use floodmark::model::{Clock, SystemClock};

pub(crate) const BATCH_ROWS: usize = 1024;
const RUN: Duration = Duration::from_secs(2);

/// Before it counts: the first deltas and bases are written to memory that the kernel has still to find.
const WARM_UP: Duration = Duration::from_secs(3);

/// Key, value, and eight bytes more, as rows tend to have.
pub(crate) type Row = (u64, i64, i64);

/// What one run gave.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) rows_per_second: f64,
    pub(crate) batch_max: Duration,
    /// The longest batch while a state grew, without the time in which the writer waited for a processor.
    pub(crate) own_max: Duration,
    /// How long the writer stood still at each barrier, ascending.
    pub(crate) barriers: Vec<Duration>,
    /// Checkpoints that were not safe on the disk when the next one was due.
    pub(crate) late: usize,
    pub(crate) bytes_written: u64,
    pub(crate) bytes_per_key: f64,
    /// The slowest batches while a state grew, slowest first.
    pub(crate) slowest: Vec<SlowBatch>,
}

/// What a batch's time went into.
pub(crate) struct SlowBatch {
    pub(crate) whole: Duration,
    /// In which the writer had no processor.
    pub(crate) waited: Duration,
    pub(crate) barrier: Duration,
    pub(crate) update: Duration,
    pub(crate) gather: Duration,
    pub(crate) base: Duration,
    /// How many keys there were then.
    pub(crate) keys: u64,
}

/// Rows with uniform keys, always the same ones.
pub(crate) struct Generator {
    state: u64,
    keys: u64,
    rows: Vec<Row>,
}

impl Generator {
    pub(crate) fn new(keys: u64) -> Self {
        Self {
            state: 0,
            keys,
            rows: Vec::with_capacity(BATCH_ROWS),
        }
    }

    pub(crate) fn batch(&mut self) -> &[Row] {
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

/// Calls `work` with batches for the time of a run.
pub(crate) fn drive(
    keys: u64,
    mut work: impl FnMut(&[Row], Duration) -> Result<()>,
) -> Result<Figures> {
    let clock = SystemClock::default();
    let mut generator = Generator::new(keys);
    let mut rows = 0;
    let mut batch_max = Duration::ZERO;
    let begun = clock.elapsed();
    let (mut start, mut now) = (begun, begun);
    while now - begun < WARM_UP + RUN {
        work(generator.batch(), now - begun)?;
        let end = clock.elapsed();
        if now - begun < WARM_UP {
            start = end;
        } else {
            rows += BATCH_ROWS;
            batch_max = batch_max.max(end - now);
        }
        now = end;
    }
    Ok(Figures {
        rows_per_second: rows as f64 / (now - start).as_secs_f64(),
        batch_max,
        ..Figures::default()
    })
}
