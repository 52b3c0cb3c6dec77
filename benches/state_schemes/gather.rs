//! Sums that are changed in place, and notes of which ones; the delta is gathered after the barrier, between batches.
//!
//! A bucket has the number of the last epoch that changed it, and a bit for each slot changed in that epoch. The first
//! change in an epoch that meets a bucket not gathered yet saves the bucket's share of the delta before. So gathering
//! only reads buckets, and skips those of the current epoch.

use std::collections::VecDeque;

use crate::base::BaseCopy;
use crate::chunk::{Record, RecordLog};
use crate::generator::Row;
use crate::memory::{Mapped, prefetch};
use crate::output::{Appender, Output};
use crate::scheme::{Scheme, Settings};
use crate::table::{Bucket, Position, SLOTS, STAGE_ROWS, Table};
use crate::writer::{Checkpoint, Piece};

/// Buckets that are fetched before the first of them is gathered.
const GROUP_BUCKETS: usize = 16;
/// The share of changed buckets, as a fraction, at which about half of the records changed: a base is then no more than a
/// delta and its share of the next base.
const BASE_DIRTY: (usize, usize) = (6, 10);
/// The mark of a bucket that tells the last epoch that changed it.
const EPOCH: usize = 0;
/// Undo logs that are kept: of the epoch being written, and of the one before.
const UNDO_LOGS: usize = 2;

/// With `UNDO`, the values from before the epoch go to a log of their own, which stays in memory. With `FULL`, all records
/// are gathered, as a base, when most of the buckets changed.
pub(crate) struct Gather<const UNDO: bool, const FULL: bool> {
    table: Table,
    epoch: u64,
    /// For epochs of even and of odd number, a bit for each bucket that the epoch changed.
    dirty_buckets: [Mapped<u64>; 2],
    /// How many buckets this epoch has changed.
    dirty: usize,
    /// The epoch before, until it is gathered.
    pending: Option<Pending>,
    /// The first bucket that may not be gathered yet; beyond all buckets if there is nothing to gather.
    ungathered: usize,
    undo: RecordLog,
    undo_before: VecDeque<RecordLog>,
    base: BaseCopy,
    slice_records: usize,
}

/// A delta that is being gathered.
struct Pending {
    checkpoint: Checkpoint,
    /// Whether all slots are gathered, as a base, and not only those that changed.
    is_base: bool,
    appender: Appender,
    buckets: DirtyBuckets,
    /// Buckets on their way into the cache.
    fetched: Group,
}

/// A walk over a bitmap of buckets, which it clears.
#[derive(Default)]
struct DirtyBuckets {
    next_word: usize,
    word: u64,
}

/// The numbers of a few buckets.
#[derive(Default)]
struct Group {
    buckets: [usize; GROUP_BUCKETS],
    length: usize,
}

impl<const UNDO: bool, const FULL: bool> Scheme for Gather<UNDO, FULL> {
    fn pool_records(records: usize) -> usize {
        // A delta and a base at least, none of them larger than the state.
        let logs = if UNDO { 5 } else { 2 };
        records * logs
    }

    fn new(settings: Settings, output: &mut Output) -> Self {
        let keys = settings.keys;
        let table = Table::new(keys.iter(), settings.huge_pages);
        let base = BaseCopy::new(&table, keys.count as usize, 1, output);
        output.finish(Checkpoint {
            epoch: 0,
            first_epoch: 1,
        });
        let words = table.buckets().len().div_ceil(64);
        Self {
            table,
            epoch: 1,
            dirty_buckets: [0, 1].map(|_| Mapped::new(words, settings.huge_pages)),
            dirty: 0,
            pending: None,
            ungathered: usize::MAX,
            undo: RecordLog::default(),
            undo_before: VecDeque::new(),
            base,
            slice_records: settings.slice_records,
        }
    }

    fn update(&mut self, rows: &[Row], output: &mut Output) {
        for rows in rows.chunks(STAGE_ROWS) {
            let homes = self.table.fetch(rows);
            for (row, home) in rows.iter().zip(homes) {
                let position = self.table.position(row.key, home);
                self.add(row, position, output);
            }
        }
    }

    fn barrier(&mut self, output: &mut Output) {
        let is_base = FULL
            && self.dirty * BASE_DIRTY.1 > self.table.buckets().len() * BASE_DIRTY.0
            && self.base.replace(self.epoch + 1);
        let piece = if is_base {
            Piece::Base(self.epoch + 1)
        } else {
            Piece::Delta(self.epoch)
        };
        self.pending = Some(Pending {
            checkpoint: Checkpoint {
                epoch: self.epoch,
                first_epoch: self.base.first_epoch(),
            },
            is_base,
            appender: Appender::new(piece, &mut output.pool),
            buckets: DirtyBuckets::default(),
            fetched: Group::default(),
        });
        self.dirty = 0;
        self.ungathered = 0;
        self.epoch += 1;
        if UNDO {
            self.undo_before.push_back(std::mem::take(&mut self.undo));
            if self.undo_before.len() > UNDO_LOGS {
                let old = self.undo_before.pop_front();
                output.pool.put_back(&mut old.unwrap_or_default().take());
            }
        }
    }

    fn slice(&mut self, output: &mut Output) {
        match self.pending.take() {
            Some(pending) => self.gather(pending, output),
            None if output.is_congested() => {}
            None => {
                self.base
                    .slice(&self.table, self.epoch, self.slice_records, output);
            }
        }
    }

    fn sum(&self, key: u64) -> i64 {
        self.table.value(key)
    }
}

impl<const UNDO: bool, const FULL: bool> Gather<UNDO, FULL> {
    #[inline]
    fn add(&mut self, row: &Row, position: Position, output: &mut Output) {
        let epoch = self.epoch as u32;
        let bucket = self.table.bucket_mut(position.bucket);
        if bucket.marks[EPOCH] != epoch {
            if position.bucket >= self.ungathered
                && let Some(pending) = &mut self.pending
            {
                pending.save(bucket, epoch - 1, output);
            }
            bucket.marks[EPOCH] = epoch;
            bucket.dirty = 0;
            let words = &mut self.dirty_buckets[(epoch & 1) as usize];
            words[position.bucket / 64] |= 1 << (position.bucket % 64);
            self.dirty += 1;
        }
        let bit = 1 << position.slot;
        if UNDO && bucket.dirty & bit == 0 {
            let record = Record {
                key: row.key,
                value: bucket.values[position.slot],
            };
            self.undo.push(record, &mut output.pool);
        }
        bucket.dirty |= bit;
        bucket.values[position.slot] += row.value;
    }

    /// Gathers a slice of the epoch before.
    fn gather(&mut self, mut pending: Pending, output: &mut Output) {
        let epoch = self.epoch as u32;
        let words = &mut self.dirty_buckets[(epoch & 1) as usize ^ 1];
        let end = pending.appender.len() + self.slice_records;
        while pending.appender.len() < end {
            let fetched = pending.buckets.fetch(words, pending.is_base, &self.table);
            let ready = std::mem::replace(&mut pending.fetched, fetched);
            for number in &ready.buckets[..ready.length] {
                let bucket = &self.table.buckets()[*number];
                if bucket.marks[EPOCH] != epoch {
                    pending.save(bucket, epoch - 1, output);
                }
                self.ungathered = number + 1;
            }
            if ready.length + pending.fetched.length == 0 {
                self.ungathered = usize::MAX;
                if !pending.is_base {
                    self.base.count(pending.appender.len());
                }
                pending.appender.close(output);
                output.finish(pending.checkpoint);
                return;
            }
        }
        self.pending = Some(pending);
    }
}

impl Pending {
    /// Appends what the delta of this epoch, or the base, needs of a bucket.
    #[inline]
    fn save(&mut self, bucket: &Bucket, epoch: u32, output: &mut Output) {
        let slots = if self.is_base {
            bucket.occupied
        } else if bucket.marks[EPOCH] == epoch {
            bucket.dirty
        } else {
            return;
        };
        let chunk = self.appender.chunk(SLOTS, output);
        for slot in 0..SLOTS {
            let record = Record {
                key: bucket.keys[slot],
                value: bucket.values[slot],
            };
            chunk.push_if(slots & (1 << slot) != 0, record);
        }
    }
}

impl DirtyBuckets {
    /// The next few buckets, on their way into the cache; none at the end.
    fn fetch(&mut self, words: &mut [u64], all: bool, table: &Table) -> Group {
        let mut group = Group::default();
        while group.length < GROUP_BUCKETS {
            if self.word == 0 {
                let Some(word) = words.get_mut(self.next_word) else {
                    break;
                };
                self.word = std::mem::take(word);
                if all {
                    let left = table.buckets().len() - self.next_word * 64;
                    self.word = u64::MAX >> (64 - left.min(64));
                }
                self.next_word += 1;
                continue;
            }
            let bucket = (self.next_word - 1) * 64 + self.word.trailing_zeros() as usize;
            self.word &= self.word - 1;
            prefetch(&table.buckets()[bucket]);
            group.buckets[group.length] = bucket;
            group.length += 1;
        }
        group
    }
}
