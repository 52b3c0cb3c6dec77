//! The names of parts in a bucket, and what a checkpoint says about them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connectors::file::part::Part;
use crate::connectors::format::RowFormat;
use crate::error::{Error, ErrorKind, Result};

/// Where parts lie that wait for their checkpoint.
pub(super) const STAGED_FOLDER: &str = ".pending/";

/// How parts are named.
#[derive(Clone, Debug)]
pub(super) struct PartNames {
    pub(super) format: RowFormat,
    /// The attempt at the job: a process that lost the job must not overwrite what waits for its checkpoint.
    pub(super) attempt: u64,
}

/// A part that is in the store, or on its way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredPart {
    pub(super) part: Part,
    /// Where it waits for its checkpoint.
    pub(super) staged: String,
    pub(super) length: u64,
}

/// What a checkpoint knows about one sink subtask: its item of operator state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredSinkItem {
    pub(super) subtask: usize,
    /// The number that the subtask's next part will have.
    pub(super) next_seq: u64,
    pub(super) pending: Vec<StoredPartItem>,
}

/// A part as a checkpoint knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPartItem {
    /// The name that it has when it is finished.
    pub(super) name: String,
    /// Where it waits.
    pub(super) staged: String,
    pub(super) length: u64,
}

impl PartNames {
    /// The name that readers look for.
    pub(super) fn finished(&self, part: Part) -> String {
        part.name(self.format)
    }

    /// The name under which a part of this attempt waits.
    pub(super) fn staged(&self, part: Part) -> String {
        let Self { format, attempt } = self;
        format!("{STAGED_FOLDER}{}.{attempt:016x}", part.name(*format))
    }

    /// Which part waits under this name, whoever wrote it.
    pub(super) fn of_staged(&self, name: &str) -> Option<Part> {
        let (name, _) = name.strip_prefix(STAGED_FOLDER)?.rsplit_once('.')?;
        Part::of_name(name, self.format)
    }

    /// The part with this final name.
    pub(super) fn of_finished(&self, name: &str) -> Option<Part> {
        Part::of_name(name, self.format)
    }

    /// A part as a checkpoint knows it.
    pub(super) fn item(&self, part: &StoredPart) -> StoredPartItem {
        StoredPartItem {
            name: self.finished(part.part),
            staged: part.staged.clone(),
            length: part.length,
        }
    }

    /// The part that a checkpoint speaks of.
    pub(super) fn of_item(&self, item: &StoredPartItem) -> Result<StoredPart> {
        Ok(StoredPart {
            part: Part::of_item(&item.name, self.format)?,
            staged: item.staged.clone(),
            length: item.length,
        })
    }
}

impl StoredSinkItem {
    pub(super) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Bug, "the sink's state cannot be written").with_source(error)
        })
    }

    pub(super) fn of_value(value: &Value) -> Result<Self> {
        Self::deserialize(value).map_err(|error| {
            let message = format!("the checkpoint's sink state {value} cannot be read");
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })
    }
}
