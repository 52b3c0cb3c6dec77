//! Copies everything that a manifest refers to, into another folder or another store.

use std::collections::BTreeMap;

use super::damage::Damage;
use super::manifest::{Manifest, Piece};
use super::objects::SnapshotObjects;
use crate::error::{Error, ErrorKind, Result};
use crate::model::SubtaskId;
use crate::storage::{ObjectName, StorageError, StoredSection};

/// A snapshot that was copied: it refers to the copies alone.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) manifest: Manifest,
    /// How many bytes were copied.
    pub(super) bytes: u64,
}

/// Where a piece lies in an object.
type Place = (u64, u64);

/// What is needed of one object.
struct Needed {
    /// One of the operator subtasks that refer to it.
    subtask: SubtaskId,
    /// Each piece once, in the order of the offsets.
    pieces: BTreeMap<Place, Piece>,
}

impl SnapshotObjects {
    /// Copies each piece once into `target`, verifies it on the way, and gives the manifest of the copy. Pieces of one
    /// object stay together; `name_of` names the new object, given the old one and an operator subtask that refers to
    /// it. What the working segments of a run could have done without reading state is left out: the copy is for
    /// another run.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when something is missing or damaged, [`ErrorKind::Environment`] when a store refuses.
    pub(super) async fn copy(
        &self,
        manifest: &Manifest,
        target: &Self,
        mut name_of: impl FnMut(&ObjectName, &SubtaskId) -> ObjectName,
    ) -> Result<Copied> {
        let mut copies: BTreeMap<(ObjectName, Place), Piece> = BTreeMap::new();
        let mut bytes = 0;
        for (object, needed) in needed(manifest) {
            let copy = name_of(&object, &needed.subtask);
            let stored = self
                .copy_object(&object, &needed.pieces, target, &copy)
                .await?;
            for (piece, section) in needed.pieces.values().zip(stored) {
                bytes += section.length;
                let place = (piece.offset, piece.length);
                copies.insert((object.clone(), place), Piece::of_section(&copy, section));
            }
        }
        let mut manifest = manifest.clone();
        for entry in manifest.operators.values_mut() {
            for subtask in &mut entry.subtasks {
                subtask.local = None;
            }
        }
        for piece in manifest.pieces_mut() {
            let place = (piece.offset, piece.length);
            if let Some(copy) = copies.get(&(piece.object.clone(), place)) {
                *piece = copy.clone();
            }
        }
        Ok(Copied { manifest, bytes })
    }

    async fn copy_object(
        &self,
        object: &ObjectName,
        pieces: &BTreeMap<Place, Piece>,
        target: &Self,
        copy: &ObjectName,
    ) -> Result<Vec<StoredSection>> {
        let sections: Vec<StoredSection> = pieces.values().map(Piece::section).collect();
        let (from, to) = (self.paths.object(object), target.paths.object(copy));
        let copied = target.blobs.copy(&to, &self.blobs, &from, &sections).await;
        let stored = copied.map_err(|error| match error {
            StorageError::NotFound { .. } => damaged(&Damage::MissingObject {
                object: object.clone(),
            }),
            error => error.into(),
        })?;
        for (piece, section) in pieces.values().zip(&stored) {
            if piece.checksum != section.checksum {
                return Err(damaged(&Damage::ObjectChecksum {
                    object: object.clone(),
                    offset: piece.offset,
                    expected: piece.checksum,
                    found: section.checksum,
                }));
            }
        }
        Ok(stored)
    }
}

fn needed(manifest: &Manifest) -> BTreeMap<ObjectName, Needed> {
    let mut needed: BTreeMap<ObjectName, Needed> = BTreeMap::new();
    for (operator, entry) in &manifest.operators {
        for subtask in &entry.subtasks {
            for piece in subtask.pieces() {
                let needed = needed
                    .entry(piece.object.clone())
                    .or_insert_with(|| Needed {
                        subtask: SubtaskId::new(operator.clone(), subtask.index),
                        pieces: BTreeMap::new(),
                    });
                let place = (piece.offset, piece.length);
                needed.pieces.insert(place, piece.clone());
            }
        }
    }
    needed
}

fn damaged(damage: &Damage) -> Error {
    Error::new(ErrorKind::Corrupt, damage.to_string())
}
