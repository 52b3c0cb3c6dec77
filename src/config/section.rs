//! The options of one component, to be read by its connector or operator, with errors that point at the file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::component::ComponentRole;
use super::decode::decode;
use super::diagnostic::{Diagnostic, Problems};
use super::key_path::KeyPath;
use super::source_text::SourceText;
use crate::error::{Error, ErrorKind, Result};
use crate::model::OperatorId;

/// The keys that [`ComponentSection`](super::ComponentSection) has read already.
const COMMON_KEYS: [&str; 3] = ["id", "type", "input"];

/// What stands in a component's table beside `id`, `type` and `input`.
#[derive(Clone, Debug)]
pub struct Section {
    /// The whole file: values borrow from the text they were parsed from, so the text is kept and parsed again when
    /// the options are read, which happens once.
    text: Arc<SourceText>,
    role: ComponentRole,
    /// Which component of this role, in the file's order, from 0.
    index: usize,
    id: OperatorId,
}

impl Section {
    pub(super) fn new(
        text: Arc<SourceText>,
        role: ComponentRole,
        index: usize,
        id: OperatorId,
    ) -> Self {
        Self {
            text,
            role,
            index,
            id,
        }
    }

    /// Reads the options. Give the type `#[serde(deny_unknown_fields)]`, so that slips in keys are found.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] with every problem that was found, each with file, line, column, key and hint.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let problems = Problems::new(&self.text);
        let mut table = self.table();
        for key in COMMON_KEYS {
            table.get_mut().remove(key);
        }
        let span = table.span();
        let value = Spanned::new(span, DeValue::Table(table.into_inner()));
        match decode(value, &self.prefix(), &problems) {
            Some(options) => Ok(options),
            None => Err(problems.into_error().into()),
        }
    }

    /// An error about the value at `key_path`, for example `aggregates.mean_delay.column` or `input[1]`. When the path
    /// does not exist, it points at the part of it that does.
    pub fn error_at(
        &self,
        key_path: &str,
        message: impl fmt::Display,
        hint: Option<&str>,
    ) -> Error {
        let span = self.span_of(key_path);
        let key = format!("{}{key_path}", self.prefix());
        let hint = hint.map(str::to_owned);
        let diagnostic = Diagnostic::new(&self.text, Some(span), key, message.to_string(), hint);
        Error::new(ErrorKind::Configuration, diagnostic.to_string())
    }

    /// Puts the place in the file before an error's message. The place is that of the key path which the message
    /// starts with (`aggregates.mean_delay: no column "dely"`), or the component's header when it starts with none.
    /// An error that has its place already is left as it is.
    #[must_use]
    pub fn locate(&self, error: Error) -> Error {
        let message = error.to_string();
        if message.starts_with(&format!("{}:", self.text.name())) {
            return error;
        }
        let key_path = message.split_once(": ").map_or("", |(path, _)| path);
        let (line, column) = self.text.position(self.span_of(key_path).start);
        let name = self.text.name();
        error.context(format!("{name}:{line}:{column}: {} {}", self.role, self.id))
    }

    /// The span of the value at `key_path`, or of as much of it as there is.
    pub(super) fn span_of(&self, key_path: &str) -> Range<usize> {
        let table = self.table();
        KeyPath::parse(key_path)
            .and_then(|path| path.span_in(table.get_ref()))
            .unwrap_or_else(|| table.span())
    }

    /// What stands before each key in a message.
    pub(super) fn prefix(&self) -> String {
        format!("{} {}: ", self.role, self.id)
    }

    /// The component's whole table, with its header's span.
    fn table(&self) -> Spanned<DeTable<'_>> {
        let (mut document, _) = self.text.document();
        let empty = || Spanned::new(0..0, DeTable::default());
        let Some(DeValue::Array(components)) =
            document.remove(self.role.key()).map(Spanned::into_inner)
        else {
            return empty();
        };
        let Some(component) = components.into_iter().nth(self.index) else {
            return empty();
        };
        let span = component.span();
        match component.into_inner() {
            DeValue::Table(table) => Spanned::new(span, table),
            _ => empty(),
        }
    }
}

#[cfg(test)]
mod tests;
