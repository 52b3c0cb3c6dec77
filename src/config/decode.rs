//! A TOML value to a Rust type, with all problems and not only the first.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeValue, Error as TomlError, ValueDeserializer};

use super::diagnostic::Problems;
use super::key_path::KeyPath;
use super::serde_message::Meaning;

/// Decodes `value`, or adds what is wrong with it to `problems`.
///
/// `prefix` stands before each key path: `checkpoint.` or `sink out: `. Serde stops at the first problem, so the key
/// with the problem is taken out and the rest is tried again, until it is decoded or nothing can be taken out.
pub(super) fn decode<'t, T: Deserialize<'t>>(
    mut value: Spanned<DeValue<'t>>,
    prefix: &str,
    problems: &Problems<'_>,
) -> Option<T> {
    // What has been reported, so that its absence is no news: what was taken out, and what a slip stood for.
    let mut reported = Vec::new();
    loop {
        let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(decoded) => return reported.is_empty().then_some(decoded),
            Err(error) => error,
        };
        let fault = Fault::of(&error, &value);
        if !reported.contains(&fault.path) {
            let label = label(prefix, &fault.path);
            problems.add(Some(fault.span), label, fault.message, fault.hint);
        }
        if !fault.culprit.remove_from(&mut value) {
            return None;
        }
        reported.push(fault.culprit);
        reported.extend(fault.meant);
    }
}

/// The key path as it is shown.
pub(super) fn label(prefix: &str, path: &KeyPath) -> String {
    if path.is_empty() {
        prefix.trim_end_matches(['.', ':', ' ']).to_owned()
    } else {
        format!("{prefix}{path}")
    }
}

struct Fault {
    /// What the message is about.
    path: KeyPath,
    /// What has to be taken out to get past it: for a missing key, the table that lacks it.
    culprit: KeyPath,
    /// What an unknown key probably stands for.
    meant: Option<KeyPath>,
    span: Range<usize>,
    message: String,
    hint: Option<String>,
}

impl Fault {
    fn of(error: &TomlError, value: &Spanned<DeValue<'_>>) -> Self {
        let span = error.span().unwrap_or_else(|| value.span());
        let path = KeyPath::of_span(value, &span).unwrap_or_default();
        match Meaning::of(error.message(), path.is_secret()) {
            Meaning::UnknownKey { key, meant, hint } => {
                // Inside an enum or a flattened table serde knows the span of the outer table only.
                let (path, span) = match path.ends_with(&key) {
                    true => (path, span),
                    false => KeyPath::of_key(value, &key).unwrap_or((path, span)),
                };
                let meant = meant.map(|meant| path.with_last(&meant));
                let message = "unknown key".to_owned();
                Self {
                    meant,
                    ..Self::at(path, span, message, hint)
                }
            }
            Meaning::MissingKey(key) => Self {
                path: path.join(&key),
                culprit: path,
                meant: None,
                span,
                message: "missing key".to_owned(),
                hint: None,
            },
            Meaning::BadValue { message, hint } => Self::at(path, span, message, hint),
        }
    }

    fn at(path: KeyPath, span: Range<usize>, message: String, hint: Option<String>) -> Self {
        let culprit = path.clone();
        Self {
            path,
            culprit,
            meant: None,
            span,
            message,
            hint,
        }
    }
}
