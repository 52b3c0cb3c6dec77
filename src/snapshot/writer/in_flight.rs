//! What was in flight goes into an object of its own, in the folder of its checkpoint.

use bytes::Bytes;

use super::{SealedOperator, SnapshotWriter};
use crate::model::CheckpointId;
use crate::snapshot::in_flight::{InFlightEntry, SealedInFlight};
use crate::snapshot::manifest::Piece;
use crate::storage::{ObjectName, StorageError};

impl SnapshotWriter {
    /// Stores what was in flight to the subtask as one object; stores none when nothing was. Gives the entries of each
    /// operator, and how many bytes they have together.
    pub(super) async fn put_in_flight(
        &self,
        checkpoint: CheckpointId,
        operators: &[SealedOperator],
    ) -> Result<(Vec<Vec<InFlightEntry>>, u64), StorageError> {
        let sealed = operators.iter().flat_map(|operator| &operator.in_flight);
        let sections: Vec<Vec<Bytes>> = sealed.map(|sealed| vec![sealed.section.clone()]).collect();
        if sections.is_empty() {
            return Ok((vec![Vec::new(); operators.len()], 0));
        }
        let object = ObjectName::of_in_flight(checkpoint, &self.subtask);
        let stored = self.store.put_object(&object, &sections).await?;
        let bytes = stored.iter().map(|section| section.length).sum();
        let mut stored = stored.into_iter();
        let entries_of = |operator: &SealedOperator| {
            let in_flight = operator.in_flight.iter().zip(&mut stored);
            let entry = |(sealed, section): (&SealedInFlight, _)| InFlightEntry {
                input: sealed.input.clone(),
                edge: sealed.edge,
                upstream: sealed.upstream,
                rows: sealed.rows,
                schema: sealed.schema.clone(),
                piece: Piece::of_section(&object, section),
            };
            in_flight.map(entry).collect()
        };
        Ok((operators.iter().map(entries_of).collect(), bytes))
    }
}

#[cfg(test)]
mod tests;
