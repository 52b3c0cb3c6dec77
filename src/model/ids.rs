//! Names of things: newtypes, so that no bare string or integer can be taken for another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The id of an operator, unique in its job: set in the TOML file or in the builder.
///
/// State in a snapshot is found again by this id, so it must stay the same across changes of the job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperatorId(Arc<str>);

impl OperatorId {
    /// Makes an id of `name`.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperatorId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<&str> for OperatorId {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// One parallel instance of a chain of operators: the id of the chain's first operator, and an index from 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubtaskId {
    /// The first operator of the chain that runs in this subtask.
    pub operator: OperatorId,
    /// Which of the operator's parallel instances this is, from 0.
    pub index: usize,
}

impl SubtaskId {
    /// Subtask `index` of `operator`.
    pub fn new(operator: OperatorId, index: usize) -> Self {
        Self { operator, index }
    }
}

impl fmt::Display for SubtaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[{}]", self.operator, self.index)
    }
}

/// The number of a checkpoint: it only grows, across restarts too, and an abandoned one is never used again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CheckpointId(pub u64);

impl CheckpointId {
    /// The id after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
