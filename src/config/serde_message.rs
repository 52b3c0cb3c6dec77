//! Serde's messages in the words of a job file.

use super::suggestion;

/// What a failed decoding means for the user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A key that the component does not know.
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that it is probably a slip of.
        meant: Option<String>,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A key that has to be there.
    MissingKey(String),
    /// A value that the key does not take.
    BadValue {
        /// What is wrong with it.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl Meaning {
    /// Understands one of serde's messages. The value of a `secret` key never gets into the result.
    pub(super) fn of(message: &str, secret: bool) -> Self {
        let quoted = quoted_words(message);
        let (first, others) = match quoted.split_first() {
            Some((first, others)) => (*first, others),
            None => ("", &[][..]),
        };
        if message.starts_with("unknown field ") {
            return Self::UnknownKey {
                key: first.to_owned(),
                meant: suggestion::similar(first, others).map(str::to_owned),
                hint: suggestion::hint(first, others, "known keys"),
            };
        }
        if message.starts_with("missing field ") {
            return Self::MissingKey(first.to_owned());
        }
        if message.starts_with("unknown variant ") {
            return unknown_value(first, others, secret);
        }
        if let Some(message) = type_mismatch(message) {
            return Self::BadValue {
                message,
                hint: None,
            };
        }
        let message = if secret {
            "the value is not accepted (it is not shown, because the key names a secret)"
        } else {
            message
        };
        Self::BadValue {
            message: message.to_owned(),
            hint: None,
        }
    }
}

fn unknown_value(value: &str, known: &[&str], secret: bool) -> Meaning {
    let message = if secret {
        "unknown value".to_owned()
    } else {
        format!("unknown value \"{value}\"")
    };
    Meaning::BadValue {
        message,
        hint: suggestion::hint(value, known, "known values"),
    }
}

/// `invalid type: string "5", expected u16` without the value, which the line shows anyway unless it is secret.
fn type_mismatch(message: &str) -> Option<String> {
    let rest = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix))?;
    // The value comes first and can hold any text, the expectation is ours.
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let expected = expectation(expected);
    let kind = found.split(['`', '"']).next().unwrap_or_default().trim();
    if message.starts_with("invalid type: ") {
        Some(format!(
            "expected {expected}, found {}",
            kind_of_value(kind)
        ))
    } else {
        Some(format!("expected {expected}"))
    }
}

fn expectation(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" => "a whole number that is not negative",
        "u16" => "a whole number from 0 to 65535",
        "u8" => "a whole number from 0 to 255",
        "isize" | "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    }
}

fn kind_of_value(kind: &str) -> &str {
    match kind {
        "string" => "a string",
        "integer" => "an integer",
        "floating point" => "a number with a fraction",
        "boolean" => "a boolean",
        "sequence" => "a list",
        "map" => "a table",
        kind => kind,
    }
}

/// The words in back-ticks.
fn quoted_words(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, secret: bool, expected: &str) {
        let shown = match Meaning::of(message, secret) {
            Meaning::UnknownKey { key, hint, .. } => format!("unknown key {key} ({hint:?})"),
            Meaning::MissingKey(key) => format!("missing key {key}"),
            Meaning::BadValue { message, .. } => message,
        };
        assert_eq!(shown, expected, "{message}");
    }

    #[test]
    fn every_message_of_serde_is_put_into_our_words() {
        check(
            "unknown field `pth`, expected `path` or `format`",
            false,
            "unknown key pth (Some(\"did you mean \\\"path\\\"?\"))",
        );
        check("missing field `path`", false, "missing key path");
        check(
            "unknown variant `cvs`, expected `csv` or `json`",
            false,
            "unknown value \"cvs\"",
        );
        check(
            "invalid type: string \"5\", expected u16",
            false,
            "expected a whole number from 0 to 65535, found a string",
        );
        check(
            "invalid type: string \", expected x\", expected u16",
            false,
            "expected a whole number from 0 to 65535, found a string",
        );
        check(
            "invalid value: integer `-1`, expected usize",
            false,
            "expected a whole number that is not negative",
        );
        check(
            "invalid type: map, expected a sequence",
            false,
            "expected a list, found a table",
        );
        check("no port in \"host\"", false, "no port in \"host\"");
    }

    #[test]
    fn a_secret_does_not_get_into_the_message() {
        let hidden = "the value is not accepted (it is not shown, because the key names a secret)";
        check("bad password hunter2", true, hidden);
        check(
            "unknown variant `hunter2`, expected `a`",
            true,
            "unknown value",
        );
        check(
            "invalid type: string \"hunter2\", expected u16",
            true,
            "expected a whole number from 0 to 65535, found a string",
        );
    }
}
