//! What states of every kind need of their records' keys, beyond what the stores need.

use super::archive::{EntryKey, SingleKey, StateKey, deserialise};
use super::migration::StoredKey;
use super::schema::schema_text;
use crate::error::Result;

/// A record's key that can be brought back from where it lies, and whose schemas are known.
pub(super) trait KeyParts: StoredKey {
    /// The key as a value of its own.
    type Owned: 'static;

    /// The schema of the key, and of the map key if it has one, as descriptors have them.
    fn schemas() -> (String, Option<String>);

    /// Brings a key back.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Data`] when rkyv cannot.
    fn to_owned(view: Self::View<'_>) -> Result<Self::Owned>;

    /// The key as states are handed it.
    fn native(owned: &Self::Owned) -> Self::Native<'_>;
}

impl<K: StateKey> KeyParts for SingleKey<K> {
    type Owned = K;

    fn schemas() -> (String, Option<String>) {
        (schema_text::<K>(), None)
    }

    fn to_owned(view: Self::View<'_>) -> Result<K> {
        deserialise(view)
    }

    fn native(owned: &K) -> &K {
        owned
    }
}

impl<K: StateKey, M: StateKey> KeyParts for EntryKey<K, M> {
    type Owned = (K, M);

    fn schemas() -> (String, Option<String>) {
        (schema_text::<K>(), Some(schema_text::<M>()))
    }

    fn to_owned((key, map_key): Self::View<'_>) -> Result<(K, M)> {
        Ok((deserialise(key)?, deserialise(map_key)?))
    }

    fn native((key, map_key): &(K, M)) -> (&K, &M) {
        (key, map_key)
    }
}
