//! Columns of one of the built-in schemas.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow_schema::SchemaRef;

use super::SplitRange;
use super::key_value::KeyValue;
use super::market_signals::MarketSignals;
use super::source::GenerateRows;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, ColumnType, EventTime};

/// Makes the batches that a [`GeneratorConfig`](super::GeneratorConfig) describes.
pub struct ColumnsGenerator {
    schema: SchemaRef,
    records: Records,
    times: Times,
}

/// What is in the columns other than the time.
pub(super) enum Records {
    KeyValue(KeyValue),
    MarketSignals(MarketSignals),
}

/// The event time of each index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) start: EventTime,
    pub(super) step_micros: u64,
}

impl ColumnsGenerator {
    pub(super) fn new(schema: SchemaRef, records: Records, times: Times) -> Self {
        Self {
            schema,
            records,
            times,
        }
    }
}

impl GenerateRows for ColumnsGenerator {
    fn generate(&mut self, range: SplitRange) -> Result<Batch> {
        let mut columns = match &self.records {
            Records::KeyValue(records) => records.generate(range),
            Records::MarketSignals(records) => records.generate(range),
        };
        columns.push(self.times.column(range));
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(|error| {
            Error::new(ErrorKind::Bug, "generated columns do not match").with_source(error)
        })?;
        Ok(Batch::Columns(batch))
    }
}

impl Times {
    /// The time of the record with this index.
    #[inline]
    pub(super) fn of_index(self, index: u64) -> EventTime {
        let offset = (index.saturating_mul(self.step_micros) / 1000) as i64;
        EventTime(self.start.0.saturating_add(offset))
    }

    fn column(self, range: SplitRange) -> ArrayRef {
        let times: Vec<i64> = range
            .indexes()
            .map(|index| self.of_index(index).0)
            .collect();
        let data_type = ColumnType::Timestamp.to_arrow();
        Arc::new(TimestampMillisecondArray::from(times).with_data_type(data_type))
    }
}
