//! From the rows of a batch to records.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};

use super::config::{KafkaSinkConfig, KeyFormat, ValueFields};
use super::record_log::Record;
use crate::connectors::format::{RowFormat, RowTexts};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ColumnType;

/// Makes records of rows.
#[derive(Debug)]
pub(super) struct RecordEncoder {
    config: KafkaSinkConfig,
    /// The columns of the last batch, and where each part of a record is found in them.
    places: Option<(SchemaRef, Places)>,
    values: RowTexts,
    keys: RowTexts,
    topics: RowTexts,
    headers: Vec<RowTexts>,
}

/// Where each part of a record is found in a batch.
#[derive(Clone, Debug)]
struct Places {
    key: Vec<usize>,
    value: Vec<usize>,
    /// The columns whose nulls make a row a tombstone.
    not_key: Vec<usize>,
    topic: Option<usize>,
    headers: Vec<usize>,
    timestamp: Option<usize>,
    partition: Option<usize>,
}

impl RecordEncoder {
    pub(super) fn new(config: KafkaSinkConfig) -> Self {
        let headers = config.headers.iter().map(|_| RowTexts::default());
        Self {
            headers: headers.collect(),
            config,
            places: None,
            values: RowTexts::default(),
            keys: RowTexts::default(),
            topics: RowTexts::default(),
        }
    }

    /// Checks that rows with these columns can be written.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], beginning with the key that names the column that is not there.
    pub(super) fn check(config: &KafkaSinkConfig, schema: &Schema) -> Result<()> {
        Places::find(config, schema).map(drop)
    }

    /// Hands each row of `batch` over as a record.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a column is missing; [`ErrorKind::Data`] when a row has no topic, or a partition that
    /// there cannot be; those of `take`.
    pub(super) fn encode(
        &mut self,
        batch: &RecordBatch,
        mut take: impl FnMut(&Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let places = self.places(batch.schema_ref())?;
        self.fill(&places, batch)?;
        let timestamps = places.timestamp.map(|index| {
            let column = batch.column(index);
            column.as_primitive::<TimestampMillisecondType>()
        });
        let partitions = places
            .partition
            .map(|index| batch.column(index).as_primitive::<Int64Type>());
        let is_null = |row: usize| {
            let mut columns = places.not_key.iter();
            columns.all(|index| batch.column(*index).is_null(row))
        };
        let names: Vec<&str> = self.config.headers.keys().map(String::as_str).collect();
        for row in 0..batch.num_rows() {
            let topic = match &self.config.topic {
                Some(topic) => topic,
                None => self.topic(row)?,
            };
            let is_tombstone = self.config.tombstones && is_null(row);
            let partition = partitions.filter(|partitions| partitions.is_valid(row));
            let partition = partition.map(|partitions| partition_of(partitions.value(row)));
            let timestamp = timestamps.filter(|timestamps| timestamps.is_valid(row));
            let headers = names.iter().zip(&self.headers);
            take(&Record {
                topic,
                partition: partition.transpose()?,
                timestamp: timestamp.map(|timestamps| timestamps.value(row)),
                key: self.keys.get(row),
                value: self.values.get(row).filter(|_| !is_tombstone),
                headers: headers
                    .map(|(name, values)| (*name, values.get(row)))
                    .collect(),
            })?;
        }
        Ok(())
    }

    fn places(&mut self, schema: &SchemaRef) -> Result<Places> {
        match &self.places {
            Some((known, places)) if known == schema => Ok(places.clone()),
            _ => {
                let places = Places::find(&self.config, schema)?;
                self.places = Some((SchemaRef::clone(schema), places.clone()));
                Ok(places)
            }
        }
    }

    /// Writes the texts of all rows.
    fn fill(&mut self, places: &Places, batch: &RecordBatch) -> Result<()> {
        let part = |columns: &[usize]| {
            let part = batch.project(columns);
            part.map_err(|error| Error::new(ErrorKind::Bug, "a column is gone").with_source(error))
        };
        self.values
            .fill(self.config.format, &part(&places.value)?)?;
        if !places.key.is_empty() {
            let key = part(&places.key)?;
            match self.config.key_format() {
                KeyFormat::Raw => self.keys.fill_raw(&key)?,
                KeyFormat::Csv => self.keys.fill(RowFormat::Csv, &key)?,
                KeyFormat::Json => self.keys.fill(RowFormat::Json, &key)?,
            }
        }
        if let Some(topic) = places.topic {
            self.topics.fill_raw(&part(&[topic])?)?;
        }
        for (column, texts) in places.headers.iter().zip(&mut self.headers) {
            texts.fill_raw(&part(&[*column])?)?;
        }
        Ok(())
    }

    fn topic(&self, row: usize) -> Result<&str> {
        let topic = self.topics.get(row).filter(|topic| !topic.is_empty());
        let topic = topic.and_then(|topic| std::str::from_utf8(topic).ok());
        topic.ok_or_else(|| {
            let column = self.config.topic_column.as_deref().unwrap_or_default();
            let message = format!("a row has no topic in the column \"{column}\"");
            Error::new(ErrorKind::Data, message)
        })
    }
}

impl Places {
    fn find(config: &KafkaSinkConfig, schema: &Schema) -> Result<Self> {
        let find = |key: &str, name: &String| {
            schema.index_of(name).map_err(|_| {
                let names: Vec<_> = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                let message = format!(
                    "{key}: there is no column \"{name}\"; there are {}",
                    names.join(", ")
                );
                Error::new(ErrorKind::Configuration, message)
            })
        };
        let find_of_type = |key: &str, name: &Option<String>, wanted: ColumnType| {
            let index = name.as_ref().map(|name| find(key, name)).transpose()?;
            match index {
                Some(index) => check_type(schema, key, index, wanted).map(|()| Some(index)),
                None => Ok(None),
            }
        };
        let key = config
            .key_fields
            .iter()
            .map(|name| find("key_fields", name));
        let key: Vec<usize> = key.collect::<Result<_>>()?;
        let all = 0..schema.fields().len();
        let not_key: Vec<usize> = all.clone().filter(|index| !key.contains(index)).collect();
        let headers = config.headers.iter();
        let headers = headers.map(|(name, column)| find(&format!("headers.{name}"), column));
        Ok(Self {
            value: match config.value_fields_include {
                ValueFields::All => all.collect(),
                ValueFields::ExceptKey => not_key.clone(),
            },
            headers: headers.collect::<Result<_>>()?,
            topic: find_of_type("topic_column", &config.topic_column, ColumnType::String)?,
            timestamp: find_of_type(
                "timestamp_column",
                &config.timestamp_column,
                ColumnType::Timestamp,
            )?,
            partition: find_of_type(
                "partition_column",
                &config.partition_column,
                ColumnType::Int64,
            )?,
            key,
            not_key,
        })
    }
}

fn check_type(schema: &Schema, key: &str, index: usize, wanted: ColumnType) -> Result<()> {
    let field = schema.field(index);
    let found: &DataType = field.data_type();
    if *found == wanted.to_arrow() {
        return Ok(());
    }
    let found = ColumnType::from_arrow(found).map_or_else(|| found.to_string(), |t| t.to_string());
    Err(Error::new(
        ErrorKind::Configuration,
        format!(
            "{key}: the column \"{}\" must be of type {wanted}, and is of type {found}",
            field.name()
        ),
    ))
}

fn partition_of(partition: i64) -> Result<i32> {
    i32::try_from(partition)
        .ok()
        .filter(|partition| *partition >= 0)
        .ok_or_else(|| {
            let message = format!("a row is for partition {partition}, which there cannot be");
            Error::new(ErrorKind::Data, message)
        })
}

#[cfg(test)]
mod tests;
