//! Reads one table of a job file key by key.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::decode::decode;
use super::diagnostic::Problems;
use super::suggestion;
use super::units::HumanDuration;

/// A table that is read key by key. Each key that is asked for becomes a known one; whatever is left at the end is
/// unknown.
pub(super) struct Fields<'t, 'p> {
    /// What stands before each key in a message: `checkpoint.` or `sink out: `.
    prefix: String,
    table: DeTable<'t>,
    /// The table's header; nothing when the file has none.
    header: Option<Range<usize>>,
    known: Vec<&'static str>,
    problems: &'p Problems<'t>,
}

/// What is wrong with a value, and what to do about it.
pub(super) struct Refusal {
    message: String,
    hint: Option<String>,
}

/// The judgement on a value.
pub(super) type Verdict = Result<(), Refusal>;

impl<'t, 'p> Fields<'t, 'p> {
    /// Reads `table`, whose header is at `header`.
    pub(super) fn new(
        prefix: impl Into<String>,
        table: DeTable<'t>,
        header: Option<Range<usize>>,
        problems: &'p Problems<'t>,
    ) -> Self {
        Self {
            prefix: prefix.into(),
            table,
            header,
            known: Vec::new(),
            problems,
        }
    }

    /// Reads the table `name` of a document, or of another table; an absent one is empty.
    pub(super) fn of_section(name: &'static str, document: &mut Self) -> Self {
        let problems = document.problems;
        let full_name = format!("{}{name}", document.prefix);
        let prefix = format!("{full_name}.");
        let Some(value) = document.take(name) else {
            return Self::new(prefix, DeTable::default(), None, problems);
        };
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Self::new(prefix, table, Some(span), problems),
            other => {
                let message = format!("expected a table, found {}", kind_of(&other));
                let hint = format!("write [{full_name}]");
                problems.add(Some(span.clone()), full_name, message, Some(hint));
                Self::new(prefix, DeTable::default(), Some(span), problems)
            }
        }
    }

    /// Reads one element of a list of tables.
    pub(super) fn of_element(
        prefix: impl Into<String>,
        element: Spanned<DeValue<'t>>,
        problems: &'p Problems<'t>,
    ) -> Option<Self> {
        let span = element.span();
        match element.into_inner() {
            DeValue::Table(table) => Some(Self::new(prefix, table, Some(span), problems)),
            _ => None,
        }
    }

    /// The collector that problems are added to.
    pub(super) fn problems(&self) -> &'p Problems<'t> {
        self.problems
    }

    /// Messages name `prefix` from now on.
    pub(super) fn set_prefix(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    /// Takes a key out as it is.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Reads a key that may be absent, and judges its value. Problems are noted, and give nothing.
    pub(super) fn read<T: Deserialize<'t>>(
        &mut self,
        key: &'static str,
        judge: impl Fn(&T) -> Verdict,
    ) -> Option<T> {
        let value = self.take(key)?;
        let span = value.span();
        let decoded = decode(value, &format!("{}{key}.", self.prefix), self.problems)?;
        match judge(&decoded) {
            Ok(()) => Some(decoded),
            Err(refusal) => {
                self.refuse(Some(span), key, refusal);
                None
            }
        }
    }

    /// Reads a key into `target`, which keeps its default when the key is absent.
    pub(super) fn set<T: Deserialize<'t>>(
        &mut self,
        key: &'static str,
        target: &mut T,
        judge: impl Fn(&T) -> Verdict,
    ) {
        if let Some(value) = self.read(key, judge) {
            *target = value;
        }
    }

    /// The same for a duration with its unit.
    pub(super) fn set_duration(
        &mut self,
        key: &'static str,
        target: &mut Duration,
        judge: impl Fn(&Duration) -> Verdict,
    ) {
        if let Some(value) = self.read(key, |value: &HumanDuration| judge(&value.0)) {
            *target = value.0;
        }
    }

    /// Reads a key that must be there.
    pub(super) fn require<T: Deserialize<'t>>(
        &mut self,
        key: &'static str,
        judge: impl Fn(&T) -> Verdict,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.known.push(key);
            self.missing(key, None);
            return None;
        }
        self.read(key, judge)
    }

    /// Reports that `key` is missing.
    pub(super) fn missing(&mut self, key: &str, hint: Option<String>) {
        let message = "missing key".to_owned();
        self.refuse(self.header.clone(), key, Refusal { message, hint });
    }

    /// Reports that `key`, at `span`, cannot be taken.
    pub(super) fn refuse(&mut self, span: Option<Range<usize>>, key: &str, refusal: Refusal) {
        let key = format!("{}{key}", self.prefix);
        self.problems.add(span, key, refusal.message, refusal.hint);
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.table.iter() {
            let hint = suggestion::hint(key.get_ref(), &self.known, "known keys");
            let name = format!("{}{}", self.prefix, key.get_ref());
            self.problems
                .add(Some(key.span()), name, "unknown key", hint);
        }
    }
}

impl Refusal {
    /// A refusal with nothing to advise.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a value is, with its article.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
