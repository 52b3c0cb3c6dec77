//! Which key groups a store owns.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroup, KeyGroupRange};

/// The key groups of a subtask among all of its job.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) struct Ownership {
    /// How many key groups the job has.
    pub(in crate::state) max_parallelism: u16,
    /// Those of this subtask.
    pub(in crate::state) key_groups: KeyGroupRange,
}

impl Ownership {
    /// The group of a key with this hash, which must be an own one.
    #[inline(always)]
    pub(super) fn own_group(self, hash: u64) -> Result<KeyGroup> {
        let group = self.group(hash);
        if self.key_groups.contains(group) {
            Ok(group)
        } else {
            Err(self.foreign(group))
        }
    }

    /// Whether a stored record of this group is to be taken: it counts in the piece, whose groups are `key_groups`, and is
    /// an own one.
    #[inline(always)]
    pub(super) fn takes(self, group: KeyGroup, key_groups: KeyGroupRange) -> bool {
        key_groups.contains(group) && self.key_groups.contains(group)
    }

    /// The group of a key with this hash.
    #[inline(always)]
    pub(super) fn group(self, hash: u64) -> KeyGroup {
        KeyGroup::of_hash(hash, self.max_parallelism)
    }

    #[cold]
    fn foreign(self, group: KeyGroup) -> Error {
        Error::new(
            ErrorKind::Bug,
            format!(
                "a record of key group {} came to a subtask that owns {} to {}",
                group.0,
                self.key_groups.start,
                self.key_groups.end.saturating_sub(1)
            ),
        )
    }
}
