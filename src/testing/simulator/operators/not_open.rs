//! The error of an operator that is used before it was opened.

use crate::error::{Error, ErrorKind};

pub(super) fn not_open() -> Error {
    Error::new(ErrorKind::Bug, "the operator is not open")
}
