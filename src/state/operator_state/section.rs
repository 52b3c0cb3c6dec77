//! A state as bytes; the format is in the documentation of [`crate::state::operator_state`].

use bytes::Bytes;
use rkyv::Archived;
use rkyv::rancor::Error as ArchiveError;
use rkyv::util::AlignedVec;

use super::descriptor::OperatorStateKind;
use crate::error::{Error, ErrorKind, Result};
use crate::state::archive::{self, StateValue};

const MAGIC: &[u8; 4] = b"FMos";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;

/// Makes a section.
pub(in crate::state) struct SectionWriter {
    bytes: Vec<u8>,
    /// Where a value is archived, aligned, before it is appended; kept for its capacity.
    scratch: AlignedVec,
}

/// Reads a section, value after value.
pub(in crate::state) struct SectionReader<'a> {
    /// Number of items or entries, as the header says.
    count: u64,
    rest: &'a [u8],
    /// Where an archive is copied to, so that it is aligned.
    scratch: AlignedVec,
}

impl SectionWriter {
    /// A section of so many items or entries.
    pub(in crate::state) fn new(kind: OperatorStateKind, count: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[kind_number(kind), 0]);
        bytes.extend_from_slice(&(count as u64).to_le_bytes());
        Self {
            bytes,
            scratch: AlignedVec::new(),
        }
    }

    /// Appends a value.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it cannot be archived, or takes 4 GiB or more.
    pub(super) fn push<T: StateValue>(&mut self, value: &T) -> Result<()> {
        self.scratch.clear();
        archive::append(value, &mut self.scratch)?;
        append_archive(&mut self.bytes, &self.scratch)
    }

    /// Appends a value that is archived already.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it takes 4 GiB or more.
    pub(in crate::state) fn push_archive(&mut self, archive: &[u8]) -> Result<()> {
        append_archive(&mut self.bytes, archive)
    }

    /// The section.
    pub(in crate::state) fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

impl<'a> SectionReader<'a> {
    /// Looks at the header.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is not the header of a section of this kind.
    pub(in crate::state) fn open(section: &'a [u8], kind: OperatorStateKind) -> Result<Self> {
        let Some((header, rest)) = section.split_first_chunk::<HEADER_BYTES>() else {
            return Err(corrupt("it is shorter than its header"));
        };
        let [m0, m1, m2, m3, v0, v1, found, _, count @ ..] = *header;
        if [m0, m1, m2, m3] != *MAGIC {
            return Err(corrupt("it is not operator state"));
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(corrupt(format!(
                "it is in version {version} of its format, and this version of floodmark reads {VERSION}"
            )));
        }
        if found != kind_number(kind) {
            return Err(corrupt(format!("it is not {} state", kind.as_str())));
        }
        Ok(Self {
            count: u64::from_le_bytes(count),
            rest,
            scratch: AlignedVec::new(),
        })
    }

    /// The number of items or entries.
    pub(in crate::state) fn count(&self) -> u64 {
        self.count
    }

    /// The next value.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the bytes that come next are not one of this type.
    pub(super) fn read<T: StateValue>(&mut self) -> Result<T> {
        let archive = self.take()?;
        self.scratch.clear();
        self.scratch.extend_from_slice(archive);
        let archived =
            rkyv::access::<Archived<T>, ArchiveError>(&self.scratch).map_err(|source| {
                corrupt("a value does not have the form of its type").with_source(source)
            })?;
        archive::deserialise(archived)
    }

    /// Passes over the next value.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when there is none.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.take().map(drop)
    }

    /// All has been read.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it has not.
    pub(in crate::state) fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            rest => Err(corrupt(format!("{rest} bytes follow the last value"))),
        }
    }

    /// The archive of the next value.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when there is none.
    pub(in crate::state) fn take(&mut self) -> Result<&'a [u8]> {
        let value = self
            .rest
            .split_first_chunk::<LENGTH_BYTES>()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
        let (value, rest) = value.ok_or_else(|| corrupt("it ends before its last value"))?;
        self.rest = rest;
        Ok(value)
    }
}

fn append_archive(bytes: &mut Vec<u8>, archive: &[u8]) -> Result<()> {
    let length = u32::try_from(archive.len()).map_err(|source| {
        Error::new(ErrorKind::Data, "a value takes 4 GiB or more").with_source(source)
    })?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(archive);
    Ok(())
}

fn kind_number(kind: OperatorStateKind) -> u8 {
    match kind {
        OperatorStateKind::List => 0,
        OperatorStateKind::UnionList => 1,
        OperatorStateKind::Broadcast => 2,
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}
