//! The keyed states of a checkpoint as the command line shows them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::OperatorId;
use crate::snapshot::{KeyedEntry, OperatorEntry, Piece};
use crate::state::state_name;
use crate::storage::ObjectName;

/// A keyed state of an operator, over all its subtasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct StateRow {
    /// Whose state it is.
    pub operator: OperatorId,
    /// The state's name. What belongs to the index of a map or a list is counted in.
    pub state: String,
    /// The version of its layout.
    pub version: u32,
    /// How its values are laid out.
    pub value_schema: String,
    /// The bytes of its bases.
    pub base_bytes: u64,
    /// The bytes of its deltas.
    pub delta_bytes: u64,
}

/// The states of all operators, by operator and name.
pub(super) fn state_rows(operators: &BTreeMap<OperatorId, OperatorEntry>) -> Vec<StateRow> {
    let mut rows: BTreeMap<(&OperatorId, &str), StateRow> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (operator, entry) in operators {
        for state in entry.subtasks.iter().flat_map(|subtask| &subtask.keyed) {
            // The records that go by the state's own name come before its parts.
            rows.entry((operator, state_name::of_user(&state.name)))
                .or_insert_with(|| StateRow::new(operator, state))
                .add(state, &mut seen);
        }
    }
    rows.into_values().collect()
}

/// Pieces that were counted: after a rescale several subtasks can refer to one.
type Seen<'a> = BTreeSet<(&'a ObjectName, u64)>;

impl StateRow {
    fn new(operator: &OperatorId, state: &KeyedEntry) -> Self {
        Self {
            operator: operator.clone(),
            state: state.name.clone(),
            version: state.descriptor.version,
            value_schema: state.descriptor.value_schema.clone(),
            base_bytes: 0,
            delta_bytes: 0,
        }
    }

    fn add<'a>(&mut self, state: &'a KeyedEntry, seen: &mut Seen<'a>) {
        let mut new_bytes = |piece: &'a Piece| {
            let is_new = seen.insert((&piece.object, piece.offset));
            if is_new { piece.length } else { 0 }
        };
        for part in &state.parts {
            self.base_bytes += part.base.iter().map(&mut new_bytes).sum::<u64>();
            self.delta_bytes += part.deltas.iter().map(&mut new_bytes).sum::<u64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn piece(object: &str, offset: u64, length: u64) -> Value {
        json!({
            "object": format!("shared/{object}"),
            "offset": offset,
            "length": length,
            "checksum": "xxh3:0000000000000000",
        })
    }

    fn state(name: &str, base: Value, deltas: &[Value]) -> Value {
        json!({
            "name": name,
            "descriptor": {
                "kind": "value",
                "version": 3,
                "key_schema": "u64",
                "value_schema": "i64",
                "record_format": "fixed",
            },
            "parts": [{ "key_groups": { "start": 0, "end": 128 }, "base": base, "deltas": deltas }],
        })
    }

    #[test]
    fn each_state_is_shown_once_with_the_bytes_of_each_piece_once() {
        let subtask = |index: usize, keyed: Value| json!({ "index": index, "finished": false, "items": [], "keyed": keyed });
        let shared = piece("1-sum-0-0000000000000001-0.delta", 0, 100);
        let base = piece("1-sum-0-0000000000000001-0.base", 0, 1000);
        let first = [
            state("total", base.clone(), std::slice::from_ref(&shared)),
            state("other", Value::Null, &[]),
            state(
                "other/slots",
                Value::Null,
                &[piece("1-sum-0-0000000000000001-1.delta", 0, 7)],
            ),
        ];
        let own = piece("1-sum-0-0000000000000001-0.delta", 100, 10);
        let second = [state("total", base, &[shared, own])];
        let subtasks = [subtask(0, json!(first)), subtask(1, json!(second))];
        let operators = json!({ "sum": { "subtasks": subtasks } });
        let rows = state_rows(&serde_json::from_value(operators).unwrap());
        let bytes: Vec<_> = rows
            .iter()
            .map(|row| (row.state.as_str(), row.base_bytes, row.delta_bytes))
            .collect();
        assert_eq!(bytes, [("other", 0, 7), ("total", 1000, 110)]);
        assert_eq!(rows[1].operator.as_str(), "sum");
        assert_eq!((rows[1].version, &*rows[1].value_schema), (3, "i64"));
    }
}
