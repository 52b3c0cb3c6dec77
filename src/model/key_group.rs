//! Key groups: the unit in which keyed state is assigned to subtasks.
//!
//! A key's hash is XXH3 (64 bits, seed 0) of its archived bytes. The hash function is part of the snapshot format:
//! it must never change, because a restored key has to fall into the key group that it was stored under.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The number of key groups of a job unless it sets `max_parallelism`.
pub const MAX_PARALLELISM_DEFAULT: u16 = 128;

/// The largest `max_parallelism` that a job can set.
pub const MAX_PARALLELISM_LIMIT: u16 = 32_768;

/// One of the `max_parallelism` groups that all keys of a job fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyGroup(pub u16);

/// The stable 64-bit hash of a key's archived bytes.
#[inline]
pub fn hash_key(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

impl KeyGroup {
    /// The group of a key with this hash, among `max_parallelism` groups: it follows the hash's 16 topmost bits.
    #[inline]
    pub fn of_hash(hash: u64, max_parallelism: u16) -> Self {
        let scaled = (hash >> 48) * u64::from(max_parallelism);
        Self((scaled >> 16) as u16)
    }

    /// Which of `parallelism` subtasks owns this group.
    #[inline]
    pub fn subtask(self, parallelism: usize, max_parallelism: u16) -> usize {
        usize::from(self.0) * parallelism / usize::from(max_parallelism)
    }
}

/// The contiguous groups that one subtask owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyGroupRange {
    /// The first group of the range.
    pub start: u16,
    /// The group after the last.
    pub end: u16,
}

impl KeyGroupRange {
    /// The range that subtask `index` of `parallelism` owns; the inverse of [`KeyGroup::subtask`].
    pub fn of_subtask(index: usize, parallelism: usize, max_parallelism: u16) -> Self {
        let groups = usize::from(max_parallelism);
        let bound = |subtask: usize| (subtask * groups).div_ceil(parallelism) as u16;
        Self {
            start: bound(index),
            end: bound(index + 1),
        }
    }

    /// Whether `group` lies in the range.
    #[inline]
    pub fn contains(self, group: KeyGroup) -> bool {
        (self.start..self.end).contains(&group.0)
    }

    /// How many groups the range holds.
    pub fn len(self) -> usize {
        usize::from(self.end - self.start)
    }

    /// Whether the range holds no group.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The range as a standard one.
    pub fn as_range(self) -> Range<u16> {
        self.start..self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_belongs_to_the_subtask_whose_range_contains_it() {
        for max_parallelism in [1, 2, 7, 128, 1000, MAX_PARALLELISM_LIMIT] {
            for parallelism in [1, 2, 3, 4, 5, 7] {
                if parallelism > usize::from(max_parallelism) {
                    continue;
                }
                for group in (0..max_parallelism).map(KeyGroup) {
                    let owner = group.subtask(parallelism, max_parallelism);
                    let range = KeyGroupRange::of_subtask(owner, parallelism, max_parallelism);
                    assert!(
                        range.contains(group),
                        "{group:?} {parallelism} {max_parallelism}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_hash_falls_into_an_existing_group() {
        for max_parallelism in [1, 3, 128, MAX_PARALLELISM_LIMIT] {
            assert_eq!(KeyGroup::of_hash(0, max_parallelism), KeyGroup(0));
            let last = KeyGroup::of_hash(u64::MAX, max_parallelism);
            assert_eq!(last, KeyGroup(max_parallelism - 1));
        }
    }

    /// The hash is part of the snapshot format: this value may never change.
    #[test]
    fn the_hash_of_a_key_is_fixed_for_all_time() {
        assert_eq!(
            hash_key(b"floodmark"),
            xxhash_rust::xxh3::xxh3_64_with_seed(b"floodmark", 0)
        );
        assert_eq!(hash_key(&[]), 0x2d06_8005_38d3_94c2);
    }
}
