//! What a checkpoint keeps of one state, as simply as it can be said.

use bytes::Bytes;

use crate::model::KeyGroupRange;
use crate::state::{
    BaseContent, Epoch, RestoredPart, SealedBase, SealedBytes, SealedState, StateDescriptor,
};

/// The newest base of one subtask's state, and the deltas after it.
#[derive(Clone, Default)]
pub(super) struct Chain {
    pub(super) descriptor: Option<StateDescriptor>,
    pub(super) base: Option<Bytes>,
    pub(super) deltas: Vec<(Epoch, Bytes)>,
    /// How many bases came in.
    pub(super) bases: usize,
}

impl Chain {
    /// Takes up what a barrier gave.
    pub(super) fn add(&mut self, sealed: SealedState) {
        self.descriptor = Some(sealed.descriptor);
        self.deltas.push((sealed.epoch, joined(&sealed.delta)));
        if let Some(base) = sealed.base {
            // A base of no bytes says that nothing before it counts.
            let bytes = in_memory(&base);
            self.base = (!bytes.is_empty()).then(|| joined(bytes));
            self.deltas.retain(|(epoch, _)| *epoch >= base.first_epoch);
            self.bases += 1;
        }
    }

    /// The part that a checkpoint gives back.
    pub(super) fn part(&self, key_groups: KeyGroupRange) -> RestoredPart {
        RestoredPart {
            key_groups,
            base: self.base.clone(),
            deltas: self.deltas.iter().map(|(_, delta)| delta.clone()).collect(),
        }
    }
}

/// The bytes of a base that went nowhere yet.
pub(super) fn in_memory(base: &SealedBase) -> &SealedBytes {
    match &base.content {
        BaseContent::Bytes(bytes) => bytes,
        BaseContent::Streamed { .. } => panic!("nobody has taken the base"),
    }
}

/// The chunks one after the other.
pub(super) fn joined(sealed: &SealedBytes) -> Bytes {
    assert!(sealed.chunks.iter().all(|chunk| !chunk.is_empty()));
    sealed.chunks.concat().into()
}
