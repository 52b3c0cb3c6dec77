//! What the keys and the values of one state look like, as far as its descriptor says it.

use std::cmp::Ordering;

use serde_json::Value;

use super::cell::Cell;
use super::decode::{decode, decode_expiring};
use super::encode::{Encoder, encode, encode_expiring, unexpected, wrong};
use super::row_value::RowValue;
use super::value_schema::{ValueSchema, split_size};
use crate::error::{Error, ErrorKind, Result};
use crate::state::archive::{ARCHIVE_ALIGNMENT, split_entry_key};
use crate::state::descriptor::{RecordFormat, StateDescriptor};
use crate::state::piece::corrupt;

/// Reads and writes the keys and values of one state.
#[derive(Clone, Debug)]
pub struct StateCodec {
    format: RecordFormat,
    key: ValueCodec,
    /// Of what tells the records of one key apart.
    map_key: Option<ValueCodec>,
    value: ValueCodec,
    time_to_live: bool,
}

/// Reads and writes one sort of bytes: keys, or values.
#[derive(Clone, Debug)]
pub struct ValueCodec {
    text: String,
    /// Nothing when the text says nothing that is understood here.
    schema: Option<ValueSchema>,
    /// How many bytes it has where all have the same number.
    size: Option<usize>,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedValue {
    /// The value.
    pub value: RowValue,
    /// In a state with a time-to-live, when the value's time is over: milliseconds since the Unix epoch.
    pub expires_unix_millis: Option<i64>,
}

impl StateCodec {
    /// Reads what a descriptor says.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the records have a fixed size and the descriptor does not say which.
    pub fn new(descriptor: &StateDescriptor) -> Result<Self> {
        let codec = Self {
            format: descriptor.record_format,
            key: ValueCodec::new(&descriptor.key_schema),
            map_key: descriptor.map_key_schema.as_deref().map(ValueCodec::new),
            value: ValueCodec::new(&descriptor.value_schema),
            time_to_live: descriptor.time_to_live,
        };
        if codec.format == RecordFormat::Fixed {
            codec.fixed_sizes()?;
        }
        Ok(codec)
    }

    /// Reads and writes keys.
    pub fn key(&self) -> &ValueCodec {
        &self.key
    }

    /// Reads and writes what tells the records of one key apart, if there can be several.
    pub fn map_key(&self) -> Option<&ValueCodec> {
        self.map_key.as_ref()
    }

    /// Reads and writes values, without their ends if they have any.
    pub fn value(&self) -> &ValueCodec {
        &self.value
    }

    /// Whether values lie with their ends.
    pub fn has_time_to_live(&self) -> bool {
        self.time_to_live
    }

    /// Which schemas say nothing that is understood: those bytes are shown as they are.
    pub fn opaque_schemas(&self) -> Vec<&str> {
        [Some(&self.key), self.map_key.as_ref(), Some(&self.value)]
            .into_iter()
            .flatten()
            .filter(|codec| codec.schema.is_none())
            .map(|codec| codec.text.as_str())
            .collect()
    }

    /// How many bytes the key and the value of each record have, where all have the same number.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the descriptor does not say it.
    pub(super) fn fixed_sizes(&self) -> Result<(usize, usize)> {
        let size = |codec: &ValueCodec| {
            codec.size.ok_or_else(|| {
                corrupt(format!("the schema \"{}\" does not say a size", codec.text))
            })
        };
        let map_key = self.map_key.as_ref().map_or(Ok(0), size)?;
        let key = size(&self.key)?.checked_add(map_key);
        let key = key.ok_or_else(|| corrupt("the schema of the key is too large"))?;
        Ok((key, size(&self.value)?))
    }

    /// Checks that a stored key and value have the sizes that all have.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when they have not; [`ErrorKind::Corrupt`] when the sizes are not known.
    pub(super) fn check_fixed(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.fixed_sizes()? == (key.len(), value.len()) {
            return Ok(());
        }
        Err(wrong(format!(
            "a key of {} bytes and a value of {} are not of the size that all records of the state have",
            key.len(),
            value.len()
        )))
    }

    /// The format of the records.
    pub(super) fn format(&self) -> RecordFormat {
        self.format
    }

    /// Takes the stored key of a record apart: the key's archive, and that of the map key.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it has not the length that it should.
    pub fn split_key<'a>(&self, stored: &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>)> {
        if self.map_key.is_none() {
            return Ok((stored, None));
        }
        let split = match self.format {
            RecordFormat::Fixed => self.key.size.and_then(|size| stored.split_at_checked(size)),
            RecordFormat::Variable => split_entry_key(stored),
        };
        let (key, map_key) = split.ok_or_else(|| corrupt("a map's key has a wrong length"))?;
        Ok((key, Some(map_key)))
    }

    /// Puts the archives of a key and of a map key together, as they are stored.
    pub fn join_key(&self, key: &[u8], map_key: Option<&[u8]>) -> Vec<u8> {
        let mut stored = key.to_vec();
        let Some(map_key) = map_key else {
            return stored;
        };
        match self.format {
            RecordFormat::Fixed => stored.extend_from_slice(map_key),
            RecordFormat::Variable => {
                let start = key.len().next_multiple_of(ARCHIVE_ALIGNMENT);
                stored.resize(start, 0);
                stored.extend_from_slice(map_key);
                stored.extend_from_slice(&(key.len() as u32).to_le_bytes());
            }
        }
        stored
    }

    /// Makes the bytes of a value, with its end in a state with a time-to-live.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is not a value of the schema, when there is no end and one is needed or the reverse,
    /// and when the records have a fixed size and this value has another.
    pub fn encode_value(&self, value: &Value, expires_unix_millis: Option<i64>) -> Result<Vec<u8>> {
        let bytes = match (self.time_to_live, expires_unix_millis, &self.value.schema) {
            (true, Some(end), Some(schema)) => encode_expiring(schema, value, end)?,
            (true, None, Some(_)) => {
                return Err(wrong(
                    "the state has a time-to-live, and \"expires_at\" is missing",
                ));
            }
            (false, Some(_), _) => {
                return Err(wrong(
                    "the state has no time-to-live: leave \"expires_at\" out",
                ));
            }
            (true, Some(_), None) => {
                return Err(wrong(
                    "the end of a value in hex is within the value: leave \"expires_at\" out",
                ));
            }
            (false, None, _) | (true, None, None) => self.value.encode(value)?,
        };
        if self.format == RecordFormat::Fixed && Some(bytes.len()) != self.value.size {
            return Err(wrong(format!(
                "{} bytes are not the size of {}",
                bytes.len(),
                self.value.text
            )));
        }
        Ok(bytes)
    }

    /// Reads a stored value.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the bytes are not a value of the schema.
    pub fn decode_value(&self, stored: &[u8]) -> Result<DecodedValue> {
        match &self.value.schema {
            Some(schema) if self.time_to_live => {
                let (value, end) = decode_expiring(schema, stored)?;
                Ok(DecodedValue {
                    value,
                    expires_unix_millis: Some(end),
                })
            }
            _ => Ok(DecodedValue {
                value: self.value.decode(stored)?,
                expires_unix_millis: None,
            }),
        }
    }
}

impl ValueCodec {
    /// Reads a schema as a descriptor has it.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            schema: ValueSchema::parse(text),
            size: split_size(text).map(|(_, layout)| layout.size),
        }
    }

    /// The schema as text.
    pub fn schema(&self) -> &str {
        &self.text
    }

    /// Whether the schema says nothing that is understood here, so that bytes are shown as they are.
    pub fn is_opaque(&self) -> bool {
        self.schema.is_none()
    }

    /// The names of the fields when it is a struct with names, in their order.
    pub fn field_names(&self) -> Option<Vec<&str>> {
        self.schema.as_ref().and_then(ValueSchema::field_names)
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when they are not of this schema.
    pub fn decode(&self, stored: &[u8]) -> Result<RowValue> {
        match &self.schema {
            Some(schema) => decode(schema, stored),
            None => Ok(RowValue::from_bytes(stored)),
        }
    }

    /// Makes the bytes of a value that is not stored with an end.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it is not a value of this schema.
    pub fn encode(&self, value: &Value) -> Result<Vec<u8>> {
        match &self.schema {
            Some(schema) => encode(schema, value),
            None => self.encode_opaque(value),
        }
    }

    fn encode_opaque(&self, value: &Value) -> Result<Vec<u8>> {
        let object = value.as_object().filter(|object| object.len() == 1);
        let digits = object
            .and_then(|object| object.get("hex"))
            .and_then(Value::as_str);
        let bytes = digits.and_then(from_hex);
        let bytes = bytes.ok_or_else(|| unexpected("{\"hex\": \"...\"}", value))?;
        match self.size {
            // What lies elsewhere comes before the value, and adds to its size.
            Some(size) if bytes.len() < size => Err(wrong(format!(
                "{} bytes are fewer than the {size} of {}",
                bytes.len(),
                self.text
            ))),
            _ => Ok(bytes),
        }
    }

    /// The order that Rust derives for two values of this schema, as JSON; equal where nothing is known of them.
    pub(super) fn compare(&self, left: &Value, right: &Value) -> Ordering {
        match &self.schema {
            Some(schema) => Encoder::new(schema).compare(schema.root(), left, right),
            None => Ordering::Equal,
        }
    }

    /// The value that is shown in these cells: in one for each field of a struct with names, and else in one.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is another number of them.
    pub fn value_of_cells(&self, cells: &[Cell]) -> Result<Value> {
        let fields = self.schema.as_ref().and_then(|schema| {
            let fields = schema.named_fields()?;
            Some((schema, fields))
        });
        match (fields, cells) {
            (Some((schema, fields)), cells) if fields.len() == cells.len() => {
                let fields = fields.iter().zip(cells).map(|((name, id), cell)| {
                    let value = cell.to_value_of(schema, *id);
                    (name.clone(), value)
                });
                Ok(Value::Object(fields.collect()))
            }
            (None, [cell]) => Ok(self.value_of_cell(cell)),
            _ => Err(wrong(format!(
                "{} cells are not the columns of {}",
                cells.len(),
                self.text
            ))),
        }
    }

    /// The value that a cell shows which holds all of it, be it a struct or not.
    pub fn value_of_cell(&self, cell: &Cell) -> Value {
        match &self.schema {
            Some(schema) => cell.to_value_of(schema, schema.shown()),
            None => cell.to_json_value(),
        }
    }

    /// Reads a text that a person typed: JSON, or for a type that is written as a text also the bare text.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when it is not JSON.
    pub fn parse(&self, typed: &str) -> Result<Value> {
        let bare = self.schema.as_ref().is_some_and(ValueSchema::is_text);
        match serde_json::from_str(typed) {
            Ok(Value::String(text)) => Ok(Value::String(text)),
            _ if bare => Ok(Value::String(typed.to_owned())),
            Ok(value) => Ok(value),
            Err(source) => Err(Error::new(
                ErrorKind::Configuration,
                format!("\"{typed}\" is not JSON, and the key is {}", self.text),
            )
            .with_source(source)),
        }
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|start| u8::from_str_radix(&digits[start..start + 2], 16).ok())
        .collect()
}
