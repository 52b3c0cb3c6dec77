//! One value of a batch, on its way to text.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use serde::{Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};
use crate::model::ColumnType;

/// A column with its type known, so that its values are reached without a look at the type for each.
pub(super) enum ColumnView<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    String(&'a StringArray),
    Timestamp(&'a TimestampMillisecondArray),
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::connectors) enum Cell<'a> {
    Null,
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    String(&'a str),
    /// Milliseconds since the Unix epoch.
    Timestamp(i64),
}

impl<'a> ColumnView<'a> {
    /// All columns of `batch`.
    pub(super) fn of_batch(batch: &'a RecordBatch) -> Result<Vec<Self>> {
        let view = |(index, column): (usize, &'a arrow_array::ArrayRef)| {
            let column_type = ColumnType::from_arrow(column.data_type()).ok_or_else(|| {
                let name = batch.schema().field(index).name().clone();
                let found = column.data_type();
                Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "column \"{name}\" has the type {found}, which cannot be written as text"
                    ),
                )
            })?;
            Ok(Self::new(column.as_ref(), column_type))
        };
        batch.columns().iter().enumerate().map(view).collect()
    }

    fn new(column: &'a dyn Array, column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(column.as_boolean()),
            ColumnType::Int64 => Self::Int64(column.as_primitive::<Int64Type>()),
            ColumnType::Float64 => Self::Float64(column.as_primitive::<Float64Type>()),
            ColumnType::String => Self::String(column.as_string()),
            ColumnType::Timestamp => {
                Self::Timestamp(column.as_primitive::<TimestampMillisecondType>())
            }
        }
    }

    #[inline]
    pub(super) fn cell(&self, row: usize) -> Cell<'a> {
        match self {
            Self::Boolean(array) if array.is_valid(row) => Cell::Boolean(array.value(row)),
            Self::Int64(array) if array.is_valid(row) => Cell::Int64(array.value(row)),
            Self::Float64(array) if array.is_valid(row) => Cell::Float64(array.value(row)),
            Self::String(array) if array.is_valid(row) => Cell::String(array.value(row)),
            Self::Timestamp(array) if array.is_valid(row) => Cell::Timestamp(array.value(row)),
            _ => Cell::Null,
        }
    }
}

impl Cell<'_> {
    /// Appends the value as a CSV field holds it, before any quoting: a null is empty, a float has as many digits as
    /// it takes to read the same number back.
    pub(super) fn append_text(self, text: &mut Vec<u8>) {
        // Writing into memory does not fail.
        let _ = match self {
            Self::Null => Ok(()),
            Self::Boolean(value) => write!(text, "{value}"),
            Self::Int64(value) => write!(text, "{value}"),
            Self::Float64(value) => write!(text, "{value:?}"),
            Self::String(value) => {
                text.extend_from_slice(value.as_bytes());
                Ok(())
            }
            Self::Timestamp(millis) => match jiff::Timestamp::from_millisecond(millis) {
                Ok(timestamp) => write!(text, "{timestamp}"),
                // A time beyond the calendar is written as the number that it is, which a source reads back.
                Err(_) => write!(text, "{millis}"),
            },
        };
    }
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(value),
            Self::Int64(value) => serializer.serialize_i64(value),
            Self::Float64(value) => serializer.serialize_f64(value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Timestamp(millis) => match jiff::Timestamp::from_millisecond(millis) {
                Ok(timestamp) => serializer.collect_str(&timestamp),
                Err(_) => serializer.serialize_i64(millis),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cell: Cell<'_>, csv: &str, json: &str) {
        let mut text = Vec::new();
        cell.append_text(&mut text);
        assert_eq!(String::from_utf8(text).unwrap(), csv, "{cell:?}");
        assert_eq!(serde_json::to_string(&cell).unwrap(), json, "{cell:?}");
    }

    #[test]
    fn every_value_has_one_spelling_in_csv_and_one_in_json() {
        check(Cell::Null, "", "null");
        check(Cell::Boolean(true), "true", "true");
        check(
            Cell::Int64(i64::MIN),
            "-9223372036854775808",
            "-9223372036854775808",
        );
        check(
            Cell::Float64(0.1 + 0.2),
            "0.30000000000000004",
            "0.30000000000000004",
        );
        check(Cell::Float64(12.0), "12.0", "12.0");
        check(Cell::Float64(f64::NAN), "NaN", "null");
        check(Cell::String("a\"b\n"), "a\"b\n", r#""a\"b\n""#);
        check(
            Cell::Timestamp(1_357_034_400_250),
            "2013-01-01T10:00:00.25Z",
            "\"2013-01-01T10:00:00.25Z\"",
        );
        check(
            Cell::Timestamp(i64::MAX),
            "9223372036854775807",
            "9223372036854775807",
        );
    }
}
