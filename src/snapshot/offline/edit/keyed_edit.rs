//! What becomes of the rows of a keyed state.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::SavepointDraft;
use crate::error::Result;
use crate::model::OperatorId;
use crate::snapshot::offline::state_reader::StoredRowValue;
use crate::state::StateKind;

/// What becomes of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowEdit {
    /// The archive of the key.
    pub key: Vec<u8>,
    /// The archive of the map key, if the state has one; a list has none here.
    pub map_key: Option<Vec<u8>>,
    /// The new value; nothing when the row is deleted. Where there are map keys, a deletion without one is of all rows of the
    /// key.
    pub value: Option<StoredRowValue>,
}

/// Rows that are put into a keyed state, in the place of those that are there, and rows that are deleted from it. They are
/// held in memory.
#[derive(Clone, Debug)]
pub struct KeyedEdit {
    pub(super) operator: OperatorId,
    pub(super) state: String,
    pub(super) kind: StateKind,
    /// What was last said of each row, by key and map key.
    pub(super) rows: BTreeMap<Place, Option<StoredRowValue>>,
}

/// Where a row is: the archives of its key and of its map key.
pub(super) type Place = (Vec<u8>, Option<Vec<u8>>);

impl KeyedEdit {
    /// No change yet of a state.
    ///
    /// # Errors
    /// As for [`SavepointDraft::keyed_state`]; [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration) when a
    /// subtask of the operator has finished.
    pub fn new(draft: &SavepointDraft, operator: &OperatorId, state: &str) -> Result<Self> {
        let descriptor = draft.keyed_state(operator, state)?;
        draft.check_unfinished(operator)?;
        Ok(Self {
            operator: operator.clone(),
            state: state.to_owned(),
            kind: descriptor.kind,
            rows: BTreeMap::new(),
        })
    }

    /// Says what becomes of a row; of two words on the same row the later one counts.
    pub fn add(&mut self, change: RowEdit) {
        if change.map_key.is_none() && change.value.is_none() {
            // What was said of single rows of the key before does not count any more.
            let of_key = self.rows_of(&change.key);
            let places: Vec<_> = of_key.map(|(place, _)| place.clone()).collect();
            for place in places {
                self.rows.remove(&place);
            }
        }
        self.rows.insert((change.key, change.map_key), change.value);
    }

    /// The keys that are touched.
    pub(super) fn keys(&self) -> BTreeSet<&[u8]> {
        self.rows.keys().map(|(key, _)| key.as_slice()).collect()
    }

    /// Whether all rows of a key are deleted before any is put.
    pub(super) fn is_cleared(&self, key: &[u8]) -> bool {
        self.rows.get(&(key.to_vec(), None)) == Some(&None)
    }

    /// What becomes of the rows of one key.
    pub(super) fn rows_of<'r>(
        &'r self,
        key: &'r [u8],
    ) -> impl Iterator<Item = (&'r Place, &'r Option<StoredRowValue>)> {
        let rows = self.rows.range((key.to_vec(), None)..);
        rows.take_while(move |((found, _), _)| found == key)
    }
}
