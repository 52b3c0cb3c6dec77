//! What a savepoint that is made of rows begins with.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, OperatorId};
use crate::snapshot::manifest::{
    FORMAT_VERSION, GraphOperator, KeyedEntry, Manifest, STATE_ENCODING, SnapshotKind,
    SubtaskEntry, collect_operators,
};
use crate::snapshot::objects::SnapshotObjects;
use crate::snapshot::offline::state_reader::{KeyedStateReader, Records, entries_of};
use crate::snapshot::offline::states::read_section;
use crate::snapshot::snapshot_at::SnapshotAt;
use crate::snapshot::writer::SealedOperator;
use crate::state::rows::OperatorStateCodec;
use crate::state::{OperatorStateDescriptor, SealedOperatorState, StateDescriptor, state_name};

/// The id of a savepoint of a job that has never taken a checkpoint.
const FIRST_CHECKPOINT: CheckpointId = CheckpointId(1);

/// A savepoint in the making.
#[derive(Clone, Debug)]
pub struct SavepointDraft {
    pub(super) manifest: Manifest,
    /// Where what the manifest refers to is, if it refers to anything.
    pub(super) objects: Option<SnapshotObjects>,
    /// What messages call the snapshot that it is made of.
    folder: String,
    /// The operator states that are written anew, of each subtask all that it has; the manifest has none of them.
    pub(super) sections: Sections,
}

/// All operator states of some subtasks.
pub(super) type Sections = BTreeMap<(OperatorId, usize), Vec<SealedOperatorState>>;

/// A job that a savepoint is made for.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its name.
    pub name: String,
    /// The number of its key groups.
    pub max_parallelism: u16,
    /// Its operators, in the order of the plan.
    pub graph: Vec<GraphOperator>,
    /// What those that keep state give to a checkpoint before the first record, each with the number of its subtask.
    pub operators: Vec<(usize, SealedOperator)>,
}

impl SavepointDraft {
    /// All that a snapshot holds.
    pub fn copy_of(snapshot: &SnapshotAt) -> Self {
        Self {
            manifest: snapshot.manifest().clone(),
            objects: Some(snapshot.objects.clone()),
            folder: snapshot.folder().to_string(),
            sections: Sections::new(),
        }
    }

    /// The operators of a snapshot that keep state, without a row. Positions of sources, output that is to be committed and
    /// what was in flight are left out, so that a job begins at the beginning.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when an operator state cannot be written.
    pub fn empty_like(snapshot: &SnapshotAt, now_unix_millis: i64) -> Result<Self> {
        let mut draft = Self {
            objects: None,
            ..Self::copy_of(snapshot)
        };
        let manifest = &mut draft.manifest;
        manifest.finished = false;
        manifest.started_from = None;
        (
            manifest.triggered_unix_millis,
            manifest.completed_unix_millis,
        ) = (now_unix_millis, now_unix_millis);
        manifest.operators.retain(|_, entry| {
            let mut subtasks = entry.subtasks.iter();
            subtasks.any(|subtask| !subtask.keyed.is_empty() || !subtask.operator_state.is_empty())
        });
        for (operator, entry) in &mut manifest.operators {
            for subtask in &mut entry.subtasks {
                subtask.finished = false;
                subtask.in_flight.clear();
                subtask
                    .keyed
                    .iter_mut()
                    .for_each(|state| state.parts.clear());
                let states = std::mem::take(&mut subtask.operator_state).into_iter();
                let empty = states.map(|state| {
                    let section = OperatorStateCodec::new(&state.descriptor).join_section(&[])?;
                    Ok(SealedOperatorState {
                        name: state.name.into(),
                        descriptor: state.descriptor,
                        section,
                    })
                });
                let empty = empty.collect::<Result<_>>()?;
                draft
                    .sections
                    .insert((operator.clone(), subtask.index), empty);
            }
        }
        Ok(draft)
    }

    /// The operators of a job that keep state, without a row.
    pub fn of_job(job: NewJob, now_unix_millis: i64) -> Self {
        let mut sections = Sections::new();
        let entries = job.operators.into_iter().map(|(index, sealed)| {
            let operator = sealed.operator;
            sections.insert((operator.clone(), index), sealed.operator_state);
            let keyed = sealed.states.into_iter().map(|state| KeyedEntry {
                name: state.name.as_ref().to_owned(),
                descriptor: state.descriptor,
                parts: Vec::new(),
            });
            let entry = SubtaskEntry {
                index,
                finished: false,
                items: sealed.items,
                operator_state: Vec::new(),
                in_flight: Vec::new(),
                local: None,
                keyed: keyed.collect(),
            };
            (operator, entry)
        });
        let operators = collect_operators(entries);
        Self {
            folder: format!("the new savepoint of {}", job.name),
            manifest: Manifest {
                format_version: FORMAT_VERSION,
                floodmark_version: env!("CARGO_PKG_VERSION").to_owned(),
                state_encoding: STATE_ENCODING.to_owned(),
                job: job.name,
                checkpoint: FIRST_CHECKPOINT,
                kind: SnapshotKind::Savepoint,
                triggered_unix_millis: now_unix_millis,
                completed_unix_millis: now_unix_millis,
                max_parallelism: job.max_parallelism,
                finished: false,
                uploaded_bytes: 0,
                started_from: None,
                graph: job.graph,
                operators,
            },
            objects: None,
            sections,
        }
    }

    /// The manifest as far as it stands: operators, and the types of their keyed states.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is said about a keyed state.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is none, with those that there are, and when it is a part of another state;
    /// [`ErrorKind::Corrupt`] when subtasks say different things about it.
    pub fn keyed_state(&self, operator: &OperatorId, state: &str) -> Result<&StateDescriptor> {
        let descriptor = self.any_keyed_state(operator, state)?;
        let owner = state_name::of_user(state);
        if owner == state {
            return Ok(descriptor);
        }
        let message = format!("\"{state}\" belongs to state \"{owner}\": write that one");
        Err(Error::new(ErrorKind::Configuration, message))
    }

    /// What is said about an operator state; nothing when the operator has no such state.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when subtasks say different things about it.
    pub fn operator_state(
        &self,
        operator: &OperatorId,
        state: &str,
    ) -> Result<Option<&OperatorStateDescriptor>> {
        let subtasks = self.subtasks(operator);
        let stored = subtasks.flat_map(|subtask| &subtask.operator_state);
        let stored = stored
            .filter(|found| found.name == state)
            .map(|found| &found.descriptor);
        let anew = self
            .sections
            .iter()
            .filter(|((found, _), _)| found == operator);
        let anew = anew
            .flat_map(|(_, states)| states)
            .filter(|found| *found.name == *state)
            .map(|found| &found.descriptor);
        let mut all = stored.chain(anew);
        let first = all.next();
        if all.any(|other| Some(other) != first) {
            let message = format!("subtasks of {operator} disagree on the types of state {state}");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(first)
    }

    /// Refuses an operator of which a subtask does not run again when a job starts from the savepoint: what is written for
    /// it would be lost without a word.
    pub(super) fn check_unfinished(&self, operator: &OperatorId) -> Result<()> {
        let Some(finished) = self.subtasks(operator).find(|subtask| subtask.finished) else {
            return Ok(());
        };
        let message = format!(
            "{operator}[{}] had worked off all its input in {}, so a job that starts from there does nothing with its state: \
             begin with an earlier snapshot, or with --new",
            finished.index, self.folder
        );
        Err(Error::new(ErrorKind::Configuration, message))
    }

    /// The same as [`SavepointDraft::keyed_state`], for the parts of a state as well.
    pub(super) fn any_keyed_state(
        &self,
        operator: &OperatorId,
        state: &str,
    ) -> Result<&StateDescriptor> {
        let entries = entries_of(&self.manifest, operator, state)?;
        Ok(&entries[0].descriptor)
    }

    /// The records of a keyed state that these keys have before anything is changed.
    pub(super) async fn records_of(
        &self,
        operator: &OperatorId,
        state: &str,
        keys: &BTreeSet<&[u8]>,
    ) -> Result<Records> {
        let Some(objects) = &self.objects else {
            return Ok(Records::new());
        };
        let (folder, manifest) = (&self.folder, &self.manifest);
        let reader =
            KeyedStateReader::find_in(objects, folder, manifest, operator.as_str(), state)?;
        reader.records_of(keys).await
    }

    /// All operator states of an operator's subtasks as they are before anything is changed.
    pub(super) async fn operator_states(&self, operator: &OperatorId) -> Result<Sections> {
        let mut sections = Sections::new();
        for subtask in self.subtasks(operator) {
            let place = (operator.clone(), subtask.index);
            let mut states = self.sections.get(&place).cloned().unwrap_or_default();
            for state in &subtask.operator_state {
                let Some(objects) = &self.objects else { break };
                states.push(SealedOperatorState {
                    name: state.name.as_str().into(),
                    descriptor: state.descriptor.clone(),
                    section: read_section(objects, &state.piece).await?.into(),
                });
            }
            sections.insert(place, states);
        }
        Ok(sections)
    }

    fn subtasks(&self, operator: &OperatorId) -> impl Iterator<Item = &SubtaskEntry> {
        let entry = self.manifest.operators.get(operator);
        entry.into_iter().flat_map(|entry| &entry.subtasks)
    }
}
