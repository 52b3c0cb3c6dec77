//! Columns that are no part of a record's value: Flink's metadata columns.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::model::ColumnType;

/// What a metadata column holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MetadataField {
    /// The record's topic, a string.
    Topic,
    /// The record's partition, an int64.
    Partition,
    /// The record's offset, an int64.
    Offset,
    /// The record's timestamp.
    Timestamp,
    /// The record's key, a string; null when it has none.
    Key,
    /// All headers as a JSON object of strings, in their order.
    Headers,
    /// One header by its name, a string; the last of several. Null when the record has none of that name.
    Header(String),
}

/// The names of metadata columns and what they hold, in the order in which they were written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataColumns(pub Vec<(String, MetadataField)>);

impl MetadataField {
    /// The type of the column.
    pub(super) fn column_type(&self) -> ColumnType {
        match self {
            Self::Topic | Self::Key | Self::Headers | Self::Header(_) => ColumnType::String,
            Self::Partition | Self::Offset => ColumnType::Int64,
            Self::Timestamp => ColumnType::Timestamp,
        }
    }
}

impl TryFrom<String> for MetadataField {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "timestamp" => Self::Timestamp,
            "key" => Self::Key,
            "headers" => Self::Headers,
            _ => match text.strip_prefix("headers.") {
                Some(name) if !name.is_empty() => Self::Header(name.to_owned()),
                _ => {
                    return Err(format!(
                        "\"{text}\" is not one of topic, partition, offset, timestamp, key, headers, headers.NAME"
                    ));
                }
            },
        })
    }
}

impl<'de> Deserialize<'de> for MetadataColumns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnsVisitor;
        impl<'de> Visitor<'de> for ColumnsVisitor {
            type Value = MetadataColumns;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table of column names, such as seen = \"timestamp\"")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetadataColumns, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(MetadataColumns(columns))
            }
        }
        deserializer.deserialize_map(ColumnsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_columns_are_read_in_order() {
        let text = "seen = 'timestamp'\nat = 'offset'\ntrace = 'headers.trace-id'\nall = 'headers'";
        let columns: MetadataColumns = toml::from_str(text).unwrap();
        let fields: Vec<_> = columns.0.into_iter().map(|(_, field)| field).collect();
        assert_eq!(
            fields,
            [
                MetadataField::Timestamp,
                MetadataField::Offset,
                MetadataField::Header("trace-id".into()),
                MetadataField::Headers,
            ]
        );
        let error = toml::from_str::<MetadataColumns>("a = 'ofset'").unwrap_err();
        assert!(
            error.to_string().contains("\"ofset\" is not one of topic"),
            "{error}"
        );
    }
}
