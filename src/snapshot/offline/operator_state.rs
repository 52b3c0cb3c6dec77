//! The items of an operator state, subtask by subtask.

use super::states::read_section;
use crate::error::{Error, Result};
use crate::model::OperatorId;
use crate::snapshot::snapshot_at::SnapshotAt;
use crate::state::OperatorStateDescriptor;
use crate::state::rows::{OperatorStateCodec, OperatorStateItem};

/// One item of an operator state.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorStateRow<'a> {
    /// The subtask that held it.
    pub subtask: usize,
    /// What the snapshot says about the state.
    pub descriptor: &'a OperatorStateDescriptor,
    /// The item.
    pub item: OperatorStateItem,
}

/// All items of an operator state; nothing when the operator has no such state.
///
/// # Errors
/// [`crate::error::ErrorKind::Corrupt`] when something is damaged, [`crate::error::ErrorKind::Environment`] when it cannot
/// be read.
pub async fn operator_state_rows<'a>(
    snapshot: &'a SnapshotAt,
    operator: &OperatorId,
    state: &str,
) -> Result<Option<Vec<OperatorStateRow<'a>>>> {
    let entry = snapshot.manifest().operators.get(operator);
    let mut rows = None;
    for subtask in entry.iter().flat_map(|entry| &entry.subtasks) {
        let mut states = subtask.operator_state.iter();
        let Some(found) = states.find(|found| found.name == state) else {
            continue;
        };
        let section = read_section(&snapshot.objects, &found.piece).await?;
        let codec = OperatorStateCodec::new(&found.descriptor);
        let context = |error: Error| {
            let place = format!("state \"{state}\" of {operator}[{}]", subtask.index);
            error.context(place).context(&found.piece.object)
        };
        let items = codec.decode_section(&section).map_err(context)?;
        let rows: &mut Vec<OperatorStateRow<'a>> = rows.get_or_insert_default();
        rows.extend(items.into_iter().map(|item| OperatorStateRow {
            subtask: subtask.index,
            descriptor: &found.descriptor,
            item,
        }));
    }
    Ok(rows)
}
