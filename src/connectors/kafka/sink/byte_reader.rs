//! Reads what a snapshot holds of the sink.

use crate::error::{Error, ErrorKind, Result};

/// Reads numbers and texts off a slice. All numbers are little-endian.
pub(super) struct ByteReader<'a> {
    bytes: &'a [u8],
}

impl<'a> ByteReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether all is read.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is not read yet.
    pub(super) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(cut_short)?;
        self.bytes = rest;
        Ok(*array)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A text with its length before it in two bytes.
    pub(super) fn name(&mut self) -> Result<&'a str> {
        let length = self.u16()?;
        let bytes = self.bytes(usize::from(length))?;
        std::str::from_utf8(bytes).map_err(|error| damaged().with_source(error))
    }

    /// Bytes with their length before them in four bytes, or nothing.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| damaged())?;
                self.bytes(length).map(Some)
            }
        }
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or_else(cut_short)?;
        self.bytes = rest;
        Ok(bytes)
    }
}

/// The error for bytes that no sink has written.
#[cold]
pub(super) fn damaged() -> Error {
    let message = "a transaction in the snapshot is damaged; choose another checkpoint";
    Error::new(ErrorKind::Corrupt, message)
}

#[cold]
fn cut_short() -> Error {
    damaged().context("it is cut short")
}
