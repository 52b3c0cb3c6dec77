//! The byte format of deltas and bases: the footer, and the two forms of records. The tables are in the documentation
//! of [`crate::state`].

use super::descriptor::RecordFormat;
use crate::error::{Error, ErrorKind, Result};

/// The size of the footer at the end of each piece.
pub(super) const FOOTER_BYTES: usize = 40;

/// The size of the two lengths at the start of a variable record.
pub(super) const LENGTHS_BYTES: usize = 8;

/// The value's length in a variable record that says that its key was deleted.
const DELETED: u32 = u32::MAX;

const VERSION: u16 = 1;
const MAGIC: [u8; 4] = *b"FMrk";

/// Which of the two kinds of piece it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// All records touched in one epoch.
    Delta,
    /// All records.
    Base,
}

/// What the last bytes of a piece say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// Which kind of piece it is.
    pub(super) kind: PieceKind,
    /// How its records lie.
    pub(super) format: RecordFormat,
    /// The bytes of all records.
    pub(super) records_bytes: u64,
    /// How many records there are.
    pub(super) records: u64,
    /// How many of them are deletions.
    pub(super) deletions: u64,
    /// The size of every key, or 0 when the format is variable.
    pub(super) key_bytes: u32,
    /// The size of every value, or 0 when the format is variable.
    pub(super) value_bytes: u32,
}

impl Footer {
    /// The footer as it is stored.
    pub(super) fn to_bytes(self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[0..8].copy_from_slice(&self.records_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.deletions.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.key_bytes.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.value_bytes.to_le_bytes());
        bytes[32..34].copy_from_slice(&VERSION.to_le_bytes());
        bytes[34] = match self.kind {
            PieceKind::Delta => 0,
            PieceKind::Base => 1,
        };
        bytes[35] = match self.format {
            RecordFormat::Fixed => 0,
            RecordFormat::Variable => 1,
        };
        bytes[36..40].copy_from_slice(&MAGIC);
        bytes
    }

    /// Reads a footer, which `bytes` are.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != FOOTER_BYTES {
            return Err(corrupt("it is shorter than its footer"));
        }
        if bytes.get(36..40) != Some(&MAGIC) {
            return Err(corrupt("it does not end with the mark of a state piece"));
        }
        let version = u16::from_le_bytes([bytes[32], bytes[33]]);
        if version != VERSION {
            return Err(corrupt(format!(
                "its format version is {version}, and this build reads version {VERSION}"
            )));
        }
        Ok(Self {
            kind: match bytes[34] {
                0 => PieceKind::Delta,
                1 => PieceKind::Base,
                other => return Err(corrupt(format!("{other} is not a kind of piece"))),
            },
            format: match bytes[35] {
                0 => RecordFormat::Fixed,
                1 => RecordFormat::Variable,
                other => return Err(corrupt(format!("{other} is not a record format"))),
            },
            records_bytes: read_u64(bytes, 0)?,
            records: read_u64(bytes, 8)?,
            deletions: read_u64(bytes, 16)?,
            key_bytes: read_u32(bytes, 24)?,
            value_bytes: read_u32(bytes, 28)?,
        })
    }

    /// Checks that it is the footer of such a piece.
    pub(super) fn expect(&self, kind: PieceKind, format: RecordFormat) -> Result<()> {
        if self.kind == kind && self.format == format {
            return Ok(());
        }
        Err(corrupt(format!(
            "a {kind:?} of {format:?} records was expected, and it is a {:?} of {:?} ones",
            self.kind, self.format
        )))
    }
}

/// How a fixed record lies in a piece: the key, the value, and zeros up to a multiple of 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedShape {
    /// The size of every key.
    pub(super) key_bytes: usize,
    /// The size of every value.
    pub(super) value_bytes: usize,
}

impl FixedShape {
    /// From the start of one record to the start of the next.
    #[inline]
    pub(super) const fn stride(self) -> usize {
        let bytes = (self.key_bytes + self.value_bytes).next_multiple_of(8);
        if bytes == 0 { 8 } else { bytes }
    }

    /// Fills a record.
    #[inline]
    pub(super) fn write(self, record: &mut [u8], key: &[u8], value: &[u8]) {
        let end = self.key_bytes + self.value_bytes;
        record[..self.key_bytes].copy_from_slice(key);
        record[self.key_bytes..end].copy_from_slice(value);
        record[end..].fill(0);
    }
}

/// The records of a fixed piece that was found to be whole.
pub(super) struct FixedPiece<'a> {
    records: &'a [u8],
    shape: FixedShape,
    deletions: usize,
}

impl<'a> FixedPiece<'a> {
    /// Checks a piece's footer and lengths.
    pub(super) fn parse(bytes: &'a [u8], kind: PieceKind, shape: FixedShape) -> Result<Self> {
        let (records, footer) = split(bytes, kind, RecordFormat::Fixed)?;
        Self::check_shape(&footer, shape)?;
        let length = Some(records.len() as u64);
        if footer.records.checked_mul(shape.stride() as u64) != length
            || Some(footer.records_bytes) != length
        {
            return Err(corrupt("its length does not fit its number of records"));
        }
        if footer.deletions > footer.records {
            return Err(corrupt("it deletes more records than it holds"));
        }
        Ok(Self {
            records,
            shape,
            deletions: footer.deletions as usize,
        })
    }

    /// Checks that keys and values have the sizes that are expected.
    pub(super) fn check_shape(footer: &Footer, shape: FixedShape) -> Result<()> {
        if (footer.key_bytes as usize, footer.value_bytes as usize)
            == (shape.key_bytes, shape.value_bytes)
        {
            return Ok(());
        }
        Err(corrupt(format!(
            "its keys and values have {} and {} bytes, and {} and {} are expected",
            footer.key_bytes, footer.value_bytes, shape.key_bytes, shape.value_bytes
        )))
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.records.len() / self.shape.stride()
    }

    /// The keys of about `count` records, evenly spread.
    pub(super) fn sample_keys(&self, count: usize) -> impl Iterator<Item = &'a [u8]> {
        let shape = self.shape;
        self.records
            .chunks_exact(shape.stride())
            .step_by((self.len() / count).max(1))
            .map(move |record| &record[..shape.key_bytes])
    }

    /// Key and value of each record in order; no value for a deletion.
    #[inline]
    pub(super) fn records(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let shape = self.shape;
        let deletions = self.deletions;
        self.records
            .chunks_exact(shape.stride())
            .enumerate()
            .map(move |(number, record)| {
                let (key, rest) = record.split_at(shape.key_bytes);
                (
                    key,
                    (number >= deletions).then(|| &rest[..shape.value_bytes]),
                )
            })
    }
}

/// How many bytes a variable record takes.
pub(super) fn variable_record_bytes(key_bytes: usize, value_bytes: usize) -> usize {
    LENGTHS_BYTES + key_bytes.next_multiple_of(8) + value_bytes.next_multiple_of(8)
}

/// Fills a variable record of [`variable_record_bytes`]; no value for a deletion.
pub(super) fn write_variable_record(
    record: &mut [u8],
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<()> {
    let value_length = match value {
        Some(value) => length(value)?,
        None => DELETED,
    };
    let (lengths, body) = record.split_at_mut(LENGTHS_BYTES);
    lengths[..4].copy_from_slice(&length(key)?.to_le_bytes());
    lengths[4..].copy_from_slice(&value_length.to_le_bytes());
    let (key_part, value_part) = body.split_at_mut(key.len().next_multiple_of(8));
    write_padded(key_part, key);
    write_padded(value_part, value.unwrap_or_default());
    Ok(())
}

/// A record of a piece whose records vary in size.
pub(super) struct VariableRecord<'a> {
    /// The key's archive.
    pub(super) key: &'a [u8],
    /// The value's archive; nothing for a deletion.
    pub(super) value: Option<&'a [u8]>,
    /// How many bytes the record takes.
    pub(super) bytes: usize,
}

/// How many bytes the variable record takes that begins with these lengths.
pub(super) fn read_variable_record_bytes(lengths: &[u8]) -> Result<usize> {
    let key_length = read_u32(lengths, 0)? as usize;
    let value_length = match read_u32(lengths, 4)? {
        DELETED => 0,
        value_length => value_length as usize,
    };
    Ok(variable_record_bytes(key_length, value_length))
}

/// The variable record at the start of `bytes`.
pub(super) fn read_variable_record(bytes: &[u8]) -> Result<VariableRecord<'_>> {
    let beyond = || corrupt("a record reaches beyond its end");
    let key_length = read_u32(bytes, 0)? as usize;
    let value_length = read_u32(bytes, 4)?;
    let value_start = LENGTHS_BYTES + key_length.next_multiple_of(8);
    let key = bytes
        .get(LENGTHS_BYTES..LENGTHS_BYTES + key_length)
        .ok_or_else(beyond)?;
    if value_length == DELETED {
        return Ok(VariableRecord {
            key,
            value: None,
            bytes: variable_record_bytes(key_length, 0),
        });
    }
    let value_length = value_length as usize;
    let value = bytes
        .get(value_start..value_start + value_length)
        .ok_or_else(beyond)?;
    Ok(VariableRecord {
        key,
        value: Some(value),
        bytes: variable_record_bytes(key_length, value_length),
    })
}

/// Calls `apply` with key and value of each record of a variable piece in order; no value for a deletion.
pub(super) fn for_each_variable_record(
    bytes: &[u8],
    kind: PieceKind,
    mut apply: impl FnMut(&[u8], Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    let (mut rest, footer) = split(bytes, kind, RecordFormat::Variable)?;
    if rest.len() as u64 != footer.records_bytes {
        return Err(corrupt("its length does not fit its footer"));
    }
    let mut records = 0;
    while !rest.is_empty() {
        let record = read_variable_record(rest)?;
        apply(record.key, record.value)?;
        rest = rest
            .get(record.bytes..)
            .ok_or_else(|| corrupt("a record reaches beyond its end"))?;
        records += 1;
    }
    if records != footer.records {
        return Err(corrupt("its number of records does not fit its footer"));
    }
    Ok(())
}

/// An error of stored bytes; the caller adds which state and which piece.
pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

fn split(bytes: &[u8], kind: PieceKind, format: RecordFormat) -> Result<(&[u8], Footer)> {
    let (body, footer) = bytes
        .split_last_chunk::<FOOTER_BYTES>()
        .ok_or_else(|| corrupt("it is shorter than its footer"))?;
    let footer = Footer::from_bytes(footer)?;
    footer.expect(kind, format)?;
    Ok((body, footer))
}

fn write_padded(target: &mut [u8], source: &[u8]) {
    let (filled, padding) = target.split_at_mut(source.len());
    filled.copy_from_slice(source);
    padding.fill(0);
}

fn length(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len())
        .ok()
        .filter(|&length| length != DELETED)
        .ok_or_else(|| Error::new(ErrorKind::Data, "a key or a value is larger than 4 GiB"))
}

fn read_u32(bytes: &[u8], offset: usize) -> Result<u32> {
    bytes
        .get(offset..)
        .and_then(|bytes| bytes.first_chunk())
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or_else(|| corrupt("it ends within a number"))
}

fn read_u64(bytes: &[u8], offset: usize) -> Result<u64> {
    bytes
        .get(offset..)
        .and_then(|bytes| bytes.first_chunk())
        .map(|bytes| u64::from_le_bytes(*bytes))
        .ok_or_else(|| corrupt("it ends within a number"))
}
