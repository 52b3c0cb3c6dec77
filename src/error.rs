//! What went wrong, and what the caller can do about it.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The job's description is wrong: mend the TOML file, the graph or the command line.
    Configuration,
    /// A record that came in is wrong: mend the input, or choose another `on_error`.
    Data,
    /// Disk, network, memory or permissions: mend the surroundings, then start the job again; nothing is lost.
    Environment,
    /// Stored bytes are damaged: choose another checkpoint.
    Corrupt,
    /// Somebody else runs this job or owns these files: stop one of the two.
    Conflict,
    /// An operator of the user's own failed or panicked: mend its code.
    Operator,
    /// Floodmark itself broke a promise: report it.
    Bug,
}

/// An error: a kind, a message that names the path, line, key or id it is about, and what caused it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with nothing behind it. Messages are lower-case and without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Says what caused the error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `context: ` before the message; the kind and the cause stay.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message and all its causes in one line, as a user reads it.
    pub fn full_message(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Some libraries repeat their cause in their own message.
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            cause = error.source();
        }
        text
    }

    /// An [`ErrorKind::Environment`] error of file or network input and output; `what` names the path.
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Environment, what.to_string()).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_message_names_every_cause_once() {
        let cause = std::io::Error::other("disk is full");
        let error = Error::io("write out.csv", cause).context("sink out");
        assert_eq!(error.to_string(), "sink out: write out.csv");
        assert_eq!(
            error.full_message(),
            "sink out: write out.csv: disk is full"
        );
        assert_eq!(error.kind(), ErrorKind::Environment);
    }
}
