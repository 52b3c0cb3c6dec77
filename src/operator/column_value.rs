//! One value of a column outside a batch: as it lies in state, and as it is shown.

use serde_json::Value;

use super::columns::canonical_float;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, EventTime};
use crate::state::rows::RowValue;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ColumnValue {
    Null,
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    String(String),
    /// Milliseconds since the Unix epoch.
    Timestamp(i64),
}

impl ColumnValue {
    /// What the bits of a number mean in a column of a type; a text has no bits, and is nothing here.
    pub(super) fn from_bits(column_type: ColumnType, bits: u64) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(bits != 0),
            ColumnType::Int64 => Self::Int64(bits as i64),
            ColumnType::Float64 => Self::Float64(f64::from_bits(bits)),
            ColumnType::Timestamp => Self::Timestamp(bits as i64),
            ColumnType::String => Self::Null,
        }
    }

    /// The bits of a number; nothing for null and for a text.
    pub(super) fn to_bits(&self) -> Option<u64> {
        match self {
            Self::Boolean(value) => Some(u64::from(*value)),
            Self::Int64(value) | Self::Timestamp(value) => Some(*value as u64),
            Self::Float64(value) => Some(value.to_bits()),
            Self::Null | Self::String(_) => None,
        }
    }

    /// The value as it is shown: a timestamp as text, everything else as JSON has it.
    pub(super) fn show(&self) -> RowValue {
        match self {
            Self::Null => RowValue::Null,
            Self::Boolean(value) => RowValue::Bool(*value),
            Self::Int64(value) => RowValue::Integer(i128::from(*value)),
            Self::Float64(value) => RowValue::from_float(*value),
            Self::String(text) => RowValue::Text(text.clone()),
            Self::Timestamp(millis) => match jiff::Timestamp::from_millisecond(*millis) {
                Ok(_) => RowValue::Text(EventTime(*millis).to_string()),
                // No calendar goes that far.
                Err(_) => RowValue::Integer(i128::from(*millis)),
            },
        }
    }

    /// Reads a value of a column as it is shown.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is none of this type.
    pub(super) fn parse(column_type: ColumnType, value: &Value) -> Result<Self> {
        let needed = || {
            let message = format!("a value of type {column_type} is needed, not {value}");
            Error::new(ErrorKind::Data, message)
        };
        let parsed = match (column_type, value) {
            (_, Value::Null) => Some(Self::Null),
            (ColumnType::Boolean, value) => value.as_bool().map(Self::Boolean),
            (ColumnType::Int64, value) => value.as_i64().map(Self::Int64),
            (ColumnType::Float64, Value::String(text)) => match text.as_str() {
                "NaN" | "inf" | "-inf" => text.parse().ok().map(Self::Float64),
                _ => None,
            },
            (ColumnType::Float64, value) => value.as_f64().map(Self::Float64),
            (ColumnType::String, value) => value.as_str().map(|text| Self::String(text.to_owned())),
            (ColumnType::Timestamp, Value::String(text)) => {
                let timestamp = text.parse::<jiff::Timestamp>().ok();
                timestamp.map(|timestamp| Self::Timestamp(timestamp.as_millisecond()))
            }
            (ColumnType::Timestamp, value) => value.as_i64().map(Self::Timestamp),
        };
        parsed.ok_or_else(needed)
    }

    /// Appends the value as a field of a key; see [`super::KeyEncoder`].
    pub(super) fn append_to_key(&self, key: &mut Vec<u8>) {
        key.push(u8::from(*self != Self::Null));
        match self {
            Self::Null => {}
            Self::Boolean(value) => key.push(u8::from(*value)),
            Self::Int64(value) | Self::Timestamp(value) => {
                key.extend_from_slice(&value.to_be_bytes());
            }
            Self::Float64(value) => {
                key.extend_from_slice(&canonical_float(*value).to_bits().to_be_bytes());
            }
            Self::String(text) => {
                // No text of a job is longer, and neither is a line that is read here.
                key.extend_from_slice(&(text.len() as u32).to_be_bytes());
                key.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// What a field of a key means, without the byte that says whether it is null.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the bytes are not a value of this type.
    pub(super) fn of_key_field(column_type: ColumnType, field: Option<&[u8]>) -> Result<Self> {
        let Some(field) = field else {
            return Ok(Self::Null);
        };
        let number = || field.try_into().map(u64::from_be_bytes).ok();
        let value = match column_type {
            ColumnType::Boolean => match field {
                [0] => Some(Self::Boolean(false)),
                [1] => Some(Self::Boolean(true)),
                _ => None,
            },
            ColumnType::String => {
                let text = std::str::from_utf8(field).ok();
                text.map(|text| Self::String(text.to_owned()))
            }
            _ => number().map(|bits| Self::from_bits(column_type, bits)),
        };
        let message =
            format!("a stored key is damaged: it has no {column_type} where one should be");
        value.ok_or_else(|| Error::new(ErrorKind::Corrupt, message))
    }
}
