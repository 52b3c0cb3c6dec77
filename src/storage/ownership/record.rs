//! What the store knows of a job's owner.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Who owns a job, as `owner.json` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// It only grows: every process that takes the job over has a greater one.
    pub generation: u64,
    /// The process id of the owner, for people.
    pub process: u32,
    /// When it took the job over, in milliseconds since the Unix epoch, for people.
    pub since_unix_millis: i64,
    /// The last generation that took the job from a process which may still be alive; 0 when none did. What lies outside
    /// the store carries it in its name, so that the two do not meet there.
    pub taken_over_at: u64,
}

impl OwnerRecord {
    pub(super) fn encode(&self) -> Result<Bytes> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Bug, "the owner's record cannot be written").with_source(error)
        })?;
        Ok(text.into())
    }

    pub(super) fn decode(path: &str, content: &[u8]) -> Result<Self> {
        serde_json::from_slice(content).map_err(|error| {
            let message = format!(
                "{path} does not say who owns the job; see to it that no process runs the job, and remove the file"
            );
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })
    }
}
