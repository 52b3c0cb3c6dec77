//! Migrations: what was stored in an old layout is read, and put into the state in the new one.

use std::sync::Arc;

use rkyv::Archived;
use rkyv::rancor::Error as ArchiveError;
use rkyv::util::AlignedVec;

use super::archive::{
    EntryKey, RecordKey, SingleKey, StateKey, StateValue, is_fixed, split_entry_key,
};
use super::descriptor::RecordFormat;
use super::expiring::Expiring;
use super::piece::{FixedPiece, FixedShape, PieceKind, corrupt, for_each_variable_record};
use super::schema::schema_text;
use super::sealed::RestoredPart;
use super::store::{Ownership, Store};
use crate::error::{Error, Result};
use crate::model::{KeyGroup, hash_key};

/// Makes values out of those that were stored with another version.
pub(super) struct Migration<V> {
    from_version: u32,
    old_schema: String,
    /// The size of an old value in a fixed record; nothing when old values are in none.
    old_fixed_bytes: Option<usize>,
    migrate: Migrate<V>,
}

/// Makes a value out of the archive of an old one; nothing when the old one does not count any more.
type Migrate<V> = Arc<dyn Fn(&[u8]) -> Result<Option<V>> + Send + Sync>;

impl<V> Migration<V> {
    /// A migration of values of version `from_version`.
    pub(super) fn new<Old: StateValue>(
        from_version: u32,
        migrate: impl Fn(Old) -> Result<V> + Send + Sync + 'static,
    ) -> Self {
        Self {
            from_version,
            old_schema: schema_text::<Old>(),
            old_fixed_bytes: is_fixed::<Old>().then_some(size_of::<Archived<Old>>()),
            migrate: Arc::new(move |bytes| migrate(read_archive(bytes)?).map(Some)),
        }
    }

    /// The version that it reads.
    pub(super) fn reads_version(&self) -> u32 {
        self.from_version
    }

    /// The schema that it reads.
    pub(super) fn old_schema(&self) -> &str {
        &self.old_schema
    }

    /// Makes a value out of the archive of an old one; nothing when the old one does not count any more.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt) when the bytes are no old value; those of the migration.
    pub(super) fn migrate(&self, stored: &[u8]) -> Result<Option<V>> {
        (self.migrate)(stored).map_err(|error| self.context(error))
    }
}

impl<V: 'static> Migration<V> {
    /// The same of a state that has got a time-to-live since: all values come to their end at once.
    pub(super) fn with_end(self, expires_unix_millis: i64) -> Migration<Expiring<V>> {
        let migrate = self.migrate;
        Migration {
            from_version: self.from_version,
            old_schema: self.old_schema,
            old_fixed_bytes: self.old_fixed_bytes,
            migrate: Arc::new(move |bytes| {
                let value = migrate(bytes)?;
                Ok(value.map(|value| Expiring::new(expires_unix_millis, value)))
            }),
        }
    }
}

impl<V: 'static> Migration<Expiring<V>> {
    /// The same of a state that has no time-to-live any more: values whose time is over by now do not count.
    pub(super) fn without_end(self, now_unix_millis: i64) -> Migration<V> {
        let migrate = self.migrate;
        Migration {
            from_version: self.from_version,
            old_schema: self.old_schema,
            old_fixed_bytes: self.old_fixed_bytes,
            migrate: Arc::new(move |bytes| {
                let value = migrate(bytes)?;
                Ok(value.and_then(|value| value.into_live(now_unix_millis)))
            }),
        }
    }
}

impl<V: StateValue> Migration<V> {
    /// Puts what one subtask had written into `store`, in which it counts as touched: the next delta holds all of it.
    pub(super) fn restore<R: StoredKey>(
        &self,
        store: &mut Store<R, V>,
        part: &RestoredPart,
        format: RecordFormat,
        ownership: Ownership,
    ) -> Result<()> {
        let mut restore = |piece: &[u8], kind| {
            self.for_each_record::<R>(piece, kind, format, |key, value| {
                let hash = hash_key(R::key_archive(key, format)?);
                let group = KeyGroup::of_hash(hash, ownership.max_parallelism);
                if !part.key_groups.contains(group) || !ownership.key_groups.contains(group) {
                    return Ok(());
                }
                R::with_stored(key, format, |key| {
                    let value = value.map(|value| (self.migrate)(value)).transpose()?;
                    match value.flatten() {
                        Some(value) => store.put(key, &value),
                        None => store.remove(key).map(drop),
                    }
                })
            })
            .map_err(|error| self.context(error))
        };
        if let Some(base) = &part.base {
            restore(base, PieceKind::Base).map_err(|error| error.context("its base"))?;
        }
        for (number, delta) in part.deltas.iter().enumerate() {
            // A delta of an epoch in which nothing was touched has no bytes at all.
            if !delta.is_empty() {
                restore(delta, PieceKind::Delta)
                    .map_err(|error| error.context(format!("its delta {number}")))?;
            }
        }
        Ok(())
    }

    fn for_each_record<R: StoredKey>(
        &self,
        piece: &[u8],
        kind: PieceKind,
        format: RecordFormat,
        mut apply: impl FnMut(&[u8], Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        match format {
            RecordFormat::Variable => for_each_variable_record(piece, kind, apply),
            RecordFormat::Fixed => {
                let shape = FixedShape {
                    key_bytes: size_of::<R::Fixed>(),
                    value_bytes: self.old_fixed_bytes.ok_or_else(not_fixed)?,
                };
                FixedPiece::parse(piece, kind, shape)?
                    .records()
                    .try_for_each(|(key, value)| apply(key, value))
            }
        }
    }
}

impl<V> Migration<V> {
    fn context(&self, error: Error) -> Error {
        error.context(format!("its migration from version {}", self.from_version))
    }
}

impl<V> Clone for Migration<V> {
    fn clone(&self) -> Self {
        Self {
            from_version: self.from_version,
            old_schema: self.old_schema.clone(),
            old_fixed_bytes: self.old_fixed_bytes,
            migrate: Arc::clone(&self.migrate),
        }
    }
}

/// A record's key that can be read back from stored bytes.
pub(super) trait StoredKey: RecordKey {
    /// The part of the stored bytes whose hash says to which key group the record belongs.
    fn key_archive(stored: &[u8], format: RecordFormat) -> Result<&[u8]>;

    /// Checks stored bytes, and calls `take` with the key that they are.
    fn with_stored<T>(
        stored: &[u8],
        format: RecordFormat,
        take: impl FnOnce(Self::Native<'_>) -> Result<T>,
    ) -> Result<T>;
}

impl<K: StateKey> StoredKey for SingleKey<K> {
    fn key_archive(stored: &[u8], _format: RecordFormat) -> Result<&[u8]> {
        Ok(stored)
    }

    fn with_stored<T>(
        stored: &[u8],
        _format: RecordFormat,
        take: impl FnOnce(Self::Native<'_>) -> Result<T>,
    ) -> Result<T> {
        take(&read_archive(stored)?)
    }
}

impl<K: StateKey, M: StateKey> StoredKey for EntryKey<K, M> {
    fn key_archive(stored: &[u8], format: RecordFormat) -> Result<&[u8]> {
        Ok(split_stored::<K>(stored, format)?.0)
    }

    fn with_stored<T>(
        stored: &[u8],
        format: RecordFormat,
        take: impl FnOnce(Self::Native<'_>) -> Result<T>,
    ) -> Result<T> {
        let (key, map_key) = split_stored::<K>(stored, format)?;
        take((&read_archive(key)?, &read_archive(map_key)?))
    }
}

fn split_stored<K: StateKey>(stored: &[u8], format: RecordFormat) -> Result<(&[u8], &[u8])> {
    match format {
        RecordFormat::Fixed => stored.split_at_checked(size_of::<Archived<K>>()),
        RecordFormat::Variable => split_entry_key(stored),
    }
    .ok_or_else(|| corrupt("a map's key has a wrong length"))
}

/// Brings back what stored bytes are, after checking them. They need not be aligned.
fn read_archive<T: StateValue>(bytes: &[u8]) -> Result<T> {
    let mut aligned = AlignedVec::<16>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    rkyv::from_bytes::<T, ArchiveError>(&aligned).map_err(|source| {
        corrupt("a key or a value does not have the form of its type").with_source(source)
    })
}

fn not_fixed() -> Error {
    corrupt("it is said to have fixed records, and values of the old type are in none")
}
