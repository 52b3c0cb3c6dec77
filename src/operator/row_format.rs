//! How the rows of one keyed state of a snapshot are shown, and read back: with the names of columns where the operator is
//! an aggregate, and by the schema alone everywhere else.

use serde_json::{Map, Value};

use super::aggregate::AggregateRows;
use super::column_key::take_field;
use super::column_value::ColumnValue;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, OperatorId};
use crate::snapshot::Manifest;
use crate::state::StateDescriptor;
use crate::state::rows::{Cell, DecodedValue, RowValue, StateCodec, ValueCodec};

/// Shows the keys and values of one keyed state, and reads them back.
#[derive(Clone, Debug)]
pub struct RowFormat {
    codec: StateCodec,
    aggregate: Option<AggregateRows>,
}

impl RowFormat {
    /// The format of a state of an operator, as far as the manifest says it.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the descriptor does not say how large its records are.
    pub fn new(
        manifest: &Manifest,
        operator: &OperatorId,
        state: &str,
        descriptor: &StateDescriptor,
    ) -> Result<Self> {
        let is_aggregate = |id: &OperatorId| {
            let mut operators = manifest.graph.iter();
            operators.any(|found| found.id == *id && found.type_name == "aggregate")
        };
        let entry = manifest.operators.get(operator);
        let mut items = entry
            .filter(|_| is_aggregate(operator))
            .into_iter()
            .flat_map(|entry| &entry.subtasks)
            .flat_map(|subtask| &subtask.items);
        Ok(Self {
            codec: StateCodec::new(descriptor)?,
            aggregate: items.find_map(|item| AggregateRows::new(state, item)),
        })
    }

    /// How the bytes are taken apart.
    pub fn codec(&self) -> &StateCodec {
        &self.codec
    }

    /// The names of the fields of a key, if it is shown as an object.
    pub fn key_names(&self) -> Option<Vec<String>> {
        match &self.aggregate {
            Some(aggregate) => Some(aggregate.key.iter().map(|(name, _)| name.clone()).collect()),
            None => owned(self.codec.key().field_names()),
        }
    }

    /// The names of the fields of a map key, if it is shown as an object.
    pub fn map_key_names(&self) -> Option<Vec<String>> {
        match &self.aggregate {
            Some(aggregate) => aggregate
                .map_key
                .iter()
                .map(|(name, _)| Some(name.clone()))
                .collect(),
            None => owned(self.codec.map_key().and_then(ValueCodec::field_names)),
        }
    }

    /// The names of the fields of a value, if it is shown as an object.
    pub fn value_names(&self) -> Option<Vec<String>> {
        match &self.aggregate {
            Some(aggregate) => Some(aggregate.value_names()),
            None => owned(self.codec.value().field_names()),
        }
    }

    /// A key.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the bytes are none.
    pub fn show_key(&self, stored: &[u8]) -> Result<RowValue> {
        let shown = self.codec.key().decode(stored)?;
        match &self.aggregate {
            Some(aggregate) => show_columns(&aggregate.key, shown),
            None => Ok(shown),
        }
    }

    /// A map key.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the bytes are none.
    pub fn show_map_key(&self, stored: &[u8]) -> Result<RowValue> {
        let shown = self.map_key_codec()?.decode(stored)?;
        match &self.aggregate {
            Some(aggregate) => show_columns(aggregate.map_key.as_slice(), shown),
            None => Ok(shown),
        }
    }

    /// A value.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the bytes are none.
    pub fn show_value(&self, stored: &[u8]) -> Result<DecodedValue> {
        let decoded = self.codec.decode_value(stored)?;
        Ok(match &self.aggregate {
            Some(aggregate) => DecodedValue {
                value: aggregate.show_value(decoded.value)?,
                ..decoded
            },
            None => decoded,
        })
    }

    /// The bytes of a key.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is none of this state.
    pub fn store_key(&self, key: &Value) -> Result<Vec<u8>> {
        match &self.aggregate {
            Some(aggregate) => store_columns(&aggregate.key, key, self.codec.key()),
            None => self.codec.key().encode(key),
        }
    }

    /// The bytes of a map key.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is none of this state.
    pub fn store_map_key(&self, map_key: &Value) -> Result<Vec<u8>> {
        let codec = self.map_key_codec()?;
        match &self.aggregate {
            Some(aggregate) => store_columns(aggregate.map_key.as_slice(), map_key, codec),
            None => codec.encode(map_key),
        }
    }

    /// The bytes of a value; in a state with a time-to-live its end must be given, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is none of this state.
    pub fn store_value(&self, value: &Value, expires_unix_millis: Option<i64>) -> Result<Vec<u8>> {
        let stored = match &self.aggregate {
            Some(aggregate) => &aggregate.store_value(value)?,
            None => value,
        };
        self.codec.encode_value(stored, expires_unix_millis)
    }

    /// A key whose cells are those of a table with [`RowFormat::key_names`].
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is another number of cells.
    pub fn key_of_cells(&self, cells: &[Cell]) -> Result<Value> {
        match &self.aggregate {
            Some(aggregate) => value_of_columns(&aggregate.key, cells),
            None => self.codec.key().value_of_cells(cells),
        }
    }

    /// A map key whose cells are those of a table with [`RowFormat::map_key_names`].
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is another number of cells.
    pub fn map_key_of_cells(&self, cells: &[Cell]) -> Result<Value> {
        match &self.aggregate {
            Some(aggregate) => value_of_columns(aggregate.map_key.as_slice(), cells),
            None => self.map_key_codec()?.value_of_cells(cells),
        }
    }

    /// A value whose cells are those of a table with [`RowFormat::value_names`].
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is another number of cells.
    pub fn value_of_cells(&self, cells: &[Cell]) -> Result<Value> {
        match &self.aggregate {
            Some(aggregate) => value_of_columns(&aggregate.value_columns(), cells),
            None => self.codec.value().value_of_cells(cells),
        }
    }

    /// The bytes of a key that a person typed: JSON, or a bare text where the key is one. A key of one column can be typed
    /// without the name of the column.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when it is none of this state.
    pub fn parse_key(&self, typed: &str) -> Result<Vec<u8>> {
        let stored = match &self.aggregate {
            Some(aggregate) => self.store_key(&parse_columns(&aggregate.key, typed)?),
            None => self.codec.key().encode(&self.codec.key().parse(typed)?),
        };
        stored.map_err(|error| {
            let message = format!("--key {typed}: {error}");
            Error::new(ErrorKind::Configuration, message)
        })
    }

    fn map_key_codec(&self) -> Result<&ValueCodec> {
        self.codec.map_key().ok_or_else(|| {
            Error::new(
                ErrorKind::Data,
                "the state has no map keys: leave \"map_key\" out",
            )
        })
    }
}

fn owned(names: Option<Vec<&str>>) -> Option<Vec<String>> {
    names.map(|names| names.into_iter().map(str::to_owned).collect())
}

/// The columns of a key, of which `stored` is the archive: a list of bytes.
fn show_columns(columns: &[(String, ColumnType)], stored: RowValue) -> Result<RowValue> {
    let damaged = || {
        Error::new(
            ErrorKind::Corrupt,
            "a stored key is damaged: it has no columns",
        )
    };
    let RowValue::List(bytes) = stored else {
        return Err(damaged());
    };
    let bytes: Option<Vec<u8>> = bytes
        .iter()
        .map(|byte| match byte {
            RowValue::Integer(byte) => u8::try_from(*byte).ok(),
            _ => None,
        })
        .collect();
    let bytes = bytes.ok_or_else(damaged)?;
    let mut rest = bytes.as_slice();
    let mut fields = Vec::with_capacity(columns.len());
    for (name, column_type) in columns {
        let field = take_field(&mut rest, *column_type)?;
        let value = ColumnValue::of_key_field(*column_type, field)?;
        fields.push((name.clone(), value.show()));
    }
    if rest.is_empty() {
        Ok(RowValue::Record(fields))
    } else {
        Err(damaged())
    }
}

fn store_columns(
    columns: &[(String, ColumnType)],
    key: &Value,
    codec: &ValueCodec,
) -> Result<Vec<u8>> {
    let wrong = |message: String| Error::new(ErrorKind::Data, message);
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let fields = key
        .as_object()
        .filter(|fields| fields.len() == columns.len())
        .ok_or_else(|| {
            let names = names.join(", ");
            wrong(format!("an object with {names} is needed, not {key}"))
        })?;
    let mut bytes = Vec::new();
    for (name, column_type) in columns {
        let field = fields
            .get(name)
            .ok_or_else(|| wrong(format!("the column \"{name}\" is missing")))?;
        let value = ColumnValue::parse(*column_type, field);
        value
            .map_err(|error| error.context(name))?
            .append_to_key(&mut bytes);
    }
    codec.encode(&Value::from(bytes))
}

/// The object that these cells show, one for each column.
fn value_of_columns(columns: &[(String, ColumnType)], cells: &[Cell]) -> Result<Value> {
    if columns.len() != cells.len() {
        let message = format!("{} cells are not {} columns", cells.len(), columns.len());
        return Err(Error::new(ErrorKind::Data, message));
    }
    let fields = columns
        .iter()
        .zip(cells)
        .map(|((name, column_type), cell)| {
            let value = match column_type {
                // A text that looks like a number is a text all the same.
                ColumnType::String => cell.to_text_value(),
                _ => cell.to_json_value(),
            };
            (name.clone(), value)
        });
    Ok(Value::Object(fields.collect()))
}

/// A key of columns that a person typed.
fn parse_columns(columns: &[(String, ColumnType)], typed: &str) -> Result<Value> {
    let json: Option<Value> = serde_json::from_str(typed).ok();
    let [(name, column_type)] = columns else {
        return json.ok_or_else(|| {
            let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!(
                "\"{typed}\" is not JSON: the key has the columns {}, name each as in {{\"{}\": ...}}",
                names.join(", "),
                names.first().copied().unwrap_or_default()
            );
            Error::new(ErrorKind::Configuration, message)
        });
    };
    let value = match json {
        Some(Value::Object(fields)) => return Ok(Value::Object(fields)),
        // A text that looks like a number is a text all the same.
        Some(Value::String(text)) => Value::String(text),
        _ if *column_type == ColumnType::String => Value::String(typed.to_owned()),
        Some(value) => value,
        None => Value::String(typed.to_owned()),
    };
    Ok(Value::Object(Map::from_iter([(name.clone(), value)])))
}
