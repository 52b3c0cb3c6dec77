//! What a snapshot says about a named operator state, so that a restore never misreads it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::spec::FIRST_VERSION;

/// The kind of an operator state: what a restore does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorStateKind {
    /// A list whose items are dealt out to the subtasks.
    List,
    /// A list of which every subtask is given the items of all.
    UnionList,
    /// A map that is the same in every subtask.
    Broadcast,
}

/// The kind and the types of a named operator state, as they stand in the manifest.
///
/// A restore compares it with what the operator registers. Values of another version or another schema need a migration;
/// any other difference is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OperatorStateDescriptor {
    /// The kind of state.
    pub kind: OperatorStateKind,
    /// The version that the user gave the layout of items and values.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub version: u32,
    /// For a broadcast state, the schema of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_schema: Option<String>,
    /// The schema of an item, or of what a key leads to.
    pub value_schema: String,
}

impl OperatorStateKind {
    /// The kind in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::UnionList => "union list",
            Self::Broadcast => "broadcast",
        }
    }
}

fn first_version() -> u32 {
    FIRST_VERSION
}

fn is_first_version(version: &u32) -> bool {
    *version == FIRST_VERSION
}

impl fmt::Display for OperatorStateDescriptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            key_schema,
            value_schema,
            version: _,
        } = self;
        write!(formatter, "{} state of {value_schema}", kind.as_str())?;
        match key_schema {
            Some(key_schema) => write!(formatter, " by {key_schema}"),
            None => Ok(()),
        }
    }
}
