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

/// The kind, the version and the schemas of a named state, as they stand in the manifest.
///
/// A restore compares it with what the operator registers. Schemas are texts as [`super::SchemaText`] writes them, with
/// the size and the alignment of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateDescriptor {
    /// The kind of state.
    pub kind: StateKind,
    /// The version that the user gave the value's layout.
    pub version: u32,
    /// The schema of the key.
    pub key_schema: String,
    /// For a map, the schema of the map's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_key_schema: Option<String>,
    /// The schema of the value.
    pub value_schema: String,
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
