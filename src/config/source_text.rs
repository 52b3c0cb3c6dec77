//! The text of a job file: where its lines are, and which parts of it are secret.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error as TomlError};

use super::diagnostic::Snippet;

/// Words that make a key's value a secret, alone or as a part of the key: `api_key`, `sasl-password`.
const SECRET_WORDS: [&str; 7] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "key",
    // Of the settings of a Kafka client.
    "oauthbearer",
    "pem",
];

/// What is shown in place of a secret.
const MASK: &str = "***";

/// The text of a job file.
#[derive(Debug)]
pub(super) struct SourceText {
    name: String,
    text: String,
    /// The values that are never shown, as byte ranges.
    secrets: Vec<Range<usize>>,
}

impl SourceText {
    /// The text of the file `name`.
    pub(super) fn new(name: &str, text: &str) -> Self {
        let mut secrets = Vec::new();
        let (document, errors) = DeTable::parse_recoverable(text);
        collect_secrets(document.get_ref(), &mut secrets);
        for error in errors {
            // A line that cannot be parsed has no reliable values, so it is judged by its words.
            let line = line_range(text, error.span().map_or(0, |span| span.start));
            secrets.extend(secret_tail(text, line));
        }
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            secrets,
        }
    }

    /// The file's name, as the user gave it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The whole text as a table, as far as it could be parsed, and what could not be.
    pub(super) fn document(&self) -> (DeTable<'_>, Vec<TomlError>) {
        let (document, errors) = DeTable::parse_recoverable(&self.text);
        (document.into_inner(), errors)
    }

    /// The line and column of a byte, both from 1; columns count characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = line_range(&self.text, offset);
        let before = self.text.get(..line.start).unwrap_or_default();
        let in_line = self.text.get(line.start..offset).unwrap_or_default();
        (
            before.matches('\n').count() + 1,
            in_line.chars().count() + 1,
        )
    }

    /// The line on which `span` starts, with the part of it that is to be underlined.
    pub(super) fn snippet(&self, span: &Range<usize>) -> Snippet {
        let line = line_range(&self.text, span.start);
        let mut snippet = Snippet::default();
        let mut masked = false;
        for (at, character) in self
            .text
            .get(line.clone())
            .unwrap_or_default()
            .char_indices()
        {
            let offset = line.start + at;
            let secret = self.secrets.iter().any(|secret| secret.contains(&offset));
            let shown = match (secret, masked) {
                (true, true) => String::new(),
                (true, false) => MASK.to_owned(),
                (false, _) => character.to_string(),
            };
            masked = secret;
            snippet.push(
                &shown,
                span.start <= offset && offset < span.end,
                offset < span.start,
            );
        }
        snippet
    }
}

/// Whether the value of this key must not be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    key.split(|character: char| !character.is_alphanumeric())
        .any(|word| SECRET_WORDS.contains(&word.to_lowercase().as_str()))
}

fn collect_secrets(table: &DeTable<'_>, secrets: &mut Vec<Range<usize>>) {
    for (key, value) in table.iter() {
        if is_secret(key.get_ref()) {
            collect_values(value, secrets);
        } else {
            collect_nested_secrets(value, secrets);
        }
    }
}

fn collect_nested_secrets(value: &Spanned<DeValue<'_>>, secrets: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => collect_secrets(table, secrets),
        DeValue::Array(items) => items
            .iter()
            .for_each(|item| collect_nested_secrets(item, secrets)),
        _ => {}
    }
}

/// All values below a secret key. The span of a table is its header, which is no secret.
fn collect_values(value: &Spanned<DeValue<'_>>, secrets: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table
            .iter()
            .for_each(|(_, value)| collect_values(value, secrets)),
        DeValue::Array(items) => items.iter().for_each(|item| collect_values(item, secrets)),
        _ => secrets.push(value.span()),
    }
}

fn line_range(text: &str, offset: usize) -> Range<usize> {
    let offset = offset.min(text.len());
    let bytes = text.as_bytes();
    let is_newline = |byte: &u8| *byte == b'\n';
    let start = bytes[..offset]
        .iter()
        .rposition(is_newline)
        .map_or(0, |at| at + 1);
    let end = bytes[offset..]
        .iter()
        .position(is_newline)
        .map_or(text.len(), |at| offset + at);
    let end = if bytes[start..end].last() == Some(&b'\r') {
        end - 1
    } else {
        end
    };
    start..end
}

/// What follows the first `=` of a line that has a secret word in it.
fn secret_tail(text: &str, line: Range<usize>) -> Option<Range<usize>> {
    let content = text.get(line.clone())?;
    let equals = content.find('=')?;
    is_secret(content).then_some(line.start + equals + 1..line.end)
}
