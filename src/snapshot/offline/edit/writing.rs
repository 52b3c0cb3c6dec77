//! Writes a savepoint that is made of rows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tracing::warn;

use super::draft::{SavepointDraft, Sections};
use super::keyed_records::Deltas;
use super::state_edit::StateEdit;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroup, KeyGroupRange, OperatorId, SubtaskId, hash_key};
use crate::snapshot::copy::Copied;
use crate::snapshot::manifest::{
    KeyedEntry, Manifest, OperatorStateEntry, Part, Piece, SubtaskEntry,
};
use crate::snapshot::objects::SnapshotObjects;
use crate::snapshot::offline::state_reader::entries_of;
use crate::snapshot::savepoint::{complete_savepoint, remove_folder};
use crate::state::StateDescriptor;
use crate::state::rows::{DeltaRecords, StateCodec, delta_of};
use crate::storage::{
    BlobStore, ObjectKind, ObjectName, SnapshotLocation, SnapshotPaths, StoreLocation,
};

/// A savepoint that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditedSavepoint {
    /// Its folder.
    pub folder: StoreLocation,
    /// How many bytes it has, with its manifest.
    pub bytes: u64,
}

/// What is written beside what is copied.
#[derive(Default)]
struct Additions {
    operator: Option<OperatorId>,
    deltas: Deltas,
    sections: Sections,
}

impl SavepointDraft {
    /// Writes the savepoint, with a change, into a folder that must not be there. After an error there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the folder is there; [`ErrorKind::Corrupt`] when the snapshot that it is made of is
    /// damaged; [`ErrorKind::Environment`] when a store refuses; [`ErrorKind::Data`] when a row does not fit its state.
    pub async fn write(
        mut self,
        change: &StateEdit,
        target: &SnapshotLocation,
    ) -> Result<EditedSavepoint> {
        let mut additions = Additions::default();
        match change {
            StateEdit::Keyed(change) => {
                additions.deltas = change.deltas(&self).await?;
                additions.operator = Some(change.operator.clone());
            }
            StateEdit::Operator(change) => additions.sections = change.sections(&self).await?,
        }
        for (place, states) in std::mem::take(&mut self.sections) {
            additions.sections.entry(place).or_insert(states);
        }
        let blobs = BlobStore::open(&target.above())?;
        let objects = SnapshotObjects {
            paths: SnapshotPaths::self_contained(target.folder_name()),
            blobs,
        };
        let SnapshotObjects { blobs, paths } = &objects;
        let mark = paths.pending_manifest();
        if !blobs.take_folder(&paths.folder(), &mark, "edit").await? {
            let message = format!("{} is there already: name a new folder", target.folder());
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let written = self.write_into(additions, &objects).await;
        if written.is_err()
            && let Err(error) = remove_folder(blobs, paths).await
        {
            let (folder, reason) = (target.folder(), Error::from(error).full_message());
            warn!(%folder, reason, "a savepoint that is not complete stays behind");
        }
        Ok(EditedSavepoint {
            folder: target.folder().clone(),
            bytes: written?,
        })
    }

    /// Writes objects and manifest; gives their bytes.
    async fn write_into(self, additions: Additions, target: &SnapshotObjects) -> Result<u64> {
        let Self {
            mut manifest,
            objects,
            ..
        } = self;
        for (operator, subtask) in additions.sections.keys() {
            if let Some(subtask) = subtask_of(&mut manifest, operator, *subtask) {
                // All of them are written anew, in one object.
                subtask.operator_state.clear();
            }
        }
        let mut bytes = 0;
        if let Some(objects) = objects {
            let in_savepoint = |object: &ObjectName, _: &SubtaskId| object.in_savepoint();
            Copied { manifest, bytes } = objects.copy(&manifest, target, in_savepoint).await?;
        }
        if let Some(operator) = &additions.operator {
            bytes += add_deltas(&mut manifest, operator, additions.deltas, target).await?;
        }
        bytes += add_sections(&mut manifest, additions.sections, target).await?;
        manifest.floodmark_version = env!("CARGO_PKG_VERSION").to_owned();
        let manifest_bytes = complete_savepoint(manifest, bytes, target, None).await?;
        // The folder itself must not go in a power cut.
        let above = SnapshotPaths::self_contained("").folder();
        target.blobs.sync_folder(&above).await?;
        Ok(bytes + manifest_bytes)
    }
}

/// Stores the deltas of each subtask, and lets the manifest refer to them; gives their bytes.
async fn add_deltas(
    manifest: &mut Manifest,
    operator: &OperatorId,
    deltas: Deltas,
    target: &SnapshotObjects,
) -> Result<u64> {
    let (checkpoint, max_parallelism) = (manifest.checkpoint, manifest.max_parallelism);
    let taken: BTreeSet<ObjectName> = manifest
        .pieces()
        .map(|piece| piece.object.clone())
        .collect();
    let entry = manifest.operators.get(operator);
    let parallelism = entry.map_or(0, |entry| entry.subtasks.len());
    let mut divided: BTreeMap<usize, Vec<Addition>> = BTreeMap::new();
    for (name, records) in deltas {
        let descriptor = entries_of(manifest, operator, &name)?[0].descriptor.clone();
        let codec = StateCodec::new(&descriptor)?;
        let mut shares: BTreeMap<usize, DeltaRecords> = BTreeMap::new();
        for (stored, value) in records {
            let (key, _) = codec.split_key(&stored)?;
            let group = KeyGroup::of_hash(hash_key(key), max_parallelism);
            let share = shares.entry(group.subtask(parallelism, max_parallelism));
            share.or_default().insert(stored, value);
        }
        for (subtask, share) in shares {
            divided.entry(subtask).or_default().push(Addition {
                name: name.clone(),
                descriptor: descriptor.clone(),
                bytes: delta_of(&codec, &share)?.into(),
            });
        }
    }
    let mut bytes = 0;
    for (index, additions) in divided {
        let own = KeyGroupRange::of_subtask(index, parallelism, max_parallelism);
        let writer = SubtaskId::new(operator.clone(), index);
        let name = |ordinal| {
            ObjectName::new(checkpoint, &writer, 0, ordinal, ObjectKind::Delta).in_savepoint()
        };
        let mut names = (0..).map(name);
        let object = names.find(|name| !taken.contains(name)).ok_or_else(|| {
            let message = "no name is left for an object of a savepoint";
            Error::new(ErrorKind::Bug, message)
        })?;
        let sections: Vec<_> = additions
            .iter()
            .map(|addition| vec![addition.bytes.clone()])
            .collect();
        let path = target.paths.object(&object);
        let stored = target.blobs.put(&path, &sections).await?;
        let Some(subtask) = subtask_of(manifest, operator, index) else {
            continue;
        };
        for (addition, section) in additions.into_iter().zip(stored) {
            bytes += section.length;
            let piece = Piece::of_section(&object, section);
            append(&mut subtask.keyed, addition, own, piece);
        }
    }
    Ok(bytes)
}

/// The delta of one set of records in one subtask.
struct Addition {
    name: String,
    descriptor: StateDescriptor,
    bytes: Bytes,
}

/// Lets a delta come behind all that the subtask has of the state.
fn append(keyed: &mut Vec<KeyedEntry>, addition: Addition, own: KeyGroupRange, piece: Piece) {
    let Addition {
        name, descriptor, ..
    } = addition;
    let delta = Part {
        key_groups: own,
        base: None,
        deltas: vec![piece.clone()],
    };
    match keyed.iter_mut().find(|state| state.name == name) {
        None => keyed.push(KeyedEntry {
            name,
            descriptor,
            parts: vec![delta],
        }),
        Some(state) => match state.parts.last_mut() {
            Some(last) if last.key_groups == own => last.deltas.push(piece),
            _ => state.parts.push(delta),
        },
    }
}

/// Stores the operator states of each subtask, and lets the manifest refer to them; gives their bytes.
async fn add_sections(
    manifest: &mut Manifest,
    sections: Sections,
    target: &SnapshotObjects,
) -> Result<u64> {
    let mut bytes = 0;
    for ((operator, index), states) in sections {
        if states.is_empty() {
            continue;
        }
        let writer = SubtaskId::new(operator.clone(), index);
        let object = ObjectName::of_operator_state(manifest.checkpoint, &writer).in_savepoint();
        let contents: Vec<_> = states
            .iter()
            .map(|state| vec![state.section.clone()])
            .collect();
        let path = target.paths.object(&object);
        let stored = target.blobs.put(&path, &contents).await?;
        let Some(subtask) = subtask_of(manifest, &operator, index) else {
            continue;
        };
        for (state, section) in states.into_iter().zip(stored) {
            bytes += section.length;
            subtask.operator_state.push(OperatorStateEntry {
                name: state.name.as_ref().to_owned(),
                descriptor: state.descriptor,
                piece: Piece::of_section(&object, section),
            });
        }
    }
    Ok(bytes)
}

fn subtask_of<'m>(
    manifest: &'m mut Manifest,
    operator: &OperatorId,
    index: usize,
) -> Option<&'m mut SubtaskEntry> {
    manifest
        .operators
        .get_mut(operator)?
        .subtasks
        .get_mut(index)
}
