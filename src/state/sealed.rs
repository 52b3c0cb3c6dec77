//! What a barrier leaves behind, on its way to the store, and what comes back from it.

use std::sync::Arc;

use bytes::Bytes;

use super::descriptor::StateDescriptor;
use crate::error::Result;
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
    pub content: BaseContent,
}

/// The records of a base.
#[derive(Clone, Debug)]
pub enum BaseContent {
    /// They are in memory, still to be stored.
    Bytes(SealedBytes),
    /// They are durable: a [`super::BaseOutlet`] has taken them while they were copied.
    Streamed {
        /// The number of the base there.
        number: usize,
        /// How many bytes they have.
        bytes: u64,
    },
}

impl BaseContent {
    /// How many bytes there are in all.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Streamed { bytes, .. } => *bytes,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A barrier that a process which takes up the working segments can go back to, if they survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LocalBarrier {
    /// Whose segments: drawn anew by each run that begins with empty ones.
    pub lineage: u64,
    /// The epoch that the barrier ended.
    pub epoch: Epoch,
}

/// What makes up a restored state, fetched when it is needed: not at all, when the working segments have survived.
#[derive(Clone)]
pub struct RestoredParts(Arc<dyn Fn() -> Result<Vec<RestoredPart>> + Send + Sync>);

impl RestoredParts {
    /// Parts that `fetch` gives. It may block for as long as reading them takes.
    pub fn deferred(fetch: impl Fn() -> Result<Vec<RestoredPart>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fetch))
    }

    /// The parts.
    ///
    /// # Errors
    /// Those of whoever fetches them.
    pub fn fetch(&self) -> Result<Vec<RestoredPart>> {
        (self.0)()
    }
}

impl From<Vec<RestoredPart>> for RestoredParts {
    fn from(parts: Vec<RestoredPart>) -> Self {
        Self::deferred(move || Ok(parts.clone()))
    }
}

impl std::fmt::Debug for RestoredParts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RestoredParts")
    }
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
    pub parts: RestoredParts,
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
