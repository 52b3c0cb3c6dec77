//! The records of a state with a time-to-live or without: what the states of all kinds stand on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rkyv::Archived;
use rkyv::seal::Seal;

use super::archive::{self, RecordKey, StateValue};
use super::cell::StateCell;
use super::expiring::{self, ArchivedExpiring, Expiring};
use super::scan::{ScanCursor, scan};
use super::time_to_live::Lifetime;
use crate::error::Result;

/// The records of a state. Clones are handles to the same ones.
pub(super) enum Records<R: RecordKey, V: StateValue> {
    /// They stay until they are removed.
    Lasting(Rc<StateCell<R, V>>),
    /// They have a time-to-live.
    Expiring(ExpiringRecords<R, V>),
}

/// Records with a time-to-live.
pub(super) struct ExpiringRecords<R: RecordKey, V: StateValue> {
    pub(super) cell: Rc<StateCell<R, Expiring<V>>>,
    pub(super) lifetime: Lifetime,
    /// The time that all states of the subtask go by, in milliseconds since the Unix epoch.
    pub(super) now: Rc<Cell<i64>>,
}

/// What removing a record came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// There was no such record.
    Nothing,
    /// The record was there, but its time was over.
    Expired,
    /// The record was there.
    Live,
}

impl<R: RecordKey, V: StateValue> Clone for Records<R, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Lasting(cell) => Self::Lasting(Rc::clone(cell)),
            Self::Expiring(records) => Self::Expiring(records.clone()),
        }
    }
}

impl<R: RecordKey, V: StateValue> Clone for ExpiringRecords<R, V> {
    fn clone(&self) -> Self {
        Self {
            cell: Rc::clone(&self.cell),
            lifetime: self.lifetime,
            now: Rc::clone(&self.now),
        }
    }
}

impl<R: RecordKey, V: StateValue> Records<R, V> {
    /// Whether the records stay until they are removed.
    pub(super) fn are_lasting(&self) -> bool {
        matches!(self, Self::Lasting(_))
    }

    /// A copy of a record's value, which counts as reading it.
    pub(super) fn get(&self, key: R::Native<'_>) -> Result<Option<V>> {
        self.with(key, |value| value.map(archive::deserialise).transpose())?
    }

    /// Shows `read` a record's value where it lies, which counts as reading it.
    #[inline]
    pub(super) fn with<T>(
        &self,
        key: R::Native<'_>,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        match self {
            Self::Lasting(cell) => cell.store()?.with(key, read),
            Self::Expiring(records) => records.with(key, read),
        }
    }

    /// A copy of a record's value, which does not count as reading it.
    pub(super) fn peek(&self, key: R::Native<'_>) -> Result<Option<V>> {
        self.peek_with(key, |value| value.map(archive::deserialise).transpose())?
    }

    /// Shows `read` a record's value, which does not count as reading it.
    pub(super) fn peek_with<T>(
        &self,
        key: R::Native<'_>,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        match self {
            Self::Lasting(cell) => cell.store()?.with(key, read),
            Self::Expiring(records) => records.peek_with(key, read),
        }
    }

    /// Whether there is a record, even one whose time is over.
    pub(super) fn holds(&self, key: R::Native<'_>) -> Result<bool> {
        match self {
            Self::Lasting(cell) => cell.store()?.with(key, |value| value.is_some()),
            Self::Expiring(records) => records.cell.store()?.with(key, |value| value.is_some()),
        }
    }

    /// Sets a record's value.
    pub(super) fn put(&self, key: R::Native<'_>, value: &V) -> Result<()> {
        match self {
            Self::Lasting(cell) => cell.store()?.put(key, value),
            Self::Expiring(records) => records.put(key, expiring::copy_of(value)?),
        }
    }

    /// Sets a record's value to one that is given away, which saves a copy where there is a time-to-live.
    pub(super) fn put_owned(&self, key: R::Native<'_>, value: V) -> Result<()> {
        match self {
            Self::Lasting(cell) => cell.store()?.put(key, &value),
            Self::Expiring(records) => records.put(key, value),
        }
    }

    /// Makes a record's new value out of its present one.
    pub(super) fn upsert_with(
        &self,
        key: R::Native<'_>,
        change: impl FnOnce(Option<V>) -> V,
    ) -> Result<()> {
        let value = change(self.peek(key)?);
        self.put_owned(key, value)
    }

    /// Removes a record.
    pub(super) fn remove(&self, key: R::Native<'_>) -> Result<Removed> {
        let live = match self {
            Self::Lasting(_) => true,
            Self::Expiring(records) => records.peek_with(key, |value| value.is_some())?,
        };
        let removed = match self {
            Self::Lasting(cell) => cell.store()?.remove(key)?,
            Self::Expiring(records) => records.cell.store()?.remove(key)?,
        };
        Ok(match (removed, live) {
            (false, _) => Removed::Nothing,
            (true, false) => Removed::Expired,
            (true, true) => Removed::Live,
        })
    }

    /// Works off a batch; `initial` makes a value where there is none whose time is not over.
    #[inline]
    pub(super) fn update_batch<'k>(
        &self,
        keys: impl Iterator<Item = R::Native<'k>>,
        initial: impl FnMut(usize) -> V,
        update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        match self {
            Self::Lasting(cell) => cell.store()?.update_batch(keys, initial, update),
            Self::Expiring(records) => records.update_batch(keys, initial, update),
        }
    }

    /// Shows `visit` the next records, about `records_max` of them; says whether there are more.
    pub(super) fn scan(
        &self,
        cursor: &mut ScanCursor,
        records_max: usize,
        mut visit: impl FnMut(R::View<'_>, &Archived<V>) -> Result<()>,
    ) -> Result<bool> {
        match self {
            Self::Lasting(cell) => scan(cell, cursor, records_max, visit),
            Self::Expiring(records) => {
                let now = records.now.get();
                scan(&records.cell, cursor, records_max, |key, record| {
                    if record.is_over(now) {
                        Ok(())
                    } else {
                        visit(key, &record.value)
                    }
                })
            }
        }
    }
}

impl<R: RecordKey, V: StateValue> ExpiringRecords<R, V> {
    fn with<T>(
        &self,
        key: R::Native<'_>,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        let now = self.now.get();
        let (outcome, renews) = self.cell.store()?.with(key, |record| {
            let record = live(record, now);
            let renews = record.is_some_and(|record| {
                self.lifetime
                    .renews_on_read(record.expires_unix_millis(), now)
            });
            (read(record.map(|record| &record.value)), renews)
        })?;
        if renews {
            self.renew(key)?;
        }
        Ok(outcome)
    }

    fn peek_with<T>(
        &self,
        key: R::Native<'_>,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        let now = self.now.get();
        self.cell.store()?.with(key, |record| {
            read(live(record, now).map(|record| &record.value))
        })
    }

    fn put(&self, key: R::Native<'_>, value: V) -> Result<()> {
        let expires = self.lifetime.expires(self.now.get());
        let record = Expiring::new(expires, value);
        self.cell.store()?.put(key, &record)
    }

    #[cold]
    fn renew(&self, key: R::Native<'_>) -> Result<()> {
        let value = self.peek_with(key, |value| value.map(archive::deserialise).transpose())??;
        value.map_or(Ok(()), |value| self.put(key, value))
    }

    fn update_batch<'k>(
        &self,
        keys: impl Iterator<Item = R::Native<'k>>,
        initial: impl FnMut(usize) -> V,
        update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        if archive::is_fixed::<V>() {
            return self.update_live_batch(keys, initial, update);
        }
        // The value of a record whose time is over gives way to the initial one, which can have another size. So such
        // records are removed beforehand.
        let keys: Vec<_> = keys.collect();
        let now = self.now.get();
        for &key in &keys {
            let mut store = self.cell.store()?;
            if store.with(key, |record| {
                record.is_some_and(|record| record.is_over(now))
            })? {
                store.remove(key)?;
            }
        }
        self.update_live_batch(keys.into_iter(), initial, update)
    }

    /// Works off a batch. The time of a value that is not fixed must not be over.
    fn update_live_batch<'k>(
        &self,
        keys: impl Iterator<Item = R::Native<'k>>,
        initial: impl FnMut(usize) -> V,
        mut update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        let now = self.now.get();
        let expires = self.lifetime.expires(now);
        let initial = RefCell::new(initial);
        self.cell.store()?.update_batch(
            keys,
            |index| Expiring::new(expires, initial.borrow_mut()(index)),
            |index, record| {
                let is_over = record.is_over(now);
                let mut value = expiring::renew::<V>(record, expires);
                if archive::is_fixed::<V>() && is_over {
                    expiring::overwrite_fixed::<V>(value.as_mut(), &initial.borrow_mut()(index));
                }
                update(index, value);
            },
        )
    }
}

/// The record, if its time is not over.
#[inline]
fn live<A>(record: Option<&ArchivedExpiring<A>>, now: i64) -> Option<&ArchivedExpiring<A>> {
    record.filter(|record| !record.is_over(now))
}
