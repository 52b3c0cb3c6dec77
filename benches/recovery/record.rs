//! The records of the job: first every key once, then uniform ones without end.

/// A record: key and value.
pub(crate) type Record = (u64, i64);

/// The record with this index.
#[inline]
pub(crate) fn record(index: u64, keys: u64) -> Record {
    let mixed = mix(index);
    let value = (mixed & 0xff) as i64 + 1;
    if index < keys {
        return (index, value);
    }
    // The upper half of a product with a uniform number is uniform below the other factor.
    let key = ((u128::from(mixed) * u128::from(keys)) >> 64) as u64;
    (key, value)
}

/// Splitmix64's finaliser: neighbouring indexes give unrelated numbers.
#[inline]
fn mix(index: u64) -> u64 {
    let mut mixed = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
