//! Operator state on its way to the store and back: what a barrier leaves behind, and who is given what of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::descriptor::{OperatorStateDescriptor, OperatorStateKind};
use super::section::SectionReader;
use crate::error::{Error, Result};
use crate::state::archive::{StateKey, StateValue};
use crate::state::migration::Migration;

/// One named operator state as a barrier sealed it.
#[derive(Clone, Debug)]
pub struct SealedOperatorState {
    /// The state's name, unique in its operator.
    pub name: Arc<str>,
    /// Its kind and types.
    pub descriptor: OperatorStateDescriptor,
    /// All of it. The barriers between which it did not change share the bytes.
    pub section: Bytes,
}

/// One named operator state as a checkpoint gives it back: the same to every subtask, which takes its own part.
#[derive(Clone, Debug)]
pub struct RestoredSections {
    /// The state's name.
    pub name: Arc<str>,
    /// Its kind and types when it was written.
    pub descriptor: OperatorStateDescriptor,
    /// What each of the subtasks that the operator had then wrote of it, in their order; nothing from one that did not
    /// have the state.
    pub sections: Vec<Option<Bytes>>,
}

/// The subtask that takes its part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant {
    /// Which parallel instance it is, from 0.
    pub(super) subtask: usize,
    /// How many there are now.
    pub(super) parallelism: usize,
}

impl RestoredSections {
    /// How many items are dealt out of it when the parallelism changes. A section that cannot be read counts as empty here:
    /// whoever takes it up is told.
    pub(super) fn dealt(&self) -> usize {
        if self.descriptor.kind != OperatorStateKind::List {
            return 0;
        }
        let counts = self.present().map(|(_, section)| {
            self.open(section)
                .map_or(0, |reader| reader.count() as usize)
        });
        counts.sum()
    }

    /// The items of a list or union list state that belong to a subtask now. The first item of a list that is dealt out is
    /// number `first` of all that are dealt out in the operator.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when a section cannot be read; those of the migration.
    pub(super) fn list<T: StateValue>(
        &self,
        claimant: Claimant,
        first: usize,
        migration: Option<&Migration<T>>,
    ) -> Result<Vec<T>> {
        let Claimant {
            subtask,
            parallelism,
        } = claimant;
        let is_split = self.descriptor.kind == OperatorStateKind::List;
        let is_rescaled = self.sections.len() != parallelism;
        let mut items = Vec::new();
        // Over all sections, so that no subtask is given more than one item above another.
        let mut number = first;
        for (writer, section) in self.present() {
            if is_split && !is_rescaled && writer != subtask {
                continue;
            }
            let mut take_own = |mut reader: SectionReader<'_>| {
                for _ in 0..reader.count() {
                    if is_split && is_rescaled && number % parallelism != subtask {
                        reader.skip()?;
                    } else {
                        items.extend(read(&mut reader, migration)?);
                    }
                    number += 1;
                }
                reader.finish()
            };
            self.open(section)
                .and_then(&mut take_own)
                .map_err(|error| of_writer(writer, error))?;
        }
        Ok(items)
    }

    /// The map of a broadcast state.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when its section cannot be read; those of the migration.
    pub(super) fn broadcast<K: StateKey + Ord, V: StateValue>(
        &self,
        claimant: Claimant,
        migration: Option<&Migration<V>>,
    ) -> Result<BTreeMap<K, V>> {
        let mut map = BTreeMap::new();
        let own = claimant.subtask % self.sections.len().max(1);
        let later = self.present().find(|(writer, _)| *writer >= own);
        let Some((writer, section)) = later.or_else(|| self.present().next()) else {
            return Ok(map);
        };
        let mut take_all = |mut reader: SectionReader<'_>| {
            for _ in 0..reader.count() {
                let key = reader.read()?;
                map.extend(read(&mut reader, migration)?.map(|value| (key, value)));
            }
            reader.finish()
        };
        self.open(section)
            .and_then(&mut take_all)
            .map_err(|error| of_writer(writer, error))?;
        Ok(map)
    }

    fn present(&self) -> impl Iterator<Item = (usize, &Bytes)> {
        let sections = self.sections.iter().enumerate();
        sections.filter_map(|(writer, section)| Some((writer, section.as_ref()?)))
    }

    fn open<'a>(&self, section: &'a Bytes) -> Result<SectionReader<'a>> {
        SectionReader::open(section, self.descriptor.kind)
    }
}

/// The next item or value, after a migration if there is one.
fn read<T: StateValue>(
    reader: &mut SectionReader<'_>,
    migration: Option<&Migration<T>>,
) -> Result<Option<T>> {
    match migration {
        Some(migration) => migration.migrate(reader.take()?),
        None => reader.read().map(Some),
    }
}

fn of_writer(writer: usize, error: Error) -> Error {
    error.context(format!("what subtask {writer} wrote"))
}
