//! What one subtask is given back of a checkpoint, at the same or at another parallelism.

use std::collections::BTreeMap;

use serde_json::Value;

use super::in_flight::RestoredInFlight;
use super::manifest::{KeyedEntry, OperatorEntry, Part, SubtaskEntry};
use super::objects::{LoadedObjects, section};
use super::recovery::LoadedCheckpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroupRange, OperatorId};
use crate::state::{LocalBarrier, RestoredPart, RestoredParts, RestoredSections, RestoredState};

/// What one operator subtask is given back.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    /// The items of every subtask that the operator had, in the order of the subtasks.
    pub items: Vec<Vec<Value>>,
    /// The operator states with their bytes, for the operator state backend, which takes its own part of them.
    pub operator_state: Vec<RestoredSections>,
    /// What was in flight to the operator: at the same parallelism to this subtask, and else to any, to be distributed
    /// anew.
    pub in_flight: Vec<RestoredInFlight>,
    /// How many subtasks the operator had.
    pub parallelism: usize,
    /// The keyed states with their bytes, for the state backend.
    pub states: Vec<RestoredState>,
    /// The barrier that surviving working segments would have to go back to; nothing at another parallelism.
    pub local: Option<LocalBarrier>,
    /// The same states as pieces, for [`super::SnapshotWriter::inherit`].
    pub inherited: Vec<KeyedEntry>,
}

impl LoadedCheckpoint {
    /// What subtask `index` of `parallelism` of an operator is given back; nothing when the operator was not part of
    /// the job then.
    ///
    /// A subtask takes the parts of all former subtasks whose key groups it now owns. The parts of different former
    /// subtasks do not overlap; those of one stay in their order. With `leaves_finished_behind`
    /// a former subtask that had finished leaves no keyed state, as nothing is left to be made of it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when `max_parallelism` is not the one of the checkpoint: keys would fall into
    /// other key groups. [`ErrorKind::Corrupt`] when two subtasks say different things about one state.
    pub fn restore_plan(
        &self,
        operator: &OperatorId,
        index: usize,
        parallelism: usize,
        max_parallelism: u16,
        leaves_finished_behind: bool,
    ) -> Result<Option<RestorePlan>> {
        self.check_max_parallelism(max_parallelism)?;
        let Some(entry) = self.manifest().operators.get(operator) else {
            return Ok(None);
        };
        let range = KeyGroupRange::of_subtask(index, parallelism, max_parallelism);
        let mut inherited: BTreeMap<&str, KeyedEntry> = BTreeMap::new();
        let is_rescaled = entry.subtasks.len() != parallelism;
        let is_over = |subtask: &SubtaskEntry| leaves_finished_behind && subtask.finished;
        let subtasks = entry.subtasks.iter().filter(|subtask| !is_over(subtask));
        for state in subtasks.flat_map(|subtask| &subtask.keyed) {
            let own = inherited.entry(&state.name).or_insert_with(|| KeyedEntry {
                name: state.name.clone(),
                descriptor: state.descriptor.clone(),
                parts: Vec::new(),
            });
            if own.descriptor != state.descriptor {
                return Err(self.contradiction(operator, &state.name));
            }
            let parts = state.parts.iter();
            own.parts
                .extend(parts.filter_map(|part| part.narrowed_to(range)));
        }
        let inherited: Vec<KeyedEntry> = inherited.into_values().collect();
        Ok(Some(RestorePlan {
            items: entry
                .subtasks
                .iter()
                .map(|subtask| subtask.items.clone())
                .collect(),
            operator_state: self.operator_state(operator, entry)?,
            in_flight: self.in_flight(entry, index, parallelism),
            parallelism: entry.subtasks.len(),
            local: entry
                .subtasks
                .get(index)
                .filter(|subtask| !is_rescaled && !is_over(subtask))
                .and_then(|subtask| subtask.local),
            states: inherited.iter().map(|state| self.restored(state)).collect(),
            inherited,
        }))
    }

    fn in_flight(
        &self,
        entry: &OperatorEntry,
        index: usize,
        parallelism: usize,
    ) -> Vec<RestoredInFlight> {
        let is_rescaled = entry.subtasks.len() != parallelism;
        let subtasks = entry.subtasks.iter();
        let readers = subtasks.filter(|subtask| is_rescaled || subtask.index == index);
        let in_flight = readers.flat_map(|subtask| {
            subtask.in_flight.iter().map(|entry| RestoredInFlight {
                reader: subtask.index,
                input: entry.input.clone(),
                edge: entry.edge,
                upstream: entry.upstream,
                schema: entry.schema.clone(),
                section: self.bytes(&entry.piece),
            })
        });
        in_flight.collect()
    }

    fn operator_state(
        &self,
        operator: &OperatorId,
        entry: &OperatorEntry,
    ) -> Result<Vec<RestoredSections>> {
        let mut restored: BTreeMap<&str, RestoredSections> = BTreeMap::new();
        for subtask in &entry.subtasks {
            for state in &subtask.operator_state {
                let own = restored
                    .entry(&state.name)
                    .or_insert_with(|| RestoredSections {
                        name: state.name.as_str().into(),
                        descriptor: state.descriptor.clone(),
                        sections: vec![None; entry.subtasks.len()],
                    });
                if own.descriptor != state.descriptor {
                    return Err(self.contradiction(operator, &state.name));
                }
                // The manifest's subtasks are numbered from 0 without a gap, as was checked when it was read.
                if let Some(section) = own.sections.get_mut(subtask.index) {
                    *section = Some(self.bytes(&state.piece));
                }
            }
        }
        Ok(restored.into_values().collect())
    }

    fn restored(&self, state: &KeyedEntry) -> RestoredState {
        let parts = match &self.deferred {
            None => restored_parts(self.objects(), &state.parts).into(),
            Some(deferred) => {
                let (deferred, pieces) = (deferred.clone(), state.parts.clone());
                RestoredParts::deferred(move || deferred.parts(&pieces))
            }
        };
        RestoredState {
            name: state.name.as_str().into(),
            descriptor: state.descriptor.clone(),
            parts,
        }
    }

    fn check_max_parallelism(&self, max_parallelism: u16) -> Result<()> {
        let manifest = self.manifest();
        if manifest.max_parallelism == max_parallelism {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Configuration,
            format!(
                "max_parallelism is {max_parallelism}, but checkpoint {} was taken with {}, which is fixed for the \
                 life of the job's state: set it to {}, or start with --fresh",
                manifest.checkpoint, manifest.max_parallelism, manifest.max_parallelism
            ),
        ))
    }

    fn contradiction(&self, operator: &OperatorId, state: &str) -> Error {
        let checkpoint = self.manifest().checkpoint;
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "checkpoint {checkpoint}: subtasks of {operator} disagree on the types of state {state}"
            ),
        )
    }
}

/// The bytes of parts whose objects were all read.
pub(super) fn restored_parts(objects: &LoadedObjects, parts: &[Part]) -> Vec<RestoredPart> {
    let part = |part: &Part| RestoredPart {
        key_groups: part.key_groups,
        base: part.base.as_ref().map(|base| section(objects, base)),
        deltas: part
            .deltas
            .iter()
            .map(|delta| section(objects, delta))
            .collect(),
    };
    parts.iter().map(part).collect()
}

#[cfg(test)]
mod tests;
