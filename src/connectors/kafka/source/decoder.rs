//! Records to rows.

use serde::ser::{SerializeMap, Serializer};

use super::chunk::{Chunk, Record, WantedParts};
use super::config::{KafkaSourceConfig, Tombstones, ValueFormat};
use super::csv_fields::CsvFields;
use super::metadata_columns::MetadataField;
use super::topic_partition::TopicPartition;
use crate::connectors::format::{Cell, JsonObjects, RowBuilder, RowProblem};
use crate::error::Result;

/// Makes rows of records: first the columns of the value, then the metadata columns.
pub(super) struct Decoder {
    values: ValueReader,
    value_columns: usize,
    metadata: Vec<(String, MetadataField)>,
    keep_tombstones: bool,
}

enum ValueReader {
    Json(JsonObjects),
    Csv(CsvFields),
    Raw(String),
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A row was added.
    Row,
    /// It is a tombstone, which nobody wants.
    Skipped,
    /// It cannot be used; a rejected row was added.
    Bad(RowProblem),
}

impl Decoder {
    /// Makes what `config` describes.
    pub(super) fn new(config: &KafkaSourceConfig) -> Result<Self> {
        let columns = &config.columns;
        Ok(Self {
            values: match config.format {
                ValueFormat::Json => ValueReader::Json(JsonObjects::new(columns)),
                ValueFormat::Csv => {
                    ValueReader::Csv(CsvFields::new(columns, config.delimiter_byte()?))
                }
                ValueFormat::Raw => ValueReader::Raw(columns.names()),
            },
            value_columns: columns.0.len(),
            metadata: config.metadata.0.clone(),
            keep_tombstones: config.tombstones == Tombstones::Keep,
        })
    }

    /// Which parts of records have to be fetched.
    pub(super) fn wanted_parts(&self) -> WantedParts {
        let any = |wanted: fn(&MetadataField) -> bool| {
            self.metadata.iter().any(|(_, field)| wanted(field))
        };
        WantedParts {
            key: any(|field| *field == MetadataField::Key),
            headers: any(|field| {
                matches!(field, MetadataField::Headers | MetadataField::Header(_))
            }),
        }
    }

    /// Adds the record at `index` of `chunk` to `rows`.
    #[inline]
    pub(super) fn decode(
        &mut self,
        chunk: &Chunk,
        index: usize,
        record: Record<'_>,
        partition: &TopicPartition,
        rows: &mut RowBuilder,
    ) -> Decoded {
        let read = match record.value {
            Some(value) => self.values.read(value, rows),
            None if self.keep_tombstones => {
                (0..self.value_columns).for_each(|column| rows.push_cell(column, Cell::Null));
                Ok(())
            }
            None => return Decoded::Skipped,
        };
        let read = read.and_then(|()| self.push_metadata(chunk, index, record, partition, rows));
        match read {
            Ok(()) => {
                rows.end_row();
                Decoded::Row
            }
            Err(problem) => {
                rows.reject_row();
                Decoded::Bad(problem)
            }
        }
    }

    fn push_metadata(
        &self,
        chunk: &Chunk,
        index: usize,
        record: Record<'_>,
        partition: &TopicPartition,
        rows: &mut RowBuilder,
    ) -> Result<(), RowProblem> {
        for (position, (name, field)) in self.metadata.iter().enumerate() {
            let column = self.value_columns + position;
            let text = |bytes: Option<&[u8]>, rows: &mut RowBuilder| match bytes {
                None => {
                    rows.push_cell(column, Cell::Null);
                    Ok(())
                }
                Some(bytes) => {
                    let text = std::str::from_utf8(bytes)
                        .map_err(|_| RowProblem::of_column(name, "not valid UTF-8"))?;
                    rows.push_cell(column, Cell::String(text));
                    Ok(())
                }
            };
            match field {
                MetadataField::Topic => rows.push_cell(column, Cell::String(&partition.topic)),
                MetadataField::Partition => {
                    rows.push_cell(column, Cell::Int64(partition.partition.into()));
                }
                MetadataField::Offset => rows.push_cell(column, Cell::Int64(record.offset)),
                MetadataField::Timestamp => {
                    let cell = record.timestamp.map_or(Cell::Null, Cell::Timestamp);
                    rows.push_cell(column, cell);
                }
                MetadataField::Key => text(record.key, rows)?,
                MetadataField::Header(wanted) => {
                    let mut headers = chunk.headers(index);
                    let header = headers.rfind(|(name, _)| name == wanted);
                    text(header.and_then(|(_, value)| value), rows)?;
                }
                MetadataField::Headers => {
                    let json = headers_json(chunk, index, name)?;
                    rows.push_cell(column, Cell::String(&json));
                }
            }
        }
        Ok(())
    }
}

impl ValueReader {
    #[inline]
    fn read(&mut self, value: &[u8], rows: &mut RowBuilder) -> Result<(), RowProblem> {
        match self {
            Self::Json(objects) => objects.read(value, rows),
            Self::Csv(fields) => fields.read(value, rows),
            Self::Raw(column) => {
                let text = std::str::from_utf8(value)
                    .map_err(|_| RowProblem::of_column(column, "not valid UTF-8"))?;
                rows.push_cell(0, Cell::String(text));
                Ok(())
            }
        }
    }
}

/// All headers of a record as the text of a JSON object.
fn headers_json(chunk: &Chunk, index: usize, column: &str) -> Result<String, RowProblem> {
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut write = || {
        let mut object = serializer.serialize_map(None)?;
        for (name, value) in chunk.headers(index) {
            let value = value.map(std::str::from_utf8).transpose();
            object.serialize_entry(name, &value.map_err(serde::ser::Error::custom)?)?;
        }
        object.end()
    };
    let written: serde_json::Result<()> = write();
    written.map_err(|_| RowProblem::of_column(column, "a header is not valid UTF-8"))?;
    String::from_utf8(json).map_err(|_| RowProblem::of_column(column, "not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::format::RowWriter;

    fn config(text: &str) -> KafkaSourceConfig {
        let text = format!("brokers = 'a:1'\ntopics = ['in']\n{text}");
        toml::from_str(&text).unwrap()
    }

    /// What becomes of one record, as JSON.
    fn check(config_text: &str, value: Option<&str>, expected: &str) {
        let config = config(config_text);
        let schema = config.all_columns();
        let mut decoder = Decoder::new(&config).unwrap();
        let mut rows = RowBuilder::new(&schema, &config.null_markers(), 1);
        let mut chunk = Chunk::of(0);
        let record = Record {
            offset: 42,
            timestamp: Some(1_357_034_400_000),
            key: Some(b"NA"),
            value: value.map(str::as_bytes),
        };
        chunk.push(
            record,
            [("a", Some(&b"1"[..])), ("b", None), ("a", Some(b"2"))],
        );
        let partition = TopicPartition {
            topic: "in".into(),
            partition: 3,
        };
        let record = chunk.record(0).unwrap();
        let found = match decoder.decode(&chunk, 0, record, &partition, &mut rows) {
            Decoded::Skipped => "skipped".to_owned(),
            Decoded::Bad(problem) => {
                assert_eq!(rows.finish().unwrap().num_rows(), 0);
                problem.to_string()
            }
            Decoded::Row => {
                let format = crate::connectors::RowFormat::Json;
                let mut writer = RowWriter::new(format, Vec::new(), false, "memory");
                writer.write(&rows.finish().unwrap()).unwrap();
                writer.flush().unwrap();
                String::from_utf8(writer.destination().clone()).unwrap()
            }
        };
        assert_eq!(found.trim_end(), expected, "{config_text}: {value:?}");
    }

    #[test]
    fn values_of_each_format_become_columns() {
        let json = "format = 'json'\ncolumns = { n = 'int64', s = 'string' }";
        check(
            json,
            Some("{\"s\":\"x\",\"n\":1,\"z\":0}"),
            "{\"n\":1,\"s\":\"x\"}",
        );
        check(json, Some("{}"), "{\"n\":null,\"s\":null}");
        check(
            json,
            Some("{\"n\":1.5}"),
            "column \"n\": 1.5 is not an int64",
        );
        check(
            json,
            Some("17"),
            "the row is not a JSON object: invalid type: integer `17`, expected an object at line 1 column 2",
        );
        let csv = "format = 'csv'\nnull = ['NA']\ncolumns = { n = 'int64', s = 'string' }";
        check(csv, Some("7,NA"), "{\"n\":7,\"s\":null}");
        check(
            "format = 'raw'\ncolumns = { s = 'string' }",
            Some("a,\"b\""),
            "{\"s\":\"a,\\\"b\\\"\"}",
        );
    }

    #[test]
    fn metadata_stands_behind_the_value() {
        let text = "format = 'csv'\nnull = ['NA']\ncolumns = { n = 'int64' }
            metadata = { t = 'topic', p = 'partition', o = 'offset', k = 'key', h = 'headers.a', x = 'headers.x', at = 'timestamp', all = 'headers' }";
        check(
            text,
            Some("1"),
            "{\"n\":1,\"t\":\"in\",\"p\":3,\"o\":42,\"k\":\"NA\",\"h\":\"2\",\"x\":null,\"at\":\"2013-01-01T10:00:00Z\",\
             \"all\":\"{\\\"a\\\":\\\"1\\\",\\\"b\\\":null,\\\"a\\\":\\\"2\\\"}\"}",
        );
    }

    #[test]
    fn a_tombstone_is_skipped_unless_it_is_wanted() {
        let text = "format = 'json'\ncolumns = { n = 'int64' }\nmetadata = { k = 'key' }";
        check(text, None, "skipped");
        let keep = format!("{text}\ntombstones = 'keep'");
        check(&keep, None, "{\"n\":null,\"k\":\"NA\"}");
    }

    #[test]
    fn only_the_parts_that_somebody_wants_are_fetched() {
        let parts = |metadata: &str| {
            let text = format!("format = 'raw'\ncolumns = {{ s = 'string' }}\n{metadata}");
            Decoder::new(&config(&text)).unwrap().wanted_parts()
        };
        let wanted = |key, headers| WantedParts { key, headers };
        assert_eq!(parts("metadata = { o = 'offset' }"), wanted(false, false));
        assert_eq!(parts("metadata = { k = 'key' }"), wanted(true, false));
        assert_eq!(parts("metadata = { h = 'headers.a' }"), wanted(false, true));
    }
}
