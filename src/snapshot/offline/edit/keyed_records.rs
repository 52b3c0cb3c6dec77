//! From rows to records: what is written of each set of records that a keyed state consists of.

use std::collections::BTreeMap;

use super::draft::SavepointDraft;
use super::keyed_edit::KeyedEdit;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::offline::state_reader::StoredRowValue;
use crate::state::rows::{DeltaRecords, StateCodec};
use crate::state::{StateKind, state_name};

/// The parts of a map and of a list, as [`crate::state`] describes them.
const SLOTS: &str = "slots";
const INDEX: &str = "index";
const SIZES: &str = "sizes";
const BOUNDS: &str = "bounds";

/// The delta of each set of records, by its name.
pub(super) type Deltas = BTreeMap<String, DeltaRecords>;

/// One set of records, and what is written of it.
struct RecordSet {
    name: String,
    codec: StateCodec,
    delta: DeltaRecords,
}

impl KeyedEdit {
    /// The deltas that bring the state to what the change says.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when what the draft is made of is damaged; [`ErrorKind::Environment`] when it cannot be read;
    /// [`ErrorKind::Bug`] when rows are not of the state's kind.
    pub(super) async fn deltas(&self, draft: &SavepointDraft) -> Result<Deltas> {
        let sets = match self.kind {
            StateKind::List => self.list(draft).await?,
            StateKind::Map => self.map(draft).await?,
            _ => vec![self.entries(draft).await?],
        };
        Ok(sets.into_iter().map(|set| (set.name, set.delta)).collect())
    }

    /// The records that hold the values, except of a list.
    async fn entries(&self, draft: &SavepointDraft) -> Result<RecordSet> {
        let mut entries = self.set(draft, None)?;
        let mut cleared = self.keys();
        cleared.retain(|key| entries.codec.map_key().is_some() && self.is_cleared(key));
        let before = draft
            .records_of(&self.operator, &self.state, &cleared)
            .await?;
        for (key, map_key) in before.keys() {
            entries.put(key, map_key.as_deref(), None);
        }
        for ((key, map_key), value) in &self.rows {
            if map_key.is_none() && cleared.contains(key.as_slice()) {
                continue;
            }
            let value = value.as_ref().map(single).transpose()?;
            entries.put(key, map_key.as_deref(), value.cloned());
        }
        Ok(entries)
    }

    /// The entries of maps and their index, whose slots are given anew to all entries that a touched key then has.
    async fn map(&self, draft: &SavepointDraft) -> Result<Vec<RecordSet>> {
        let entries = self.entries(draft).await?;
        let mut slots = self.set(draft, Some(SLOTS))?;
        let mut index = self.set(draft, Some(INDEX))?;
        let mut sizes = self.set(draft, Some(SIZES))?;
        let keys = self.keys();
        let records = draft.records_of(&self.operator, &self.state, &keys).await?;
        let mut before: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (key, map_key) in records.keys() {
            before.entry(key).or_default().extend(map_key.as_deref());
        }
        for key in keys {
            let before = before.remove(key).unwrap_or_default();
            let is_put = |map_key: &&[u8]| {
                let value = self.rows.get(&(key.to_vec(), Some(map_key.to_vec())));
                value.map_or(!self.is_cleared(key), Option::is_some)
            };
            let put = self.rows_of(key).filter(|(_, value)| value.is_some());
            let put = put.filter_map(|((_, map_key), _)| map_key.as_deref());
            let mut after: Vec<&[u8]> = before.iter().copied().filter(is_put).chain(put).collect();
            after.sort_unstable();
            after.dedup();
            for map_key in &before {
                slots.put(key, Some(map_key), None);
            }
            for slot in after.len()..before.len() {
                index.put(key, Some(&number(slot)), None);
            }
            for (slot, map_key) in after.iter().enumerate() {
                slots.put(key, Some(map_key), Some(number(slot)));
                index.put(key, Some(&number(slot)), Some(map_key.to_vec()));
            }
            let size = (!after.is_empty()).then(|| number(after.len()));
            sizes.put(key, None, size);
        }
        Ok(vec![entries, slots, index, sizes])
    }

    /// The elements of lists, which are numbered anew, and their bounds.
    async fn list(&self, draft: &SavepointDraft) -> Result<Vec<RecordSet>> {
        let mut elements = self.set(draft, None)?;
        let mut bounds = self.set(draft, Some(BOUNDS))?;
        let keys = self.keys();
        let before = draft.records_of(&self.operator, &self.state, &keys).await?;
        for (key, position) in before.keys() {
            elements.put(key, position.as_deref(), None);
        }
        for ((key, _), value) in &self.rows {
            let list: &[Vec<u8>] = match value {
                Some(StoredRowValue::List(list)) => list,
                Some(StoredRowValue::Single(_)) => return Err(wrong_shape()),
                None => &[],
            };
            for (position, element) in list.iter().enumerate() {
                elements.put(key, Some(&number(position)), Some(element.clone()));
            }
            let ends = [number(0), number(list.len())].concat();
            bounds.put(key, None, (!list.is_empty()).then_some(ends));
        }
        Ok(vec![elements, bounds])
    }

    /// The records of the state's own name, or of a part.
    fn set(&self, draft: &SavepointDraft, part: Option<&str>) -> Result<RecordSet> {
        let name = match part {
            Some(part) => state_name::of_part(&self.state, part),
            None => self.state.clone(),
        };
        let descriptor = draft.any_keyed_state(&self.operator, &name)?;
        Ok(RecordSet {
            codec: StateCodec::new(descriptor)?,
            delta: DeltaRecords::new(),
            name,
        })
    }
}

impl RecordSet {
    /// Puts a value in the place of what there is, or deletes it.
    fn put(&mut self, key: &[u8], map_key: Option<&[u8]>, value: Option<Vec<u8>>) {
        self.delta.insert(self.codec.join_key(key, map_key), value);
    }
}

/// A slot, a position or a size, as states keep it.
fn number(number: usize) -> Vec<u8> {
    (number as u64).to_le_bytes().to_vec()
}

fn single(value: &StoredRowValue) -> Result<&Vec<u8>> {
    match value {
        StoredRowValue::Single(value) => Ok(value),
        StoredRowValue::List(_) => Err(wrong_shape()),
    }
}

fn wrong_shape() -> Error {
    let message = "a list was written to a state of single values, or the reverse";
    Error::new(ErrorKind::Bug, message)
}
