//! What the process tells its caller when it ends.

use std::process::ExitCode;

use crate::error::{Error, ErrorKind};

/// The exit status of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// All is done.
    Success,
    /// The job or the command failed.
    Failed,
    /// The command line or the job file is wrong.
    Usage,
    /// A second signal ended the job at once, without a last checkpoint.
    Interrupted,
}

impl ExitStatus {
    /// The number that the caller sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Interrupted => 130,
        }
    }

    /// The status of a command that ended with this error.
    pub(super) fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Configuration => Self::Usage,
            _ => Self::Failed,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
