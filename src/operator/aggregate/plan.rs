//! An aggregate operator's settings, checked against the schema of its input.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};

use super::config::AggregateConfig;
use super::function::{Function, parse_call};
use super::schema::AggregateSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ColumnType;
use crate::operator::column_key::KeyEncoder;
use crate::operator::columns::{ColumnRef, find_column};
use crate::state::StateTtl;

/// What an aggregate operator does, with every column found and every type known.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Encodes the key columns, and after them the map key if there is one.
    pub(super) encoder: KeyEncoder,
    /// Where the encoder's columns stand in the input.
    pub(super) key_columns: Vec<ColumnRef>,
    /// Whether the last of those columns is the map key.
    pub(super) has_map_key: bool,
    /// How long a key is kept after its last row; for ever if nothing is said.
    pub(super) time_to_live: Option<StateTtl>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) output_schema: SchemaRef,
}

/// One aggregate: a function over a column, and where its state lies.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) name: String,
    pub(super) function: Function,
    /// The function with the column and its type, as in `max(delay float64)`.
    pub(super) call: String,
    /// The column it is over; nothing for `count()`.
    pub(super) input: Option<ColumnRef>,
    pub(super) output_type: ColumnType,
    pub(super) place: Place,
}

/// Where the state of an aggregate lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The number of its cell among the key's cells.
    Number(usize),
    /// The number of its text among the key's texts: a value of varying size has no cell.
    Text(usize),
}

impl Plan {
    /// Checks `config` against the schema of the input.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], with the setting at fault before the message.
    pub(super) fn new(config: &AggregateConfig, input: &Schema) -> Result<Self> {
        let (names, key_columns) = find_key(config, input)?;
        let time_to_live = config.ttl.map(|ttl| StateTtl::new(ttl.0));
        if time_to_live.is_some_and(|ttl| ttl.duration.as_millis() == 0) {
            return Err(invalid("ttl: at least a millisecond is needed"));
        }
        if config.aggregates.is_empty() {
            return Err(invalid("aggregates: at least one is needed"));
        }
        let mut fields: Vec<Field> = key_columns
            .iter()
            .map(|column| input.field(column.index).clone())
            .collect();
        let mut aggregates = Vec::with_capacity(config.aggregates.len());
        let (mut numbers, mut texts) = (0, 0);
        for (name, text) in &config.aggregates {
            let aggregate = Aggregate::new(name, text, input, &mut numbers, &mut texts)
                .map_err(|error| error.context(format!("aggregates.{name}")))?;
            if names.contains(&name.as_str()) {
                return Err(invalid(format!(
                    "aggregates.{name}: the key has a column of this name, choose another"
                )));
            }
            fields.push(Field::new(name, aggregate.output_type.to_arrow(), true));
            aggregates.push(aggregate);
        }
        Ok(Self {
            encoder: KeyEncoder::new(input, &names)?,
            key_columns,
            has_map_key: config.map_key.is_some(),
            time_to_live,
            aggregates,
            output_schema: Arc::new(Schema::new(fields)),
        })
    }

    /// What decides how the state is to be read.
    pub(super) fn state_schema(&self) -> AggregateSchema {
        let fields = self.output_schema.fields().iter();
        let mut key: Vec<String> = fields
            .zip(&self.key_columns)
            .map(|(field, column)| format!("{} {}", field.name(), column.column_type))
            .collect();
        let map_key = key.split_off(self.key_len()).pop();
        let aggregates = self.aggregates.iter();
        AggregateSchema {
            key,
            map_key,
            aggregates: aggregates.map(|aggregate| aggregate.call.clone()).collect(),
        }
    }

    /// How many columns the key has, the map key not counted.
    pub(super) fn key_len(&self) -> usize {
        self.key_columns.len() - usize::from(self.has_map_key)
    }

    /// How many cells each key has.
    pub(super) fn numbers_len(&self) -> usize {
        self.aggregates.len() - self.texts_len()
    }

    /// How many texts each key has.
    pub(super) fn texts_len(&self) -> usize {
        self.aggregates
            .iter()
            .filter(|aggregate| matches!(aggregate.place, Place::Text(_)))
            .count()
    }
}

impl Aggregate {
    fn new(
        name: &str,
        text: &str,
        schema: &Schema,
        numbers: &mut usize,
        texts: &mut usize,
    ) -> Result<Self> {
        let (function, column) = parse_call(text)?;
        let input = column
            .map(|column| find_column(schema, column))
            .transpose()?;
        let output_type = match (input, column) {
            (Some(input), Some(column)) => {
                function.output_type(input.column_type).ok_or_else(|| {
                    invalid(format!(
                        "{function} takes {}, but column \"{column}\" is {}",
                        function.input_types(),
                        input.column_type
                    ))
                })?
            }
            _ => ColumnType::Int64,
        };
        let call = match (input, column) {
            (Some(input), Some(column)) => format!("{function}({column} {})", input.column_type),
            _ => format!("{function}()"),
        };
        let (place, taken) = if output_type == ColumnType::String {
            (Place::Text(*texts), texts)
        } else {
            (Place::Number(*numbers), numbers)
        };
        *taken += 1;
        Ok(Self {
            name: name.to_owned(),
            function,
            call,
            input,
            output_type,
            place,
        })
    }
}

/// The names and places of the key columns and, last, of the map key.
fn find_key<'a>(
    config: &'a AggregateConfig,
    input: &Schema,
) -> Result<(Vec<&'a str>, Vec<ColumnRef>)> {
    if config.key.is_empty() {
        return Err(invalid("key: at least one column is needed"));
    }
    let keys = config.key.iter().map(|name| ("key", name));
    let map_key = config.map_key.iter().map(|name| ("map_key", name));
    let mut names: Vec<&str> = Vec::new();
    let mut columns = Vec::new();
    for (setting, name) in keys.chain(map_key) {
        columns.push(find_column(input, name).map_err(|error| error.context(setting))?);
        if names.contains(&name.as_str()) {
            return Err(invalid(format!(
                "{setting}: column \"{name}\" is named twice"
            )));
        }
        names.push(name);
    }
    Ok((names, columns))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}
