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
        use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
        match self {
            Self::AlreadyExists { .. } | Self::NotFound { .. } => false,
            Self::Failed { source, .. } => !matches!(
                source.kind(),
                InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported
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
        None => answer_of_store(&error),
    }
}

/// What a store beyond the network has answered, or why there was no answer.
fn answer_of_store(error: &opendal::Error) -> io::Error {
    let words = words_of(error.message());
    let (kind, advice) = match error.kind() {
        opendal::ErrorKind::PermissionDenied => (
            io::ErrorKind::PermissionDenied,
            "; check the credentials, and what they are allowed to do",
        ),
        opendal::ErrorKind::ConfigInvalid if words.contains("NoSuchBucket") => (
            io::ErrorKind::InvalidInput,
            "; make the bucket, or name another",
        ),
        opendal::ErrorKind::ConfigInvalid => (io::ErrorKind::InvalidInput, ""),
        opendal::ErrorKind::Unsupported => (io::ErrorKind::Unsupported, ""),
        _ => (io::ErrorKind::Other, ""),
    };
    let mut text = words;
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    io::Error::new(kind, format!("{text}{advice}"))
}

/// OpenDAL passes an answer of S3 on as `S3Error { code: "...", message: "...", ... }`: its code and its message are enough.
fn words_of(message: &str) -> String {
    let field = |name: &str| {
        let (_, rest) = message.split_once(&format!("{name}: \""))?;
        rest.split_once("\",").map(|(value, _)| value)
    };
    match (field("code"), field("message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => message.to_owned(),
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
    fn the_answer_of_a_bucket_is_told_in_its_own_words_with_advice() {
        let answer = |kind, code: &str, message: &str| {
            let text = format!(
                "S3Error {{ code: \"{code}\", message: \"{message}\", resource: \"/b\", request_id: \"18EA\" }}"
            );
            let error = opendal::Error::new(kind, text);
            StorageError::from_opendal("write", "s3://b/x".into(), error)
        };
        let denied = answer(
            opendal::ErrorKind::PermissionDenied,
            "AccessDenied",
            "Access Denied.",
        );
        assert!(!denied.may_pass());
        assert_eq!(
            Error::from(denied).full_message(),
            "cannot write s3://b/x: AccessDenied: Access Denied.; check the credentials, and what they are allowed to do"
        );
        let missing = answer(
            opendal::ErrorKind::ConfigInvalid,
            "NoSuchBucket",
            "It is not there",
        );
        assert!(!missing.may_pass());
        assert_eq!(
            Error::from(missing).full_message(),
            "cannot write s3://b/x: NoSuchBucket: It is not there; make the bucket, or name another"
        );
        let busy = answer(opendal::ErrorKind::RateLimited, "SlowDown", "Slow down");
        assert!(busy.may_pass());
    }

    #[test]
    fn a_taken_path_is_a_conflict() {
        let error = opendal::Error::new(opendal::ErrorKind::ConditionNotMatch, "exists");
        let error = StorageError::from_opendal("write", "/data/x".into(), error);
        assert!(matches!(error, StorageError::AlreadyExists { .. }));
        assert_eq!(Error::from(error).kind(), ErrorKind::Conflict);
    }
}
