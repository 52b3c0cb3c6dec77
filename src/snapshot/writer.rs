//! The writer of one subtask: uploads what a barrier sealed, and says what the subtask's part of a checkpoint is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{join_all, join4};
use serde_json::Value;
use tracing::warn;

use super::base_stream::{self, BaseUploads, StreamedBases};
use super::chain::{StateChain, Upload, UploadId};
use super::in_flight::{InFlightEntry, SealedInFlight};
use super::manifest::{KeyedEntry, OperatorStateEntry, Piece, SubtaskEntry};
use super::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, KeyGroupRange, OperatorId, SubtaskId};
use crate::state::{
    BaseContent, BaseOutlet, LocalBarrier, SealedOperatorState, SealedState, StateDescriptor,
};
use crate::storage::{ObjectKind, ObjectName, StorageError};

/// What one operator of a subtask's chain gives to a checkpoint at its barrier.
#[derive(Clone, Debug)]
pub struct SealedOperator {
    /// The operator.
    pub operator: OperatorId,
    /// Whether it has worked off all its input.
    pub finished: bool,
    /// What its connector keeps readable.
    pub items: Vec<Value>,
    /// Its operator states.
    pub operator_state: Vec<SealedOperatorState>,
    /// What was in flight to it: of the first operator of the chain.
    pub in_flight: Vec<SealedInFlight>,
    /// What surviving segments can go back to, if the operator keeps state that way.
    pub local: Option<LocalBarrier>,
    /// Its keyed states.
    pub states: Vec<SealedState>,
}

/// A subtask's part of a checkpoint, all of it durable.
#[derive(Clone, Debug, PartialEq)]
pub struct SubtaskSnapshot {
    /// One entry for each operator of the subtask's chain.
    pub operators: Vec<(OperatorId, SubtaskEntry)>,
    /// How many bytes this checkpoint added to the store.
    pub uploaded_bytes: u64,
    /// How many bytes of that are what was in flight.
    pub in_flight_bytes: u64,
    /// The objects that were stored since the last such part, even if it does not refer to them.
    pub stored: BTreeSet<ObjectName>,
}

impl SubtaskSnapshot {
    /// All shared objects that are to be accounted for: those that it refers to, and those that were stored on the way.
    pub fn objects(&self) -> BTreeSet<ObjectName> {
        self.operators
            .iter()
            .flat_map(|(_, entry)| entry.pieces())
            .map(|piece| &piece.object)
            .chain(&self.stored)
            .filter(|object| object.is_shared())
            .cloned()
            .collect()
    }
}

/// Writes the snapshots of one subtask, one checkpoint after the other, and owns the chains of its states.
#[derive(Debug)]
pub struct SnapshotWriter {
    store: CheckpointStore,
    subtask: SubtaskId,
    key_groups: KeyGroupRange,
    /// A number that no other process of this job has drawn, so that no two ever write to one name.
    nonce: u64,
    chains: BTreeMap<StateKey, NamedChain>,
    /// Objects that no snapshot has named yet. A checkpoint that failed may have stored some, and if nobody knew of them
    /// they would stay as long as the job runs.
    stored: BTreeSet<ObjectName>,
    /// Bases that are stored while they are copied.
    streamed: StreamedBases,
    /// The bytes of those that no snapshot has counted yet.
    streamed_bytes: u64,
}

/// An operator's id and the name of one of its states.
type StateKey = (OperatorId, Arc<str>);

#[derive(Debug)]
struct NamedChain {
    descriptor: StateDescriptor,
    chain: StateChain,
}

/// An upload, and the chain that it belongs to.
type KeyedUpload = (StateKey, Upload);

/// What has become durable.
type Uploaded = (StateKey, UploadId, Piece);

impl SnapshotWriter {
    /// A writer for `subtask`, which owns `key_groups`. `nonce` must be drawn anew in each process.
    pub fn new(
        store: CheckpointStore,
        subtask: SubtaskId,
        key_groups: KeyGroupRange,
        nonce: u64,
    ) -> Self {
        Self {
            store,
            subtask,
            key_groups,
            nonce,
            chains: BTreeMap::new(),
            stored: BTreeSet::new(),
            streamed: StreamedBases::default(),
            streamed_bytes: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn streamed_bases(&self) -> StreamedBases {
        self.streamed.clone()
    }

    /// A way for the bases of the subtask that have at least `bytes_min`, past the checkpoints: where they are to go, and
    /// what is to run beside the subtask to store them.
    pub fn base_way(&self, bytes_min: u64) -> (Arc<dyn BaseOutlet>, BaseUploads) {
        let (store, subtask) = (self.store.clone(), self.subtask.clone());
        base_stream::way(bytes_min, store, subtask, self.nonce, &self.streamed)
    }

    /// The store that it writes to.
    pub fn store(&self) -> &CheckpointStore {
        &self.store
    }

    /// Takes up the states that the job was restored with: [`super::RestorePlan::inherited`]. A state that its
    /// operator does not register again stays in every checkpoint, as it was.
    pub fn inherit(&mut self, operator: &OperatorId, states: &[KeyedEntry]) {
        for state in states {
            let key = (operator.clone(), Arc::from(state.name.as_str()));
            let chain = NamedChain {
                descriptor: state.descriptor.clone(),
                chain: StateChain::new(self.key_groups, &state.parts),
            };
            self.chains.insert(key, chain);
        }
    }

    /// Takes over what a barrier sealed without uploading it: it goes with the next [`SnapshotWriter::write`]. For a
    /// checkpoint that was aborted before its turn came; nothing that was sealed may be dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when epochs come out of order.
    pub fn hold(&mut self, operator: &SealedOperator) -> Result<()> {
        for state in &operator.states {
            let key = (operator.operator.clone(), state.name.clone());
            let key_groups = self.key_groups;
            let named = self.chains.entry(key).or_insert_with(|| NamedChain {
                descriptor: state.descriptor.clone(),
                chain: StateChain::new(key_groups, &[]),
            });
            named.descriptor = state.descriptor.clone();
            let base = state.base.as_ref().map(|base| &base.content);
            let streamed = match base {
                Some(BaseContent::Streamed { number, .. }) => self.streamed.take(*number),
                Some(BaseContent::Bytes(_)) | None => None,
            };
            if let Some(piece) = &streamed {
                self.stored.insert(piece.object.clone());
                self.streamed_bytes += piece.length;
            }
            named.chain.sealed(state, streamed)?;
        }
        Ok(())
    }

    /// Uploads what is not durable yet and says what the subtask's part of the checkpoint is. After an error, or when
    /// the future is dropped, the bytes stay in the chains and go with the next checkpoint.
    ///
    /// All deltas go into one object, to sync one file only; each base has its own, because it lives longer; operator
    /// state has one in the checkpoint's own folder, since it is whole and nobody else needs it; so has what was in flight. A base that cannot be
    /// stored does not fail the checkpoint, unless it has no delta beside it: the pieces before it still count.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn write(
        &mut self,
        checkpoint: CheckpointId,
        operators: &[SealedOperator],
    ) -> Result<SubtaskSnapshot> {
        for operator in operators {
            self.hold(operator)?;
        }
        let (deltas, bases) = self.uploads();
        let delta_object = self.put(checkpoint, ObjectKind::Delta, 0, &deltas);
        let base_objects = bases
            .chunks(1)
            .enumerate()
            .map(|(ordinal, base)| self.put(checkpoint, ObjectKind::Base, ordinal, base));
        let operator_state = self.put_operator_state(checkpoint, operators);
        let in_flight = self.put_in_flight(checkpoint, operators);
        let (delta_object, base_objects, operator_state, in_flight) = join4(
            delta_object,
            join_all(base_objects),
            operator_state,
            in_flight,
        )
        .await;

        let mut uploaded_bytes = 0;
        let mut failures = Vec::new();
        for base in base_objects {
            match base {
                Ok(uploaded) => uploaded_bytes += self.uploaded(uploaded),
                Err(error) => failures.push(Error::from(error)),
            }
        }
        uploaded_bytes += self.uploaded(delta_object?);
        self.pass_over(checkpoint, failures)?;
        let (operator_state, operator_state_bytes) = operator_state?;
        let (in_flight, in_flight_bytes) = in_flight?;
        uploaded_bytes += operator_state_bytes + in_flight_bytes;
        uploaded_bytes += std::mem::take(&mut self.streamed_bytes);
        self.stored.extend(self.streamed.take_useless());
        let operators = operators
            .iter()
            .zip(operator_state.into_iter().zip(in_flight))
            .map(|(operator, own)| Ok((operator.operator.clone(), self.entry(operator, own)?)))
            .collect::<Result<_>>()?;
        for named in self.chains.values_mut() {
            named.chain.release_before_last_barrier();
        }
        Ok(SubtaskSnapshot {
            operators,
            uploaded_bytes,
            in_flight_bytes,
            stored: std::mem::take(&mut self.stored),
        })
    }

    /// Passes over bases that could not be stored, if the checkpoint can do without them.
    fn pass_over(&self, checkpoint: CheckpointId, failures: Vec<Error>) -> Result<()> {
        let mut chains = self.chains.values();
        let is_needed = chains.any(|named| named.chain.lacks_base_at_last_barrier());
        for error in failures {
            if is_needed {
                return Err(error.context("a base that the checkpoint needs"));
            }
            let reason = error.full_message();
            warn!(subtask = %self.subtask, %checkpoint, reason, "a base could not be stored");
        }
        Ok(())
    }

    fn uploads(&self) -> (Vec<KeyedUpload>, Vec<KeyedUpload>) {
        self.chains
            .iter()
            .flat_map(|(key, named)| {
                let uploads = named.chain.uploads().into_iter();
                uploads.map(|upload| (key.clone(), upload))
            })
            .partition(|(_, upload)| matches!(upload.id, UploadId::Delta(_)))
    }

    /// Stores the uploads as one object; stores none when there is no upload.
    async fn put(
        &self,
        checkpoint: CheckpointId,
        kind: ObjectKind,
        ordinal: usize,
        uploads: &[KeyedUpload],
    ) -> Result<Vec<Uploaded>, StorageError> {
        if uploads.is_empty() {
            return Ok(Vec::new());
        }
        let object = ObjectName::new(checkpoint, &self.subtask, self.nonce, ordinal, kind);
        let sections: Vec<Vec<Bytes>> = uploads
            .iter()
            .map(|(_, upload)| upload.bytes.chunks.clone())
            .collect();
        let stored = self.store.put_object(&object, &sections).await?;
        Ok(uploads
            .iter()
            .zip(stored)
            .map(|((key, upload), section)| {
                (key.clone(), upload.id, Piece::of_section(&object, section))
            })
            .collect())
    }

    /// Tells the chains what is durable; the sum of the bytes.
    fn uploaded(&mut self, uploaded: Vec<Uploaded>) -> u64 {
        let mut bytes = 0;
        for (key, id, piece) in uploaded {
            bytes += piece.length;
            self.stored.insert(piece.object.clone());
            if let Some(named) = self.chains.get_mut(&key) {
                named.chain.uploaded(id, piece);
            }
        }
        bytes
    }

    fn entry(
        &self,
        operator: &SealedOperator,
        (operator_state, in_flight): (Vec<OperatorStateEntry>, Vec<InFlightEntry>),
    ) -> Result<SubtaskEntry> {
        let keyed = self
            .chains
            .iter()
            .filter(|((owner, _), _)| *owner == operator.operator)
            .map(|((owner, name), named)| {
                let parts = named.chain.parts_at_last_barrier().ok_or_else(|| {
                    let message =
                        format!("state {name} of {owner} is not durable after its upload");
                    Error::new(ErrorKind::Bug, message)
                })?;
                Ok(KeyedEntry {
                    name: name.as_ref().to_owned(),
                    descriptor: named.descriptor.clone(),
                    parts,
                })
            })
            .collect::<Result<_>>()?;
        Ok(SubtaskEntry {
            index: self.subtask.index,
            finished: operator.finished,
            items: operator.items.clone(),
            operator_state,
            in_flight,
            local: operator.local,
            keyed,
        })
    }
}

mod in_flight;
#[cfg(test)]
mod migration_tests;
mod operator_state;
#[cfg(test)]
mod tests;
