//! What the state of an aggregate operator holds, in words, so that a restore never misreads it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// What decides how the state is to be read: the state itself keeps columns as bytes and numbers.
///
/// Columns count with name and type, and in their order: two columns of one type would else change places unnoticed. The
/// names of the results do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AggregateSchema {
    /// The key columns, as in `origin string`.
    pub(super) key: Vec<String>,
    /// The column of the map key, if there is one.
    pub(super) map_key: Option<String>,
    /// The functions, as in `max(delay float64)`.
    pub(super) aggregates: Vec<String>,
}

impl AggregateSchema {
    /// Checks that a checkpoint holds state of this schema.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] with what differs; [`ErrorKind::Corrupt`] when the checkpoint does not say it.
    pub(super) fn check(&self, stored: &Value) -> Result<()> {
        let stored = Self::deserialize(stored).map_err(|source| {
            let message =
                "the checkpoint does not say what the operator's state holds: start with --fresh";
            Error::new(ErrorKind::Corrupt, message).with_source(source)
        })?;
        let differences = [
            difference("key", &stored.key, &self.key),
            difference(
                "map_key",
                stored.map_key.as_slice(),
                self.map_key.as_slice(),
            ),
            difference("aggregates", &stored.aggregates, &self.aggregates),
        ];
        let differences: Vec<String> = differences.into_iter().flatten().collect();
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Configuration,
            format!(
                "{}; bring the former keys and aggregates back, or start with --fresh",
                differences.join("; ")
            ),
        ))
    }
}

/// What the checkpoint holds for a setting and what the job asks for, if that is not the same.
fn difference(setting: &str, stored: &[String], asked: &[String]) -> Option<String> {
    (stored != asked).then(|| {
        format!(
            "{setting}: the checkpoint holds the state of {}, the job asks for {}",
            listed(stored),
            listed(asked)
        )
    })
}

fn listed(parts: &[String]) -> String {
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}
