//! Sums that are changed in place, and a log of the values from before the epoch: a second thread gathers the delta after
//! the barrier, and takes the old value of what has been changed again since.
//!
//! Values of 8 bytes change in one piece, so the order of two reads does what would else need a lock or a sequence number
//! in each bucket: this scheme is measured at its best.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use floodmark::model::hash_key;

use crate::chunk::{CHUNK_RECORDS, Chunk, Record};
use crate::generator::Row;
use crate::memory::{Mapped, Plain, prefetch};
use crate::output::Output;
use crate::scheme::{Scheme, Settings};
use crate::table::{LOAD, Position, SLOTS, STAGE_ROWS};
use crate::writer::{Checkpoint, Piece, Writer};

/// How many records ahead the gathering thread fetches.
const FETCH_AHEAD: usize = 16;

pub(crate) struct Undo {
    shared: Arc<Shared>,
    epoch: u64,
    /// Slots changed in this epoch.
    touched: usize,
    /// The mark of the epoch's first record. A slot's mark tells where its record is, and lower ones are of old epochs.
    first_mark: u32,
    records: usize,
    /// Records of all deltas since the last base.
    delta_records: usize,
    first_epoch: u64,
}

/// What both threads see.
struct Shared {
    buckets: Mapped<Bucket>,
    /// For epochs of even and of odd number, the slots changed, each with its value from before.
    logs: [Mapped<UndoRecord>; 2],
}

#[repr(C, align(64))]
struct Bucket {
    keys: [AtomicU64; SLOTS],
    values: [AtomicI64; SLOTS],
    marks: [AtomicU32; SLOTS],
    occupied: AtomicU8,
    overflow: AtomicU8,
}

#[repr(C)]
struct UndoRecord {
    /// Bucket and slot, as `bucket * 4 + slot`.
    position: AtomicU64,
    value: AtomicI64,
}

// SAFETY: atomic numbers are numbers, and nobody reads what lies between them.
unsafe impl Plain for Bucket {}
// SAFETY: as above.
unsafe impl Plain for UndoRecord {}

impl Scheme for Undo {
    fn pool_records(_: usize) -> usize {
        CHUNK_RECORDS
    }

    fn new(settings: Settings, output: &mut Output) -> Self {
        let records = settings.keys.count as usize;
        let buckets = (records as f64 / SLOTS as f64 / LOAD) as usize + 1;
        let shared = Arc::new(Shared {
            buckets: Mapped::new(buckets, settings.huge_pages),
            logs: [0, 1].map(|_| Mapped::new(records, settings.huge_pages)),
        });
        for key in settings.keys.iter() {
            shared.insert(key);
        }
        let mut undo = Self {
            shared,
            epoch: 0,
            touched: 0,
            first_mark: 1,
            records,
            delta_records: usize::MAX,
            first_epoch: 0,
        };
        undo.barrier(output);
        undo
    }

    fn update(&mut self, rows: &[Row], _: &mut Output) {
        let shared = Arc::clone(&self.shared);
        let log = shared.log(self.epoch);
        for rows in rows.chunks(STAGE_ROWS) {
            let mut homes = [0; STAGE_ROWS];
            for (row, home) in rows.iter().zip(&mut homes) {
                *home = shared.home(row.key);
                prefetch(&shared.buckets[*home]);
            }
            for (row, home) in rows.iter().zip(homes) {
                let Position { bucket, slot } = shared.position(row.key, home);
                let value = shared.buckets[bucket].values[slot].load(Ordering::Relaxed);
                let mark = &shared.buckets[bucket].marks[slot];
                if mark.load(Ordering::Relaxed) < self.first_mark {
                    let position = (bucket * 4 + slot) as u64;
                    log[self.touched]
                        .position
                        .store(position, Ordering::Relaxed);
                    log[self.touched].value.store(value, Ordering::Relaxed);
                    let number = self.first_mark + self.touched as u32;
                    // Who sees the mark sees the record that it tells of.
                    mark.store(number, Ordering::Release);
                    self.touched += 1;
                }
                // Who sees the new value sees the mark.
                shared.buckets[bucket].values[slot].store(value + row.value, Ordering::Release);
            }
        }
    }

    fn barrier(&mut self, output: &mut Output) {
        let is_base = self.delta_records > self.records;
        if is_base {
            // The base is of this very barrier: it needs no deltas but the later ones.
            self.delta_records = 0;
            self.first_epoch = self.epoch + 1;
        }
        let gathering = Gathering {
            shared: Arc::clone(&self.shared),
            touched: self.touched,
            next_first_mark: self.first_mark + self.touched as u32,
            checkpoint: Checkpoint {
                epoch: self.epoch,
                first_epoch: self.first_epoch,
            },
        };
        let chunk = output.pool.take();
        output.run(move |writer| {
            let chunk = if is_base {
                gathering.gather_all(chunk, writer)
            } else {
                gathering.gather_touched(chunk, writer)
            };
            writer.give_back(chunk);
            writer.finish(gathering.checkpoint);
        });
        self.delta_records = self.delta_records.saturating_add(self.touched);
        self.first_mark += self.touched as u32;
        self.touched = 0;
        self.epoch += 1;
    }

    fn slice(&mut self, _: &mut Output) {}

    fn sum(&self, key: u64) -> i64 {
        let Position { bucket, slot } = self.shared.position(key, self.shared.home(key));
        self.shared.buckets[bucket].values[slot].load(Ordering::Relaxed)
    }
}

/// What the second thread does after a barrier.
struct Gathering {
    shared: Arc<Shared>,
    /// Slots changed in the epoch.
    touched: usize,
    /// The first mark of the epoch after it.
    next_first_mark: u32,
    checkpoint: Checkpoint,
}

impl Gathering {
    fn gather_touched(&self, chunk: Chunk, writer: &mut Writer<'_>) -> Chunk {
        let log = &self.shared.log(self.checkpoint.epoch)[..self.touched];
        let place = |record: &UndoRecord| {
            let position = record.position.load(Ordering::Relaxed) as usize;
            (position / 4, position % 4)
        };
        let mut gathered = Gathered {
            piece: Piece::Delta(self.checkpoint.epoch),
            chunk,
        };
        for (number, record) in log.iter().enumerate() {
            if let Some(ahead) = log.get(number + FETCH_AHEAD) {
                prefetch(&self.shared.buckets[place(ahead).0]);
            }
            let (bucket, slot) = place(record);
            gathered.push(self.read(bucket, slot), writer);
        }
        gathered.write(writer);
        gathered.chunk
    }

    fn gather_all(&self, chunk: Chunk, writer: &mut Writer<'_>) -> Chunk {
        let mut gathered = Gathered {
            piece: Piece::Base(self.checkpoint.first_epoch),
            chunk,
        };
        for (number, bucket) in self.shared.buckets.iter().enumerate() {
            let occupied = bucket.occupied.load(Ordering::Relaxed);
            for slot in (0..SLOTS).filter(|slot| occupied & (1 << slot) != 0) {
                gathered.push(self.read(number, slot), writer);
            }
        }
        gathered.write(writer);
        gathered.chunk
    }

    /// The record as it was at the barrier.
    #[inline]
    fn read(&self, bucket: usize, slot: usize) -> Record {
        let bucket = &self.shared.buckets[bucket];
        let key = bucket.keys[slot].load(Ordering::Relaxed);
        // The value first: if it is a new one, the mark is new as well, and tells where the old one is.
        let value = bucket.values[slot].load(Ordering::Acquire);
        let mark = bucket.marks[slot].load(Ordering::Acquire);
        let value = match mark.checked_sub(self.next_first_mark) {
            Some(number) => {
                let log = self.shared.log(self.checkpoint.epoch + 1);
                log[number as usize].value.load(Ordering::Relaxed)
            }
            None => value,
        };
        Record { key, value }
    }
}

/// Records on their way into a piece.
struct Gathered {
    piece: Piece,
    chunk: Chunk,
}

impl Gathered {
    #[inline]
    fn push(&mut self, record: Record, writer: &mut Writer<'_>) {
        if self.chunk.room() == 0 {
            self.write(writer);
        }
        self.chunk.push(record);
    }

    fn write(&mut self, writer: &mut Writer<'_>) {
        self.chunk.pad();
        writer.write(self.piece, self.chunk.bytes());
        self.chunk.clear();
    }
}

impl Shared {
    #[inline]
    fn log(&self, epoch: u64) -> &[UndoRecord] {
        &self.logs[(epoch & 1) as usize]
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        let hash = hash_key(&key.to_le_bytes());
        ((u128::from(hash) * self.buckets.len() as u128) >> 64) as usize
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() {
            0
        } else {
            bucket + 1
        }
    }

    /// Where the key lies that belongs into this bucket. It must be in the table.
    #[inline]
    fn position(&self, key: u64, home: usize) -> Position {
        let mut number = home;
        loop {
            let bucket = &self.buckets[number];
            let mut matches = 0;
            for slot in 0..SLOTS {
                let is_match = bucket.keys[slot].load(Ordering::Relaxed) == key;
                matches |= u32::from(is_match) << slot;
            }
            matches &= u32::from(bucket.occupied.load(Ordering::Relaxed));
            if matches != 0 {
                let slot = matches.trailing_zeros() as usize;
                return Position {
                    bucket: number,
                    slot,
                };
            }
            assert!(
                bucket.overflow.load(Ordering::Relaxed) != 0,
                "key {key} is not in the table"
            );
            number = self.after(number);
        }
    }

    fn insert(&self, key: u64) {
        let mut number = self.home(key);
        loop {
            let bucket = &self.buckets[number];
            let occupied = bucket.occupied.load(Ordering::Relaxed);
            let slot = occupied.trailing_ones() as usize;
            if slot < SLOTS {
                bucket.keys[slot].store(key, Ordering::Relaxed);
                let occupied = occupied | 1 << slot;
                bucket.occupied.store(occupied, Ordering::Relaxed);
                return;
            }
            bucket.overflow.store(1, Ordering::Relaxed);
            number = self.after(number);
        }
    }
}
