//! The same work as a hand-written loop: threads that generate, exchange by key over bounded channels, and add up in a
//! table of their own. Nothing is saved, and nothing can be stopped or recovered.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::job::record;
use crate::stopwatch::{Stopwatch, pass};

const BATCH_ROWS: usize = 1024;
const CHANNEL_BATCHES: usize = 16;
/// How far ahead of its use a slot is fetched.
const FETCH_AHEAD: usize = 16;

type Batch = Vec<(u64, i64, i64)>;

/// Records a second over all threads, once all keys are in the tables.
pub(crate) fn records_per_second(keys: u64, threads: usize, duration: Duration) -> f64 {
    let done = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..threads).map(|_| bounded(CHANNEL_BATCHES)).unzip();
    std::thread::scope(|scope| {
        for (index, receiver) in receivers.into_iter().enumerate() {
            let worker = Worker {
                index: index as u64,
                threads: threads as u64,
                keys,
                senders: senders.clone(),
                receiver,
                table: Table::new(keys / threads as u64),
                spare: Vec::new(),
            };
            let (done, stop) = (&done, &stop);
            scope.spawn(move || worker.run(done, stop));
        }
        while done.load(Ordering::Relaxed) < keys * 3 {
            pass(Duration::from_millis(20));
        }
        let stopwatch = Stopwatch::start();
        let before = done.load(Ordering::Relaxed);
        pass(duration);
        let records = done.load(Ordering::Relaxed) - before;
        let seconds = stopwatch.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        records as f64 / seconds
    })
}

struct Worker {
    index: u64,
    threads: u64,
    keys: u64,
    senders: Vec<Sender<Batch>>,
    receiver: Receiver<Batch>,
    table: Table,
    /// Batches that were worked off, to be filled again: as many come in as go out, and the allocator is spared memory
    /// that one thread takes and another gives back.
    spare: Vec<Batch>,
}

impl Worker {
    fn run(mut self, done: &AtomicU64, stop: &AtomicBool) {
        let mut next = self.index;
        let mut waiting: Vec<(usize, Batch)> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            if waiting.is_empty() {
                let mut parts: Vec<Batch> = (0..self.senders.len())
                    .map(|_| self.spare.pop().unwrap_or_default())
                    .collect();
                for _ in 0..BATCH_ROWS {
                    let row = record(next, self.keys);
                    next += self.threads;
                    // The table takes the lower half of the hash.
                    let part = ((hash(row.0) >> 32) * self.threads) >> 32;
                    parts[part as usize].push(row);
                }
                waiting.extend(parts.into_iter().enumerate());
            }
            waiting.retain_mut(|(to, batch)| {
                match self.senders[*to].try_send(std::mem::take(batch)) {
                    Ok(()) => false,
                    Err(TrySendError::Full(returned)) => {
                        *batch = returned;
                        true
                    }
                    Err(TrySendError::Disconnected(_)) => false,
                }
            });
            while let Ok(mut batch) = self.receiver.try_recv() {
                black_box(self.table.add(&batch));
                done.fetch_add(batch.len() as u64, Ordering::Relaxed);
                batch.clear();
                self.spare.push(batch);
            }
        }
    }
}

#[inline]
fn hash(key: u64) -> u64 {
    let mixed = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// Linear probing over key and sum in one array, at most half full.
struct Table {
    /// A key is stored plus one; zero is an empty slot.
    slots: Vec<(u64, i64)>,
    mask: usize,
}

impl Table {
    fn new(keys: u64) -> Self {
        let slots = (keys as usize * 2).next_power_of_two();
        Self {
            slots: vec![(0, 0); slots],
            mask: slots - 1,
        }
    }

    fn add(&mut self, batch: &[(u64, i64, i64)]) -> Vec<(u64, i64)> {
        let mut sums = Vec::with_capacity(batch.len());
        for (row, (key, value, _)) in batch.iter().enumerate() {
            if let Some((ahead, _, _)) = batch.get(row + FETCH_AHEAD) {
                self.fetch(hash(*ahead) as usize & self.mask);
            }
            let mut slot = hash(*key) as usize & self.mask;
            while self.slots[slot].0 != key + 1 && self.slots[slot].0 != 0 {
                slot = (slot + 1) & self.mask;
            }
            let entry = &mut self.slots[slot];
            entry.0 = key + 1;
            entry.1 += value;
            sums.push((*key, entry.1));
        }
        sums
    }

    /// Brings a slot into the cache, where the processor can be asked to.
    #[inline]
    #[expect(unsafe_code, reason = "the mechanism that the engine is compared with")]
    fn fetch(&self, slot: usize) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch of any address is without effect on memory.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(&self.slots[slot]).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = slot;
    }
}
