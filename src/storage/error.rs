//! What can go wrong in the store, in the cases that a caller tells apart.

use std::error::Error as StdError;
use std::io;

use crate::error::{Error, ErrorKind};

/// A failed operation of the blob store. Paths are shown in full, as the user would look for them.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// An exclusive create found the path taken.
    #[error("{path} already exists")]
    AlreadyExists {
        /// The path in full.
        path: String,
    },
    /// There is nothing at the path.
    #[error("{path} does not exist")]
    NotFound {
        /// The path in full.
        path: String,
    },
    /// The surroundings refused: no permission, no room, a broken disk, a timeout.
    #[error("cannot {action} {path}")]
    Failed {
        /// What was tried, for example `write`.
        action: &'static str,
        /// The path in full.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl StorageError {
    /// Whether trying again may help.
    pub(super) fn may_pass(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, Unsupported};
        match self {
            Self::AlreadyExists { .. } | Self::NotFound { .. } => false,
            Self::Failed { source, .. } => !matches!(
                source.kind(),
                PermissionDenied | ReadOnlyFilesystem | Unsupported
            ),
        }
    }

    /// The case that an error of OpenDAL stands for.
    pub(super) fn from_opendal(action: &'static str, path: String, error: opendal::Error) -> Self {
        match error.kind() {
            opendal::ErrorKind::NotFound => Self::NotFound { path },
            // Only the exclusive create sets a condition. `AlreadyExists` is something else: a file where a folder is
            // to be made.
            opendal::ErrorKind::ConditionNotMatch => Self::AlreadyExists { path },
            _ => Self::Failed {
                action,
                path,
                source: into_io_error(error),
            },
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let kind = match &error {
            // Names are never used twice, so whoever took it is another process.
            StorageError::AlreadyExists { .. } => ErrorKind::Conflict,
            StorageError::NotFound { .. } => ErrorKind::Corrupt,
            StorageError::Failed { .. } => ErrorKind::Environment,
        };
        let message = error.to_string();
        match error {
            StorageError::Failed { source, .. } => Self::new(kind, message).with_source(source),
            StorageError::AlreadyExists { .. } | StorageError::NotFound { .. } => {
                Self::new(kind, message)
            }
        }
    }
}

/// The system's own words when there are any: OpenDAL's text repeats path and context, which the message has already.
fn into_io_error(error: opendal::Error) -> io::Error {
    let system = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match system {
        Some(system) => match system.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(system.kind(), system.to_string()),
        },
        None => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_environment_error_that_names_path_and_cause() {
        let full = io::Error::from_raw_os_error(28);
        let error = opendal::Error::new(opendal::ErrorKind::Unexpected, "write").set_source(full);
        let error = Error::from(StorageError::from_opendal("write", "/data/x".into(), error));
        assert_eq!(error.kind(), ErrorKind::Environment);
        assert_eq!(
            error.full_message(),
            "cannot write /data/x: No space left on device (os error 28)"
        );
    }

    #[test]
    fn a_taken_path_is_a_conflict() {
        let error = opendal::Error::new(opendal::ErrorKind::ConditionNotMatch, "exists");
        let error = StorageError::from_opendal("write", "/data/x".into(), error);
        assert!(matches!(error, StorageError::AlreadyExists { .. }));
        assert_eq!(Error::from(error).kind(), ErrorKind::Conflict);
    }
}
