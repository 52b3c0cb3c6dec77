//! The check of a record: a number that its bytes give, of which a bucket keeps the sum over its records.

/// An odd number without a pattern, as a multiplier that spreads each bit over the whole product.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Two records whose bytes differ give two numbers that, but for one case in four thousand million, differ too.
#[inline(always)]
pub(in crate::state) fn record_check(key: &[u8], value: &[u8]) -> u32 {
    let sum = fold_bytes(MULTIPLIER, key);
    fold_bytes(sum, value) as u32
}

/// What the check of a bucket without a record is: other than zeros, and other than that of the bucket beside it.
#[inline(always)]
pub(super) fn empty_check(sub_table: u64, bucket: u32) -> u32 {
    fold(sub_table, u64::from(bucket) + 1) as u32
}

#[inline(always)]
fn fold_bytes(mut sum: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let word = word.first_chunk().copied().unwrap_or_default();
        sum = fold(sum, u64::from_le_bytes(word));
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        sum = fold(sum, u64::from_le_bytes(word));
    }
    sum
}

#[inline(always)]
fn fold(sum: u64, word: u64) -> u64 {
    let product = u128::from(sum.rotate_left(32) ^ word) * u128::from(MULTIPLIER);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bit_of_a_record_changes_its_check() {
        let random = &mut fastrand::Rng::with_seed(1);
        for (key_bytes, value_bytes) in [(8, 8), (1, 0), (4, 12), (0, 3), (16, 8), (20, 7)] {
            for _ in 0..20 {
                let mut bytes: Vec<u8> = (0..key_bytes + value_bytes)
                    .map(|_| random.u8(..))
                    .collect();
                let check = |bytes: &[u8]| record_check(&bytes[..key_bytes], &bytes[key_bytes..]);
                let expected = check(&bytes);
                for bit in 0..bytes.len() * 8 {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    assert_ne!(check(&bytes), expected, "{key_bytes} {value_bytes} {bit}");
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
        }
    }

    #[test]
    fn empty_buckets_have_checks_of_their_own() {
        let checks: BTreeSet<u32> = (0..512).map(|bucket| empty_check(77, bucket)).collect();
        assert_eq!(checks.len(), 512);
        assert!(!checks.contains(&0));
        assert_ne!(empty_check(77, 3), empty_check(78, 3));
    }
}
