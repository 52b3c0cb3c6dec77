//! What a barrier leaves behind, on its way to the store, and what comes back from it.

use std::sync::Arc;

use bytes::Bytes;

use super::descriptor::StateDescriptor;
use crate::model::KeyGroupRange;

/// The number of a state's epoch: the time between two barriers. It grows by one with each barrier.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Bytes that will never change again, in the order in which they are to be stored.
///
/// The chunks are shared with the segments that they lie in; those are given back when the last one is dropped.
#[derive(Clone, Debug, Default)]
pub struct SealedBytes {
    /// The chunks, none of them empty.
    pub chunks: Vec<Bytes>,
}

impl SealedBytes {
    /// How many bytes there are in all.
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// One named state as a barrier sealed it.
#[derive(Clone, Debug)]
pub struct SealedState {
    /// The state's name, unique in its operator.
    pub name: Arc<str>,
    /// Its kind and types.
    pub descriptor: StateDescriptor,
    /// The epoch that the barrier ended.
    pub epoch: Epoch,
    /// All records touched in that epoch; empty when none was.
    pub delta: SealedBytes,
    /// A base whose last slice was copied in that epoch, if one was.
    pub base: Option<SealedBase>,
}

/// A base: every record of a state, copied out in slices while the state went on changing.
///
/// Together with the deltas of `first_epoch` and all later ones, applied in order, it gives the state at any barrier
/// from its own on.
#[derive(Clone, Debug)]
pub struct SealedBase {
    /// The epoch in which its first slice was copied.
    pub first_epoch: Epoch,
    /// Its records.
    pub bytes: SealedBytes,
}

/// One named state as a checkpoint gives it back to one subtask.
#[derive(Clone, Debug)]
pub struct RestoredState {
    /// The state's name.
    pub name: Arc<str>,
    /// Its kind and types when it was written.
    pub descriptor: StateDescriptor,
    /// What makes up the state, to be applied in this order: a record of a later part replaces one of an earlier part.
    ///
    /// Of each part, the reader takes the records whose key group is both the part's and its own.
    pub parts: Vec<RestoredPart>,
}

impl RestoredState {
    /// How many bytes its bases have.
    pub(super) fn base_bytes(&self) -> u64 {
        let bases = self.parts.iter().filter_map(|part| part.base.as_ref());
        bases.map(|base| base.len() as u64).sum()
    }
}

/// What one subtask had written of a state.
#[derive(Clone, Debug)]
pub struct RestoredPart {
    /// The key groups that the part counts for: those its writer owned. Its bytes can hold records of others, left from
    /// before a rescale, and these must not be read.
    pub key_groups: KeyGroupRange,
    /// The base, or nothing when the deltas go back to the empty state.
    pub base: Option<Bytes>,
    /// The deltas, oldest first.
    pub deltas: Vec<Bytes>,
}
