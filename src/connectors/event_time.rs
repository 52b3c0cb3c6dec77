//! Watermarks from a timestamp column.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use serde::{Deserialize, Serialize};

use super::format::Columns;
use crate::config::HumanDuration;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, EventTime};

/// Which column holds the event time, and how far out of order it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTimeConfig {
    /// The name of a timestamp column.
    pub column: String,
    /// How much older than the newest record before it a record can be.
    #[serde(default)]
    pub max_out_of_orderness: HumanDuration,
}

/// The column that holds the event time.
#[derive(Clone, Debug)]
pub(super) struct EventTimeColumn {
    column: usize,
    bound_millis: i64,
}

/// Follows the event time of batches: the watermark is the newest time seen less the bound.
#[derive(Debug)]
pub(super) struct WatermarkTracker {
    column: EventTimeColumn,
    watermark: EventTime,
}

impl EventTimeColumn {
    /// The column that `config` names, among `columns`.
    pub(super) fn new(config: &EventTimeConfig, columns: &Columns) -> Result<Self> {
        let invalid = |message| Err(Error::new(ErrorKind::Configuration, message));
        let name = &config.column;
        let Some(column) = columns.index_of(name) else {
            let names = columns.names();
            return invalid(format!(
                "event_time.column: there is no column \"{name}\"; the columns are {names}"
            ));
        };
        let column_type = columns.0[column].1;
        if column_type != ColumnType::Timestamp {
            return invalid(format!(
                "event_time.column: \"{name}\" must be a timestamp, and is declared as {column_type}"
            ));
        }
        let bound = config.max_out_of_orderness.0.as_millis();
        Ok(Self {
            column,
            bound_millis: i64::try_from(bound).unwrap_or(i64::MAX),
        })
    }

    /// The watermark after a batch alone; nothing when none of its records has a time.
    pub(super) fn watermark_of(&self, batch: &RecordBatch) -> Option<EventTime> {
        let times = batch
            .column(self.column)
            .as_primitive_opt::<TimestampMillisecondType>()?;
        let newest = times.iter().flatten().max()?;
        Some(EventTime(newest.saturating_sub(self.bound_millis)))
    }
}

impl WatermarkTracker {
    /// Follows the column that `config` names, among `columns`.
    pub(super) fn new(config: &EventTimeConfig, columns: &Columns) -> Result<Self> {
        Ok(Self {
            column: EventTimeColumn::new(config, columns)?,
            watermark: EventTime::MIN,
        })
    }

    /// Takes note of a batch. Returns the new watermark if it has advanced.
    pub(super) fn observe(&mut self, batch: &RecordBatch) -> Option<EventTime> {
        let watermark = self.column.watermark_of(batch)?;
        if watermark <= self.watermark {
            return None;
        }
        self.watermark = watermark;
        Some(watermark)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connectors::format::RowBuilder;

    fn columns() -> Columns {
        Columns(vec![
            ("name".into(), ColumnType::String),
            ("time".into(), ColumnType::Timestamp),
        ])
    }

    fn config(column: &str) -> EventTimeConfig {
        EventTimeConfig {
            column: column.into(),
            max_out_of_orderness: HumanDuration(Duration::from_millis(10)),
        }
    }

    #[test]
    fn the_watermark_trails_the_newest_time_and_never_goes_back() {
        let mut tracker = WatermarkTracker::new(&config("time"), &columns()).unwrap();
        let mut rows = RowBuilder::new(&columns(), &["".into()], 4);
        let mut check = |times: &[&str], expected: Option<i64>| {
            for time in times {
                rows.push_text(0, b"a").unwrap();
                rows.push_text(1, time.as_bytes()).unwrap();
                rows.end_row();
            }
            let watermark = tracker.observe(&rows.finish().unwrap());
            assert_eq!(watermark, expected.map(EventTime), "{times:?}");
        };
        check(&[""], None);
        check(&["100", "90", ""], Some(90));
        check(&["95"], None);
        check(&["101"], Some(91));
    }

    #[test]
    fn only_a_timestamp_column_can_be_the_event_time() {
        let check = |column: &str, problem: &str| {
            let error = WatermarkTracker::new(&config(column), &columns()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(problem), "{error}");
        };
        check("when", "the columns are name, time");
        check("name", "declared as string");
    }
}
