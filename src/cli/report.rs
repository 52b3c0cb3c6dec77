//! An error as the user reads it.

use crate::error::{Error, ErrorKind};

/// The error with all its causes, and what to do about it. It can have several lines, the last one has no line end.
pub(super) fn describe_error(error: &Error) -> String {
    let message = error.full_message();
    match hint(error.kind()) {
        Some(hint) => format!("error: {message}\n  hint: {hint}"),
        None => format!("error: {message}"),
    }
}

/// Errors of the job file bring their own hints, and those of the user's own operators need none.
fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Configuration | ErrorKind::Operator => None,
        ErrorKind::Data => Some("mend the input, or choose another on_error for the source"),
        ErrorKind::Environment => {
            Some("mend the cause and run the job again, it goes on from its last checkpoint")
        }
        ErrorKind::Corrupt => {
            Some("run the job again, it goes on from an older checkpoint; --fresh starts anew")
        }
        ErrorKind::Conflict => Some("stop whatever else runs this job, then run it again"),
        ErrorKind::Bug => Some("this is a fault of floodmark, please report it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_described_with_its_causes_and_what_to_do() {
        let cause = std::io::Error::other("disk is full");
        let error = Error::io("write out.csv", cause).context("sink out");
        assert_eq!(
            describe_error(&error),
            "error: sink out: write out.csv: disk is full\n  hint: mend the cause and run the job again, it goes on \
             from its last checkpoint"
        );
        let error = Error::new(
            ErrorKind::Configuration,
            "job.toml:1:1: job.name: missing key",
        );
        assert_eq!(
            describe_error(&error),
            "error: job.toml:1:1: job.name: missing key"
        );
    }
}
