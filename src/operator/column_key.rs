//! Keys made of columns: the one byte form that the key columns of a row have in state and in the key exchange.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Schema;

use super::columns::{ColumnRef, TypedColumn, canonical_float, find_column};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ColumnType;

const NULL: u8 = 0;
const VALUE: u8 = 1;

/// Writes the key columns of batches as bytes.
///
/// The form is part of the snapshot format and must never change. It is the fields in the order of the key's columns,
/// with nothing between them. Each field is one of:
///
/// | first byte | column type | what follows |
/// |---|---|---|
/// | `00` | any | nothing: the value is null |
/// | `01` | boolean | 1 byte: `00` for false, `01` for true |
/// | `01` | int64 | 8 bytes: two's complement, most significant byte first |
/// | `01` | float64 | 8 bytes: IEEE 754 bits, most significant byte first |
/// | `01` | string | 4 bytes: length in bytes, most significant byte first; then the UTF-8 text |
/// | `01` | timestamp | 8 bytes: milliseconds since 1970-01-01T00:00:00Z, as an int64 |
///
/// Equal keys have equal bytes and different keys different ones. Null equals null; -0.0 is written as 0.0, and every
/// NaN as `7ff8000000000000`, so these are one key each. The types are not in the bytes: whoever reads them must
/// know the columns.
#[derive(Clone, Debug)]
pub struct KeyEncoder {
    columns: Vec<ColumnRef>,
}

impl KeyEncoder {
    /// An encoder of the columns called `names`, in that order, of batches with this schema.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a column does not exist, or has a type that jobs do not know.
    pub fn new(schema: &Schema, names: &[impl AsRef<str>]) -> Result<Self> {
        let columns = names
            .iter()
            .map(|name| find_column(schema, name.as_ref()))
            .collect::<Result<_>>()?;
        Ok(Self { columns })
    }

    /// Replaces what is in `keys` with the keys of all rows of `batch`.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the batch does not have the schema that the encoder was made for.
    pub fn encode_batch(&self, batch: &RecordBatch, keys: &mut EncodedKeys) -> Result<()> {
        let columns = self
            .columns
            .iter()
            .map(|column| TypedColumn::new(batch.column(column.index), column.column_type))
            .collect::<Result<Vec<_>>>()?;
        keys.clear();
        for row in 0..batch.num_rows() {
            for column in &columns {
                encode_field(*column, row, &mut keys.bytes);
            }
            keys.ends.push(keys.bytes.len());
        }
        Ok(())
    }

    /// How many of the bytes of `key` belong to its first `columns` columns, of which the key must have as many.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the bytes are not a key of these columns.
    pub(super) fn prefix_len(&self, key: &[u8], columns: usize) -> Result<usize> {
        let mut rest = key;
        for column in &self.columns[..columns] {
            take_field(&mut rest, column.column_type)?;
        }
        Ok(key.len() - rest.len())
    }

    /// A builder that turns keys back into the columns they were made of.
    pub fn decoder(&self) -> KeyDecoder {
        KeyDecoder {
            columns: self
                .columns
                .iter()
                .map(|column| ColumnBuilder::new(column.column_type))
                .collect(),
        }
    }
}

/// The keys of a batch's rows, one after the other. It is reused from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct EncodedKeys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedKeys {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The key of row `row`, from 0.
    #[inline]
    pub fn key(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Collects keys and gives back the columns they were made of.
pub struct KeyDecoder {
    columns: Vec<ColumnBuilder>,
}

impl KeyDecoder {
    /// Adds one key, as a row below those added before.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the bytes are not a key of these columns.
    pub fn push(&mut self, mut key: &[u8]) -> Result<()> {
        for column in &mut self.columns {
            column.push(&mut key)?;
        }
        if key.is_empty() {
            Ok(())
        } else {
            Err(damaged("bytes are left behind its last column"))
        }
    }

    /// The columns, in the order of the key.
    pub fn finish(self) -> Vec<ArrayRef> {
        self.columns
            .into_iter()
            .map(ColumnBuilder::finish)
            .collect()
    }
}

#[inline]
fn encode_field(column: TypedColumn<'_>, row: usize, bytes: &mut Vec<u8>) {
    if column.nulls().is_some_and(|nulls| nulls.is_null(row)) {
        bytes.push(NULL);
        return;
    }
    bytes.push(VALUE);
    match column {
        TypedColumn::Boolean(column) => bytes.push(u8::from(column.value(row))),
        TypedColumn::Int64(column) => bytes.extend_from_slice(&column.value(row).to_be_bytes()),
        TypedColumn::Float64(column) => {
            let value = canonical_float(column.value(row));
            bytes.extend_from_slice(&value.to_bits().to_be_bytes());
        }
        TypedColumn::String(column) => {
            let text = column.value(row);
            // An Arrow array with 32-bit offsets holds no text longer than this.
            bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        TypedColumn::Timestamp(column) => {
            bytes.extend_from_slice(&column.value(row).to_be_bytes());
        }
    }
}

/// Takes one field off the front of `key`: the bytes of its value, or nothing when it is null.
pub(super) fn take_field<'a>(
    key: &mut &'a [u8],
    column_type: ColumnType,
) -> Result<Option<&'a [u8]>> {
    match take_array(key)? {
        [NULL] => return Ok(None),
        [VALUE] => {}
        [byte] => return Err(damaged(format!("a field begins with the byte {byte}"))),
    }
    let len = match column_type {
        ColumnType::Boolean => 1,
        ColumnType::Int64 | ColumnType::Float64 | ColumnType::Timestamp => 8,
        ColumnType::String => u32::from_be_bytes(take_array(key)?) as usize,
    };
    take(key, len).map(Some)
}

fn take<'a>(key: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    let (taken, rest) = key
        .split_at_checked(len)
        .ok_or_else(|| damaged("it ends early"))?;
    *key = rest;
    Ok(taken)
}

fn take_array<const LEN: usize>(key: &mut &[u8]) -> Result<[u8; LEN]> {
    to_array(take(key, LEN)?)
}

fn to_array<const LEN: usize>(bytes: &[u8]) -> Result<[u8; LEN]> {
    bytes.try_into().map_err(|_| damaged("it ends early"))
}

fn damaged(what: impl AsRef<str>) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("a stored key is damaged: {}", what.as_ref()),
    )
}

enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    String(StringBuilder),
    Timestamp(TimestampMillisecondBuilder),
}

impl ColumnBuilder {
    fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Int64 => Self::Int64(Int64Builder::new()),
            ColumnType::Float64 => Self::Float64(Float64Builder::new()),
            ColumnType::String => Self::String(StringBuilder::new()),
            ColumnType::Timestamp => Self::Timestamp(
                TimestampMillisecondBuilder::new().with_data_type(ColumnType::Timestamp.to_arrow()),
            ),
        }
    }

    fn column_type(&self) -> ColumnType {
        match self {
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Int64(_) => ColumnType::Int64,
            Self::Float64(_) => ColumnType::Float64,
            Self::String(_) => ColumnType::String,
            Self::Timestamp(_) => ColumnType::Timestamp,
        }
    }

    fn push(&mut self, key: &mut &[u8]) -> Result<()> {
        let value = take_field(key, self.column_type())?;
        match self {
            Self::Boolean(builder) => builder.append_option(match value {
                None => None,
                Some([0]) => Some(false),
                Some([1]) => Some(true),
                Some(_) => return Err(damaged("a boolean is neither 0 nor 1")),
            }),
            Self::Int64(builder) => builder.append_option(read_int64(value)?),
            Self::Float64(builder) => {
                let bits = value.map(to_array).transpose()?.map(u64::from_be_bytes);
                builder.append_option(bits.map(f64::from_bits));
            }
            Self::String(builder) => {
                let text = value.map(std::str::from_utf8).transpose();
                builder.append_option(text.map_err(|_| damaged("its text is not UTF-8"))?);
            }
            Self::Timestamp(builder) => builder.append_option(read_int64(value)?),
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::String(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
        }
    }
}

fn read_int64(value: Option<&[u8]>) -> Result<Option<i64>> {
    Ok(value.map(to_array).transpose()?.map(i64::from_be_bytes))
}

#[cfg(test)]
mod tests;
