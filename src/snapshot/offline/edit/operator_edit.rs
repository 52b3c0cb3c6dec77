//! What becomes of the items of an operator state.

use super::draft::{SavepointDraft, Sections};
use crate::error::{Error, ErrorKind, Result};
use crate::model::OperatorId;
use crate::state::rows::{OperatorStateCodec, StoredItem};
use crate::state::{OperatorStateDescriptor, OperatorStateKind, SealedOperatorState};

/// What becomes of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemEdit {
    /// The subtask that holds it. If none is said, an entry of a broadcast state is for all, and the items of a list are
    /// dealt out.
    pub subtask: Option<usize>,
    /// The archive of the key of an entry of a broadcast state.
    pub key: Option<Vec<u8>>,
    /// The archive of the item or of the entry's value; nothing when the entry is deleted.
    pub value: Option<Vec<u8>>,
}

/// Items of an operator state. Those of a list or union list, which nothing tells apart, take the place of all that are
/// there; the entries of a broadcast state that of those with the same keys.
#[derive(Clone, Debug)]
pub struct OperatorStateEdit {
    operator: OperatorId,
    state: String,
    descriptor: OperatorStateDescriptor,
    /// How many subtasks the operator has.
    parallelism: usize,
    rows: Vec<ItemEdit>,
}

impl OperatorStateEdit {
    /// No item yet of a state; nothing when the operator has no such state.
    ///
    /// # Errors
    /// As for [`SavepointDraft::operator_state`]; [`ErrorKind::Configuration`] when a subtask of the operator has finished.
    pub fn new(draft: &SavepointDraft, operator: &OperatorId, state: &str) -> Result<Option<Self>> {
        let Some(descriptor) = draft.operator_state(operator, state)? else {
            return Ok(None);
        };
        draft.check_unfinished(operator)?;
        let entry = draft.manifest().operators.get(operator);
        Ok(Some(Self {
            operator: operator.clone(),
            state: state.to_owned(),
            descriptor: descriptor.clone(),
            parallelism: entry.map_or(0, |entry| entry.subtasks.len()),
            rows: Vec::new(),
        }))
    }

    /// What is said about the state.
    pub fn descriptor(&self) -> &OperatorStateDescriptor {
        &self.descriptor
    }

    /// Says what becomes of an item.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when there is no such subtask, or an item of a list is to be deleted.
    pub fn add(&mut self, row: ItemEdit) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Data, message));
        if let Some(subtask) = row.subtask.filter(|subtask| *subtask >= self.parallelism) {
            return wrong(format!(
                "there is no subtask {subtask}: the operator has {}",
                self.parallelism
            ));
        }
        if row.value.is_none() && self.descriptor.kind != OperatorStateKind::Broadcast {
            return wrong(
                "an item of a list cannot be deleted, as nothing tells it apart: write the items that are to stay"
                    .to_owned(),
            );
        }
        self.rows.push(row);
        Ok(())
    }

    /// All operator states of the operator as they are to be.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when what the draft is made of is damaged; [`ErrorKind::Environment`] when it cannot be read.
    pub(super) async fn sections(&self, draft: &SavepointDraft) -> Result<Sections> {
        let codec = OperatorStateCodec::new(&self.descriptor);
        let mut sections = draft.operator_states(&self.operator).await?;
        for ((_, subtask), states) in &mut sections {
            let state = states.iter().position(|state| *state.name == *self.state);
            let stored = match state.map(|index| states.swap_remove(index)) {
                Some(state) if self.descriptor.kind == OperatorStateKind::Broadcast => {
                    codec.split_section(&state.section)?
                }
                _ => Vec::new(),
            };
            let mut items = self.changed(stored, *subtask);
            codec.sort_entries(&mut items)?;
            states.push(SealedOperatorState {
                name: self.state.as_str().into(),
                descriptor: self.descriptor.clone(),
                section: codec.join_section(&items)?,
            });
            states.sort_by(|left, right| left.name.cmp(&right.name));
        }
        Ok(sections)
    }

    /// The items of a subtask, out of those that it has.
    fn changed(&self, mut items: Vec<StoredItem>, subtask: usize) -> Vec<StoredItem> {
        for (number, row) in self.rows.iter().enumerate() {
            let is_own = match (row.subtask, self.descriptor.kind) {
                (Some(of), _) => of == subtask,
                (None, OperatorStateKind::Broadcast) => true,
                (None, _) => number % self.parallelism == subtask,
            };
            if !is_own {
                continue;
            }
            if row.key.is_some() {
                items.retain(|item| item.key != row.key);
            }
            items.extend(row.value.clone().map(|value| StoredItem {
                key: row.key.clone(),
                value,
            }));
        }
        items
    }
}
