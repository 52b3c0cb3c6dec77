//! What a snapshot says about a named state, so that a restore never misreads it.

use serde::{Deserialize, Serialize};

/// The kind of a keyed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateKind {
    /// One value for each key.
    Value,
    /// For each key a map: one record for each map entry.
    Map,
}

/// The kind and the types of a named state, as they stand in the manifest.
///
/// A restore compares it with what the operator registers, and fails on any difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateDescriptor {
    /// The kind of state.
    pub kind: StateKind,
    /// The key's type: its name, and the size and alignment of its archived form.
    pub key_type: String,
    /// For a map, the type of the map's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_key_type: Option<String>,
    /// The value's type: its name, and the size and alignment of its archived form.
    pub value_type: String,
    /// How a record lies in bases and deltas.
    pub record_format: RecordFormat,
}

/// How a record lies in bases and deltas; the byte tables are in the documentation of [`crate::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordFormat {
    /// Key and value have one size for all records.
    Fixed,
    /// Each record says how long its key and its value are.
    Variable,
}
