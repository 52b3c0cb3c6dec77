//! The sources of a random job.

use fastrand::Rng;

use super::super::operators::{Record, mix};
use crate::connectors::GeneratorSource;
use crate::error::Result;
use crate::model::EventTime;
use crate::operator::Source;

/// How many records one source has at most.
const ROWS_MAX: u64 = 80;

/// Where a source emits its records, and which.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceRecipe {
    rows: u64,
    splits: u32,
    batch_rows: usize,
    keys: u64,
    salt: u64,
    /// From one record's event time to the next.
    time_step: i64,
    /// Rows per second; as fast as may be without.
    rate: Option<u64>,
}

/// How many records of each split of a source were read; of all splits everything without.
pub(in super::super) type Positions = Option<Vec<u64>>;

impl SourceRecipe {
    pub(super) fn draw(random: &mut Rng) -> Self {
        Self {
            rows: random.u64(0..ROWS_MAX),
            splits: random.u32(1..6),
            batch_rows: random.usize(1..12),
            keys: random.u64(1..12),
            salt: random.u64(..),
            time_step: random.i64(0..20),
            rate: random.bool().then(|| random.u64(300..5_000)),
        }
    }

    pub(super) fn make(self) -> Result<impl Source> {
        let make = move |_, index| self.record(index);
        let source = GeneratorSource::from_fn(Some(self.rows), self.splits, make)?
            .with_batch_rows(self.batch_rows)
            .with_event_time(move |index| EventTime(self.time(index)));
        Ok(match self.rate {
            Some(rate) => source.with_rate(rate),
            None => source,
        })
    }

    /// The records that it emits up to these positions.
    pub(super) fn records(&self, positions: &Positions) -> Vec<Record> {
        let splits = u64::from(self.splits);
        let is_read = |index: &u64| match positions {
            None => true,
            Some(read) => {
                let read = read.get((index % splits) as usize);
                index / splits < read.copied().unwrap_or_default()
            }
        };
        let read = (0..self.rows).filter(is_read);
        read.map(|index| self.record(index)).collect()
    }

    fn record(&self, index: u64) -> Record {
        let number = mix(index, self.salt);
        (number % self.keys, self.time(index), number >> 40)
    }

    fn time(&self, index: u64) -> i64 {
        index as i64 * self.time_step
    }
}
