//! One run of one scheme: a thread and a writer for each partition.

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;
use floodmark::model::{Clock, SystemClock};

use crate::chunk::Pool;
use crate::cpu::{ThreadTime, machine_time};
use crate::generator::{BATCH_ROWS, Generator, Keys};
use crate::output::Output;
use crate::scheme::{Scheme, Settings};
use crate::verify::verify;
use crate::writer::{Checkpoint, Writer};

/// Commands that may wait for a writer; a partition blocks when there are more.
const COMMANDS_MAX: usize = 4096;

/// Batches between two looks at the time of checkpoints.
const PACE_BATCHES: usize = 16;

/// What to measure.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// Distinct keys of all partitions.
    pub(crate) keys: u64,
    pub(crate) partitions: u64,
    /// The time from barrier to barrier.
    pub(crate) interval: Option<Duration>,
    pub(crate) duration: Duration,
    pub(crate) huge_pages: bool,
    /// Whether time is the processor time of a partition and its writer.
    pub(crate) by_processor: bool,
    pub(crate) slice_records: usize,
    /// Whether to write past the page cache.
    pub(crate) direct: bool,
    /// Where the snapshots go.
    pub(crate) folder: &'a Path,
}

/// What one run gave, over all partitions.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    pub(crate) updates_per_second: f64,
    /// How many processors were busy with something else.
    pub(crate) processors_elsewhere: f64,
    pub(crate) bytes_per_checkpoint: f64,
    /// How long the barriers stopped a partition, in order.
    pub(crate) stalls: Vec<Duration>,
    pub(crate) longest_batch: Duration,
    /// The share of the checkpoints that were not durable when the next was due.
    pub(crate) late: f64,
}

/// What one partition gave.
#[derive(Default)]
struct Part {
    updates_per_second: f64,
    processors_elsewhere: f64,
    stalls: Vec<Duration>,
    longest_batch: Duration,
    checkpoints_late: usize,
    bytes: u64,
}

/// Runs the scheme; an error if what it saved is not what it has in memory.
pub(crate) fn run<S: Scheme>(plan: &Plan<'_>) -> Result<Figures, String> {
    let loaded = Barrier::new(plan.partitions as usize);
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.partitions)
            .map(|partition| {
                let loaded = &loaded;
                scope.spawn(move || run_partition::<S>(plan, partition, loaded))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut stalls: Vec<_> = parts.iter().flat_map(|part| part.stalls.clone()).collect();
    stalls.sort_unstable();
    let late: usize = parts.iter().map(|part| part.checkpoints_late).sum();
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    let checkpoints = stalls.len().max(1) as f64;
    let elsewhere: f64 = parts.iter().map(|part| part.processors_elsewhere).sum();
    Ok(Figures {
        updates_per_second: parts.iter().map(|part| part.updates_per_second).sum(),
        processors_elsewhere: (elsewhere / parts.len() as f64).max(0.0),
        bytes_per_checkpoint: bytes as f64 / checkpoints * plan.partitions as f64,
        longest_batch: parts.iter().map(|part| part.longest_batch).max().unwrap(),
        late: late as f64 / checkpoints,
        stalls,
    })
}

fn run_partition<S: Scheme>(
    plan: &Plan<'_>,
    partition: u64,
    loaded: &Barrier,
) -> Result<Part, String> {
    let keys = Keys {
        partition,
        partitions: plan.partitions,
        count: plan.keys / plan.partitions,
    };
    let folder = tempfile::tempdir_in(plan.folder).unwrap();
    let bytes = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (commands, orders) = bounded(COMMANDS_MAX);
        let (completions, completed) = bounded(COMMANDS_MAX);
        let pool = Pool::new(S::pool_records(keys.count as usize), plan.huge_pages);
        let writer = Writer::new(
            folder.path(),
            plan.direct,
            pool.returns(),
            completions,
            &bytes,
        );
        let (started, start) = bounded(1);
        scope.spawn(move || {
            started.send(ThreadTime::of_this_thread()).unwrap();
            writer.run(orders);
        });
        let pace = Pace {
            wall: SystemClock::default(),
            by_processor: plan.by_processor,
            threads: [ThreadTime::of_this_thread(), start.recv().unwrap()],
        };
        let mut output = Output::new(pool, commands, completed);
        let settings = Settings {
            keys,
            huge_pages: plan.huge_pages,
            slice_records: plan.slice_records,
        };
        let mut scheme = S::new(settings, &mut output);
        output.wait();
        let loaded_bytes = bytes.load(Ordering::Relaxed);
        loaded.wait();
        let mut part = measure(&mut scheme, plan, &pace, keys, &mut output);
        let epoch = part.stalls.len() as u64;
        complete(&mut scheme, epoch, &mut output);
        part.bytes = bytes.load(Ordering::Relaxed) - loaded_bytes;
        if plan.interval.is_some() {
            // What came after the last barrier was not measured, but must be saved as well.
            scheme.barrier(&mut output);
            let checkpoint = complete(&mut scheme, epoch + 1, &mut output);
            verify(folder.path(), checkpoint, keys, |key| scheme.sum(key))?;
        }
        Ok(part)
    })
}

/// The time by which a partition measures itself and begins checkpoints.
struct Pace {
    wall: SystemClock,
    by_processor: bool,
    /// The partition and its writer.
    threads: [ThreadTime; 2],
}

impl Pace {
    fn now(&self) -> Duration {
        if self.by_processor {
            self.processor()
        } else {
            self.wall.elapsed()
        }
    }

    fn processor(&self) -> Duration {
        self.threads.iter().map(ThreadTime::elapsed).sum()
    }
}

/// Works off batches for the time of the plan.
fn measure<S: Scheme>(
    scheme: &mut S,
    plan: &Plan<'_>,
    pace: &Pace,
    keys: Keys,
    output: &mut Output,
) -> Part {
    let mut generator = Generator::new(keys);
    let mut part = Part::default();
    let mut batches = 0;
    let mut due = plan.interval;
    let mut is_late = false;
    let mut now = pace.wall.elapsed();
    let before = (now, pace.processor(), machine_time());
    let start = pace.now();
    let mut elapsed = Duration::ZERO;
    while elapsed < plan.duration {
        scheme.update(generator.batch(), output);
        scheme.slice(output);
        batches += 1;
        let end = pace.wall.elapsed();
        part.longest_batch = part.longest_batch.max(end - now);
        now = end;
        if batches % PACE_BATCHES != 0 {
            continue;
        }
        elapsed = pace.now() - start;
        if due.is_none_or(|due| elapsed < due) {
            continue;
        }
        let begun = part.stalls.len() as u64;
        if output.durable().is_some_and(|last| last.epoch < begun) {
            is_late = true;
            continue;
        }
        part.checkpoints_late += usize::from(is_late);
        is_late = false;
        due = plan.interval.map(|interval| elapsed + interval);
        now = pace.wall.elapsed();
        scheme.barrier(output);
        let end = pace.wall.elapsed();
        part.stalls.push(end - now);
        now = end;
    }
    part.updates_per_second = (batches * BATCH_ROWS) as f64 / elapsed.as_secs_f64();
    let machine = machine_time() - before.2;
    // Taken that every partition does the same.
    let own = (pace.processor() - before.1) * plan.partitions as u32;
    part.processors_elsewhere =
        (machine.as_secs_f64() - own.as_secs_f64()) / (now - before.0).as_secs_f64();
    part
}

/// Does what is left to do between batches until this epoch's checkpoint is durable.
fn complete<S: Scheme>(scheme: &mut S, epoch: u64, output: &mut Output) -> Checkpoint {
    loop {
        scheme.slice(output);
        match output.durable() {
            Some(checkpoint) if checkpoint.epoch >= epoch => return checkpoint,
            _ => std::thread::yield_now(),
        }
    }
}
