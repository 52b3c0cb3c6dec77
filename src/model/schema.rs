//! The column types of TOML jobs, and how each is kept in Arrow.

use std::fmt;

use arrow_schema::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// The type of a column. Every column may hold nulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// `true` or `false`.
    Boolean,
    /// A signed 64-bit integer.
    Int64,
    /// A 64-bit floating-point number.
    Float64,
    /// UTF-8 text.
    String,
    /// Milliseconds since 1970-01-01T00:00:00Z; read and written as RFC 3339.
    Timestamp,
}

impl ColumnType {
    /// All types, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Boolean,
        Self::Int64,
        Self::Float64,
        Self::String,
        Self::Timestamp,
    ];

    /// The Arrow type that a column of this type has in a batch.
    pub fn to_arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        }
    }

    /// The type whose Arrow type this is, or nothing when no column of a TOML job has it.
    pub fn from_arrow(data_type: &DataType) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|column_type| column_type.to_arrow() == *data_type)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::String => "string",
            Self::Timestamp => "timestamp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_from_its_arrow_type() {
        for column_type in ColumnType::ALL {
            assert_eq!(
                ColumnType::from_arrow(&column_type.to_arrow()),
                Some(column_type)
            );
        }
        assert_eq!(ColumnType::from_arrow(&DataType::UInt8), None);
    }
}
