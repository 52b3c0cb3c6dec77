//! What is kept for each key: a sum, alone or at the start of a longer value.

use floodmark::state::{Archived, Seal, StateValue};
use rkyv::vec::ArchivedVec;

const SUM_BYTES: usize = 8;

/// A value that holds a sum.
pub(crate) trait SumValue: StateValue {
    /// A sum of nothing, in so many bytes.
    fn zero(bytes: usize) -> Self;
    /// Adds to the sum, in place, and gives it.
    fn add(sum: Seal<'_, Archived<Self>>, value: i64) -> i64;
    /// The sum.
    fn sum(archived: &Archived<Self>) -> i64;
}

impl SumValue for i64 {
    fn zero(_bytes: usize) -> Self {
        0
    }

    fn add(mut sum: Seal<'_, Archived<Self>>, value: i64) -> i64 {
        *sum = (sum.to_native() + value).into();
        sum.to_native()
    }

    fn sum(archived: &Archived<Self>) -> i64 {
        archived.to_native()
    }
}

/// The first eight bytes are the sum.
impl SumValue for Vec<u8> {
    fn zero(bytes: usize) -> Self {
        let mut value = vec![0xa5; bytes.max(SUM_BYTES)];
        value[..SUM_BYTES].fill(0);
        value
    }

    fn add(sum: Seal<'_, Archived<Self>>, value: i64) -> i64 {
        let bytes = ArchivedVec::as_slice_seal(sum).unseal();
        let added = read(bytes) + value;
        bytes[..SUM_BYTES].copy_from_slice(&added.to_le_bytes());
        added
    }

    fn sum(archived: &Archived<Self>) -> i64 {
        read(archived)
    }
}

fn read(bytes: &[u8]) -> i64 {
    let first = bytes.first_chunk().copied();
    i64::from_le_bytes(first.unwrap_or_default())
}
