//! Takes a base or a delta apart as its bytes arrive, so that none has to be in memory whole.

use super::codec::StateCodec;
use crate::error::Result;
use crate::state::descriptor::RecordFormat;
use crate::state::piece::{
    FOOTER_BYTES, FixedPiece, FixedShape, Footer, LENGTHS_BYTES, PieceKind, corrupt,
    read_variable_record, read_variable_record_bytes,
};

/// Reads one base or delta of a state.
///
/// The footer stands at the end of the piece, and is needed first. The bytes before it are handed in in order, in chunks
/// of any size; [`PieceReader::finish`] says whether they were all.
#[derive(Debug)]
pub struct PieceReader {
    shape: Shape,
    counts: PieceCounts,
    /// Where in the piece `pending` begins.
    position: u64,
    /// What has arrived of records that are not complete.
    pending: Vec<u8>,
    /// How many bytes of records are still to come, those in `pending` not counted.
    expected_bytes: u64,
    expected: PieceCounts,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Fixed(FixedShape),
    Variable,
}

/// How many records a piece has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PieceCounts {
    /// All of them.
    pub records: u64,
    /// The deletions among them.
    pub deletions: u64,
}

/// A record as it lies in a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord<'a> {
    /// Where in the piece it begins.
    pub offset: u64,
    /// The key; of an entry with its map key, see [`StateCodec::split_key`].
    pub key: &'a [u8],
    /// The value; nothing for a deletion.
    pub value: Option<&'a [u8]>,
}

impl PieceReader {
    /// How many bytes the end of a piece has that must be known first.
    pub const FOOTER_BYTES: u64 = FOOTER_BYTES as u64;

    /// A piece of `length` bytes that ends with `footer`; whether it `is_base` is what the manifest says.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when the footer is not that of such a piece of this state.
    pub fn new(codec: &StateCodec, is_base: bool, length: u64, footer: &[u8]) -> Result<Self> {
        let footer = Footer::from_bytes(footer)?;
        let kind = if is_base {
            PieceKind::Base
        } else {
            PieceKind::Delta
        };
        footer.expect(kind, codec.format())?;
        let shape = match codec.format() {
            RecordFormat::Variable => Shape::Variable,
            RecordFormat::Fixed => {
                let (key_bytes, value_bytes) = codec.fixed_sizes()?;
                let shape = FixedShape {
                    key_bytes,
                    value_bytes,
                };
                FixedPiece::check_shape(&footer, shape)?;
                Shape::Fixed(shape)
            }
        };
        let expected = PieceCounts {
            records: footer.records,
            deletions: footer.deletions,
        };
        if length.checked_sub(Self::FOOTER_BYTES) != Some(footer.records_bytes) {
            return Err(corrupt("its length does not fit its footer"));
        }
        if expected.deletions > expected.records {
            return Err(corrupt("it deletes more records than it holds"));
        }
        Ok(Self {
            shape,
            counts: PieceCounts::default(),
            position: 0,
            pending: Vec::new(),
            expected_bytes: footer.records_bytes,
            expected,
        })
    }

    /// How many records there are, as the footer says.
    pub fn expected_counts(&self) -> PieceCounts {
        self.expected
    }

    /// Calls `apply` with each record that is complete now.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when a record is not whole; the first error of `apply`. Both say where in the
    /// piece the record begins.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut apply: impl FnMut(StoredRecord<'_>) -> Result<()>,
    ) -> Result<()> {
        let chunk_bytes = chunk.len() as u64;
        self.expected_bytes = self
            .expected_bytes
            .checked_sub(chunk_bytes)
            .ok_or_else(|| corrupt("it has more bytes than its footer says"))?;
        self.pending.extend_from_slice(chunk);
        let pending = std::mem::take(&mut self.pending);
        let mut taken = 0;
        while let Some((record, bytes)) = self.next_record(&pending[taken..])? {
            if record.value.is_none() {
                self.counts.deletions += 1;
            }
            let offset = record.offset;
            apply(record).map_err(|error| error.context(record_at(offset)))?;
            self.counts.records += 1;
            self.position += bytes as u64;
            taken += bytes;
        }
        self.pending = pending;
        self.pending.drain(..taken);
        Ok(())
    }

    /// All bytes have been handed in.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when there are fewer than the footer says, or the records are not as many.
    pub fn finish(self) -> Result<PieceCounts> {
        if self.expected_bytes > 0 || !self.pending.is_empty() {
            return Err(corrupt("it ends within a record").context(record_at(self.position)));
        }
        if self.counts.records != self.expected.records {
            return Err(corrupt(format!(
                "it has {} records, and its footer says {}",
                self.counts.records, self.expected.records
            )));
        }
        if self.counts.deletions != self.expected.deletions {
            return Err(corrupt(format!(
                "it has {} deletions, and its footer says {}",
                self.counts.deletions, self.expected.deletions
            )));
        }
        Ok(self.counts)
    }

    /// The record at the start of `bytes` and how many bytes it takes; nothing when more bytes must arrive first.
    fn next_record<'a>(&self, bytes: &'a [u8]) -> Result<Option<(StoredRecord<'a>, usize)>> {
        let offset = self.position;
        match self.shape {
            Shape::Fixed(shape) => {
                let Some(record) = bytes.get(..shape.stride()) else {
                    return Ok(None);
                };
                let (key, rest) = record.split_at(shape.key_bytes);
                // Deletions come first, and hold the last value, which means nothing.
                let is_deletion = self.counts.records < self.expected.deletions;
                let value = (!is_deletion).then(|| &rest[..shape.value_bytes]);
                let record = StoredRecord { offset, key, value };
                Ok(Some((record, shape.stride())))
            }
            Shape::Variable => {
                let Some(lengths) = bytes.get(..LENGTHS_BYTES) else {
                    return Ok(None);
                };
                let needed = read_variable_record_bytes(lengths)?;
                if needed as u64 > bytes.len() as u64 + self.expected_bytes {
                    let error = corrupt("a record reaches beyond its end");
                    return Err(error.context(record_at(offset)));
                }
                let Some(record) = bytes.get(..needed) else {
                    return Ok(None);
                };
                let record = read_variable_record(record)?;
                let stored = StoredRecord {
                    offset,
                    key: record.key,
                    value: record.value,
                };
                Ok(Some((stored, needed)))
            }
        }
    }
}

fn record_at(offset: u64) -> String {
    format!("the record at byte {offset}")
}
