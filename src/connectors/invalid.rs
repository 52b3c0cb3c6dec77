//! The refusal of a setting.

use crate::error::{Error, ErrorKind, Result};

/// Refuses a setting; the message begins with its key.
pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Configuration, message))
}
