//! Copies of the whole table, made in slices while it changes.
//!
//! The slices are from different moments. That is mended by the deltas from the epoch of the first slice on, because
//! these hold whole values.

use crate::chunk::Record;
use crate::output::{Appender, Output};
use crate::table::{SLOTS, Table};
use crate::writer::Piece;

/// Begins a base whenever the deltas since the last one have outgrown the state.
pub(crate) struct BaseCopy {
    /// Records in the table.
    records: usize,
    /// Records of all deltas since the last base.
    delta_records: usize,
    /// The epoch of the base that the next checkpoint stands on.
    first_epoch: u64,
    copying: Option<Copying>,
}

struct Copying {
    first_epoch: u64,
    next_bucket: usize,
    appender: Appender,
}

impl BaseCopy {
    /// Writes the whole table as the base of the first epoch.
    pub(crate) fn new(
        table: &Table,
        records: usize,
        first_epoch: u64,
        output: &mut Output,
    ) -> Self {
        let mut base = Self {
            records,
            delta_records: usize::MAX,
            first_epoch,
            copying: None,
        };
        while base.slice(table, first_epoch, usize::MAX, output) {}
        base.delta_records = 0;
        base
    }

    /// Takes note of a delta that is complete.
    pub(crate) fn count(&mut self, delta_records: usize) {
        self.delta_records = self.delta_records.saturating_add(delta_records);
    }

    /// Takes note of a base that is made elsewhere, at a barrier, and that the deltas from this epoch on belong on top
    /// of; refuses if one is being made here.
    pub(crate) fn replace(&mut self, first_epoch: u64) -> bool {
        if self.copying.is_some() {
            return false;
        }
        self.delta_records = 0;
        self.first_epoch = first_epoch;
        true
    }

    /// The epoch of the newest whole base: what a checkpoint stands on whose barrier comes now.
    pub(crate) fn first_epoch(&self) -> u64 {
        self.first_epoch
    }

    /// Copies about so many records, if a base is wanted; whether it is still not complete.
    pub(crate) fn slice(
        &mut self,
        table: &Table,
        epoch: u64,
        records: usize,
        output: &mut Output,
    ) -> bool {
        if self.copying.is_none() {
            if self.delta_records <= self.records {
                return false;
            }
            self.delta_records = 0;
            self.copying = Some(Copying {
                first_epoch: epoch,
                next_bucket: 0,
                appender: Appender::new(Piece::Base(epoch), &mut output.pool),
            });
        }
        let Some(mut copying) = self.copying.take() else {
            return false;
        };
        if copying.slice(table, records, output) {
            self.copying = Some(copying);
            return true;
        }
        self.first_epoch = copying.first_epoch;
        copying.appender.close(output);
        false
    }
}

impl Copying {
    /// Whether there is more to copy.
    fn slice(&mut self, table: &Table, records: usize, output: &mut Output) -> bool {
        let end = self.appender.len().saturating_add(records);
        while let Some(bucket) = table.buckets().get(self.next_bucket) {
            if self.appender.len() >= end {
                return true;
            }
            let chunk = self.appender.chunk(SLOTS, output);
            for slot in 0..SLOTS {
                let record = Record {
                    key: bucket.keys[slot],
                    value: bucket.values[slot],
                };
                chunk.push_if(bucket.occupied & (1 << slot) != 0, record);
            }
            self.next_bucket += 1;
        }
        false
    }
}
