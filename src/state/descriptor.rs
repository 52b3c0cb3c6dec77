//! What a snapshot says about a named state, so that a restore never misreads it.

use serde::{Deserialize, Serialize};

/// The kind of a keyed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateKind {
    /// One value for each key.
    Value,
    /// One value for each pair of a key and an entry key.
    Entry,
    /// For each key a map: one record for each map entry.
    Map,
    /// For each key a list: one record for each element.
    List,
    /// For each key what a function made of all values added.
    Reducing,
    /// For each key an accumulator of all values added.
    Aggregating,
    /// A part of a map or list: where its records are.
    Index,
}

impl StateKind {
    /// The kind as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Entry => "entry",
            Self::Map => "map",
            Self::List => "list",
            Self::Reducing => "reducing",
            Self::Aggregating => "aggregating",
            Self::Index => "index",
        }
    }
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
    /// For records of more than one for each key, the schema of what tells those of one key apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_key_schema: Option<String>,
    /// The schema of the value; with a time-to-live, that of the value with its end.
    pub value_schema: String,
    /// Whether each value lies with its end: the moment at which its time is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub time_to_live: bool,
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
