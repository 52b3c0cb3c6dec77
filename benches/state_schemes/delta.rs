//! Sums that are changed in place, and a log of the epoch's changes that each further change is patched into.

use std::collections::VecDeque;

use crate::base::BaseCopy;
use crate::chunk::{Record, RecordLog};
use crate::generator::Row;
use crate::memory::prefetch;
use crate::output::Output;
use crate::scheme::{Scheme, Settings};
use crate::table::{Position, STAGE_ROWS, Table};
use crate::writer::{Checkpoint, Piece};

/// Undo logs that are kept: of the epoch being written, and of the one before.
const UNDO_LOGS: usize = 2;

/// With `UNDO`, the values from before the epoch go to a log of their own, which stays in memory.
pub(crate) struct DeltaLog<const UNDO: bool> {
    table: Table,
    epoch: u64,
    delta: RecordLog,
    /// The mark of the epoch's first record. A slot's mark tells where its record is, and lower ones are of old epochs.
    first_mark: u32,
    undo: RecordLog,
    undo_before: VecDeque<RecordLog>,
    base: BaseCopy,
    slice_records: usize,
}

impl<const UNDO: bool> Scheme for DeltaLog<UNDO> {
    fn pool_records(records: usize) -> usize {
        // Two deltas and a base, none of them larger than the state.
        let logs = if UNDO { 5 } else { 3 };
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
        Self {
            table,
            epoch: 1,
            delta: RecordLog::default(),
            first_mark: 1,
            undo: RecordLog::default(),
            undo_before: VecDeque::new(),
            base,
            slice_records: settings.slice_records,
        }
    }

    fn update(&mut self, rows: &[Row], output: &mut Output) {
        let mut positions = [Position::default(); STAGE_ROWS];
        for rows in rows.chunks(STAGE_ROWS) {
            let homes = self.table.fetch(rows);
            for ((row, home), position) in rows.iter().zip(homes).zip(&mut positions) {
                *position = self.table.position(row.key, home);
                let mark = self.table.buckets()[position.bucket].marks[position.slot];
                if mark >= self.first_mark {
                    prefetch(self.delta.get((mark - self.first_mark) as usize));
                }
            }
            for (row, position) in rows.iter().zip(positions) {
                self.add(row, position, output);
            }
        }
    }

    fn barrier(&mut self, output: &mut Output) {
        let records = self.delta.len();
        self.first_mark += records as u32;
        output.write(Piece::Delta(self.epoch), self.delta.take());
        output.finish(Checkpoint {
            epoch: self.epoch,
            first_epoch: self.base.first_epoch(),
        });
        self.base.count(records);
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
        if !output.is_congested() {
            self.base
                .slice(&self.table, self.epoch, self.slice_records, output);
        }
    }

    fn sum(&self, key: u64) -> i64 {
        self.table.value(key)
    }
}

impl<const UNDO: bool> DeltaLog<UNDO> {
    #[inline]
    fn add(&mut self, row: &Row, position: Position, output: &mut Output) {
        let Position { bucket, slot } = position;
        let bucket = self.table.bucket_mut(bucket);
        let old = bucket.values[slot];
        let value = old + row.value;
        bucket.values[slot] = value;
        let mark = bucket.marks[slot];
        if mark >= self.first_mark {
            self.delta.get_mut((mark - self.first_mark) as usize).value = value;
            return;
        }
        bucket.marks[slot] = self.first_mark + self.delta.len() as u32;
        let key = row.key;
        self.delta.push(Record { key, value }, &mut output.pool);
        if UNDO {
            self.undo.push(Record { key, value: old }, &mut output.pool);
        }
    }
}
