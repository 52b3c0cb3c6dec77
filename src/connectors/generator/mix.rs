//! Numbers that look random and follow from their index.

/// Mixes two numbers into one, each bit of which depends on all bits of both.
///
/// These are the constants of the splitmix64 generator; they must never change, because a resumed job has to go on
/// with the records that it would have had.
#[inline]
pub(super) fn mix(seed: u64, index: u64) -> u64 {
    let mut mixed = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Maps a mixed number to `0..bound`, evenly, by its high bits.
#[inline]
pub(super) fn scale(mixed: u64, bound: u64) -> u64 {
    ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of splitmix64 with the seed 0.
    #[test]
    fn the_numbers_are_fixed_for_all_time() {
        assert_eq!(mix(0, 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0, 1), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn scaled_numbers_are_even() {
        let mut counts = [0_u32; 10];
        for index in 0..100_000 {
            counts[scale(mix(7, index), 10) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
    }
}
