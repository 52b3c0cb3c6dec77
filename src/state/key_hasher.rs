//! The hash of a key outside its state: what the key exchange decides by.

use rkyv::util::AlignedVec;

use super::archive::{RecordKey, SingleKey, StateKey};
use crate::error::Result;

/// Hashes keys as keyed state does, so that a record is sent to the subtask that owns its key's state.
#[derive(Clone, Default)]
pub struct KeyHasher {
    /// Where a key of varying size is archived; kept for its capacity.
    scratch: AlignedVec,
}

impl KeyHasher {
    /// The hash of `key`; [`crate::model::KeyGroup::of_hash`] makes a key group of it.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Data`] when the key cannot be archived.
    #[inline]
    pub fn hash<K: StateKey>(&mut self, key: &K) -> Result<u64> {
        if SingleKey::<K>::FIXED {
            return Ok(SingleKey::<K>::fixed_hashes(&SingleKey::<K>::to_fixed(key)).group);
        }
        self.scratch.clear();
        let start = SingleKey::<K>::append(key, &mut self.scratch)?;
        Ok(SingleKey::<K>::hashes(&self.scratch[start..]).group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hash_key;

    #[test]
    fn the_hash_is_that_of_the_archived_bytes() {
        let mut hasher = KeyHasher::default();
        assert_eq!(hasher.hash(&7_u64).unwrap(), hash_key(&7_u64.to_le_bytes()));
        let text = "longer than what lies inline".to_owned();
        let archived = rkyv::to_bytes::<rkyv::rancor::Error>(&text).unwrap();
        assert_eq!(hasher.hash(&text).unwrap(), hash_key(&archived));
    }
}
