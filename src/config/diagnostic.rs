//! One problem in a job file, and the error that holds all of them.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use super::source_text::SourceText;
use crate::error::{Error, ErrorKind};

/// One problem in a job file: where it is, what it is, and what to do about it.
///
/// Shown as
///
/// ```text
/// job.toml:12:1: checkpoint.intervall: unknown key
///   12 | intervall = "1s"
///      | ^^^^^^^^^
///   hint: did you mean "interval"?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    file: String,
    place: Option<Place>,
    key: String,
    message: String,
    hint: Option<String>,
}

/// Everything that is wrong with a job file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    diagnostics: Vec<Diagnostic>,
}

/// Collects problems, so that all of them are reported at once.
pub(super) struct Problems<'t> {
    text: &'t SourceText,
    /// Each with its place in the file. Several readers share one collector, hence the cell.
    found: RefCell<Vec<(usize, Diagnostic)>>,
}

/// A line of the file and the part of it that is underlined; secrets are masked already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snippet {
    line: String,
    indent: String,
    underline: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    snippet: Snippet,
}

impl Diagnostic {
    /// A problem with `key` at `span`, or with the whole file when there is no span.
    pub(super) fn new(
        text: &SourceText,
        span: Option<Range<usize>>,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let place = span.map(|span| {
            let (line, column) = text.position(span.start);
            let snippet = text.snippet(&span);
            Place {
                line,
                column,
                snippet,
            }
        });
        Self {
            file: text.name().to_owned(),
            place,
            key: key.into(),
            message: message.into(),
            hint,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(place) = &self.place {
            write!(formatter, ":{}:{}", place.line, place.column)?;
        }
        if !self.key.is_empty() {
            write!(formatter, ": {}", self.key)?;
        }
        write!(formatter, ": {}", self.message)?;
        if let Some(Place { line, snippet, .. }) = &self.place {
            let number = line.to_string();
            write!(formatter, "\n  {number} | {}", snippet.line)?;
            write!(
                formatter,
                "\n  {:width$} | {}{:^<1}",
                "",
                snippet.indent,
                snippet.underline,
                width = number.len()
            )?;
        }
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl ConfigError {
    /// The problems, in the order of the file. There is at least one.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n\n")?;
            }
            diagnostic.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::Configuration, error.to_string())
    }
}

impl<'t> Problems<'t> {
    /// No problem yet.
    pub(super) fn new(text: &'t SourceText) -> Self {
        Self {
            text,
            found: RefCell::default(),
        }
    }

    /// Adds a problem with `key` at `span`, or with the whole file when there is no span.
    pub(super) fn add(
        &self,
        span: Option<Range<usize>>,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let offset = span.as_ref().map_or(0, |span| span.start);
        let diagnostic = Diagnostic::new(self.text, span, key, message, hint);
        self.found.borrow_mut().push((offset, diagnostic));
    }

    /// All problems as one error, or `value` when there are none.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, ConfigError> {
        if self.found.borrow().is_empty() {
            return Ok(value);
        }
        Err(self.into_error())
    }

    /// The problems, of which there is at least one, as one error.
    pub(super) fn into_error(self) -> ConfigError {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(offset, _)| *offset);
        let diagnostics = found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect();
        ConfigError { diagnostics }
    }
}

impl Snippet {
    /// Adds what is shown for one character of the line.
    pub(super) fn push(&mut self, shown: &str, underlined: bool, before: bool) {
        self.line.push_str(shown);
        for character in shown.chars() {
            if underlined {
                self.underline.push('^');
            } else if before {
                // A tab is as wide in the indent as it is in the line.
                self.indent.push(if character == '\t' { '\t' } else { ' ' });
            }
        }
    }
}
