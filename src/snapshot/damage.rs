//! Why a checkpoint cannot be used.

use super::manifest::{FORMAT_VERSION, STATE_ENCODING};
use crate::storage::{Checksum, ObjectName};

/// What is wrong with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its folder holds no manifest: it was given up, or the process died before.
    #[error("it has no manifest, so it was never completed")]
    Incomplete,
    /// The manifest has no byte.
    #[error("its manifest is empty")]
    EmptyManifest,
    /// The manifest is not what a writer leaves behind when it gets to the end.
    #[error("its manifest is cut off or garbled: {reason}")]
    TornManifest {
        /// Where reading it failed.
        reason: String,
    },
    /// The manifest can be read, but a byte has changed.
    #[error("its manifest has the checksum {found}, not {expected} as it says")]
    ManifestChecksum {
        /// The checksum that it states.
        expected: Checksum,
        /// The checksum of what it holds.
        found: Checksum,
    },
    /// The manifest is whole, and what it says cannot be.
    #[error("its manifest contradicts itself: {reason}")]
    InvalidManifest {
        /// What cannot be.
        reason: String,
    },
    /// The manifest is whole, but in a format that this version does not know.
    #[error(
        "it is in format version {version}, and this version of floodmark reads {FORMAT_VERSION}"
    )]
    UnknownVersion {
        /// The format's version.
        version: u32,
    },
    /// The manifest is whole, but the state's bytes mean something else.
    #[error(
        "its state is encoded as \"{encoding}\", and this build of floodmark reads \"{STATE_ENCODING}\""
    )]
    UnknownEncoding {
        /// The encoding that it names.
        encoding: String,
    },
    /// An object that the manifest refers to is not there.
    #[error("{object} is missing")]
    MissingObject {
        /// The object.
        object: ObjectName,
    },
    /// An object is shorter than the manifest says.
    #[error("{object} is cut off: it has {length} bytes of {expected}")]
    TruncatedObject {
        /// The object.
        object: ObjectName,
        /// How many bytes it has.
        length: u64,
        /// How many it must have at least.
        expected: u64,
    },
    /// A section of an object has changed.
    #[error(
        "{object} is damaged: its bytes from {offset} on have the checksum {found}, not {expected}"
    )]
    ObjectChecksum {
        /// The object.
        object: ObjectName,
        /// The section's first byte.
        offset: u64,
        /// The checksum in the manifest.
        expected: Checksum,
        /// The checksum of what was read.
        found: Checksum,
    },
    /// A section of an object is what was written, and is not what it should be.
    #[error("{object} is malformed: in its section at {offset}, {reason}")]
    MalformedPiece {
        /// The object.
        object: ObjectName,
        /// The section's first byte.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The store refused to hand it out; it may be whole.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// What the store said.
        reason: String,
    },
}

impl Damage {
    /// Whether the checkpoint may be whole and only this process cannot read it. Then no older one may quietly take
    /// its place: what it covers is committed outside.
    pub fn may_be_whole(&self) -> bool {
        matches!(
            self,
            Self::UnknownVersion { .. } | Self::UnknownEncoding { .. } | Self::Unreadable { .. }
        )
    }
}
