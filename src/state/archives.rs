//! Several values of one type as bytes, outside any state: for each the length of its archive in 4 bytes, little-endian,
//! and the archive.

use rkyv::Archived;
use rkyv::rancor::Error as ArchiveError;
use rkyv::util::AlignedVec;

use super::archive::{self, StateValue};
use super::piece::corrupt;
use super::schema::schema_text;
use crate::error::{Error, ErrorKind, Result};

const LENGTH_BYTES: usize = 4;

/// How values of this type are archived, in words: only a type with the same words can be restored from the bytes.
pub fn archive_schema<T: StateValue>() -> String {
    schema_text::<T>()
}

/// The bytes of these values.
///
/// # Errors
/// [`ErrorKind::Data`] when one cannot be archived, or takes 4 GiB or more.
pub fn archive_values<T: StateValue>(values: &[T]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(values.len() * (LENGTH_BYTES + size_of::<Archived<T>>()));
    let mut scratch = AlignedVec::new();
    for value in values {
        scratch.clear();
        archive::append(value, &mut scratch)?;
        let length = u32::try_from(scratch.len()).map_err(|source| {
            Error::new(ErrorKind::Data, "a value takes 4 GiB or more").with_source(source)
        })?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&scratch);
    }
    Ok(bytes)
}

/// The values that [`archive_values`] has made these bytes of.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when they are not of this type.
pub fn restore_values<T: StateValue>(mut bytes: &[u8]) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let mut scratch = AlignedVec::<{ archive::ARCHIVE_ALIGNMENT }>::new();
    while !bytes.is_empty() {
        let (value, rest) = bytes
            .split_first_chunk::<LENGTH_BYTES>()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize))
            .ok_or_else(|| corrupt("the bytes end within a value"))?;
        scratch.clear();
        scratch.extend_from_slice(value);
        let archived = rkyv::access::<Archived<T>, ArchiveError>(&scratch).map_err(|source| {
            corrupt("a value does not have the form of its type").with_source(source)
        })?;
        values.push(archive::deserialise(archived)?);
        bytes = rest;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        fn check<T: StateValue + PartialEq + std::fmt::Debug>(values: Vec<T>) {
            let bytes = archive_values(&values).unwrap();
            assert_eq!(restore_values::<T>(&bytes).unwrap(), values);
        }
        check::<u64>(vec![]);
        check(vec![1_u64, u64::MAX]);
        check(vec![(7_u64, "seven".to_owned()), (0, String::new())]);
        check(vec![(1_u8, -1_i64), (2, 5)]);
    }

    #[test]
    fn bytes_of_something_else_are_refused() {
        let bytes = archive_values(&[1_u64, 2]).unwrap();
        for wrong in [&bytes[1..], &bytes[..5], &bytes[..3]] {
            let error = restore_values::<u64>(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{wrong:?}");
        }
        let error = restore_values::<(u64, u64)>(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
