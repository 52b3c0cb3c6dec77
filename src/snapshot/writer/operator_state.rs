//! Operator state goes into an object of its own, in the folder of its checkpoint.

use bytes::Bytes;

use super::{SealedOperator, SnapshotWriter};
use crate::model::CheckpointId;
use crate::snapshot::manifest::{OperatorStateEntry, Piece};
use crate::state::SealedOperatorState;
use crate::storage::{ObjectName, StorageError};

impl SnapshotWriter {
    /// Stores the operator state of all operators as one object; stores none when none has any. Gives the entries of
    /// each operator, and how many bytes they have together.
    pub(super) async fn put_operator_state(
        &self,
        checkpoint: CheckpointId,
        operators: &[SealedOperator],
    ) -> Result<(Vec<Vec<OperatorStateEntry>>, u64), StorageError> {
        let states = operators.iter().flat_map(|sealed| &sealed.operator_state);
        let sections: Vec<Vec<Bytes>> = states.map(|state| vec![state.section.clone()]).collect();
        if sections.is_empty() {
            return Ok((vec![Vec::new(); operators.len()], 0));
        }
        let object = ObjectName::of_operator_state(checkpoint, &self.subtask);
        let stored = self.store.put_object(&object, &sections).await?;
        let bytes = stored.iter().map(|section| section.length).sum();
        let mut stored = stored.into_iter();
        let entries_of = |sealed: &SealedOperator| {
            let states = sealed.operator_state.iter().zip(&mut stored);
            let entry = |(state, section): (&SealedOperatorState, _)| OperatorStateEntry {
                name: state.name.as_ref().to_owned(),
                descriptor: state.descriptor.clone(),
                piece: Piece::of_section(&object, section),
            };
            states.map(entry).collect()
        };
        Ok((operators.iter().map(entries_of).collect(), bytes))
    }
}

#[cfg(test)]
mod tests;
