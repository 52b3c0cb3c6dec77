//! One column being built from text.

use std::fmt;
use std::str::{self, FromStr};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMillisecondBuilder,
};

#[cfg(feature = "kafka")]
use super::cell::Cell;
use crate::model::ColumnType;

/// How much of a wrong value an error message shows, in characters.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// The Arrow builder of one column.
pub(super) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    String(StringBuilder),
    Timestamp(TimestampMillisecondBuilder),
}

/// Why a value does not fit its column: the value as it was found, and what was wanted.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::connectors) struct CellProblem {
    found: String,
    problem: &'static str,
}

impl ColumnBuilder {
    pub(super) fn new(column_type: ColumnType, rows: usize) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            ColumnType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            ColumnType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            ColumnType::String => Self::String(StringBuilder::with_capacity(rows, rows * 8)),
            ColumnType::Timestamp => Self::Timestamp(
                TimestampMillisecondBuilder::with_capacity(rows)
                    .with_data_type(ColumnType::Timestamp.to_arrow()),
            ),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Boolean(builder) => builder.len(),
            Self::Int64(builder) => builder.len(),
            Self::Float64(builder) => builder.len(),
            Self::String(builder) => builder.len(),
            Self::Timestamp(builder) => builder.len(),
        }
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::String(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
        }
    }

    /// Appends a value as a CSV field holds it. Appends nothing when it does not fit.
    pub(super) fn push_text(&mut self, bytes: &[u8]) -> Result<(), CellProblem> {
        let text = str::from_utf8(bytes).map_err(|_| CellProblem::new(bytes, "not valid UTF-8"))?;
        match self {
            Self::Boolean(builder) => builder.append_value(parse_boolean(text)?),
            Self::Int64(builder) => builder.append_value(parse(text, "not an int64")?),
            Self::Float64(builder) => builder.append_value(parse(text, "not a float64")?),
            Self::String(builder) => builder.append_value(text),
            Self::Timestamp(builder) => builder.append_value(parse_timestamp(text)?),
        }
        Ok(())
    }

    /// Appends a JSON value, other than `null`, given as it stands in the text. Appends nothing when it does not fit.
    pub(super) fn push_json(&mut self, raw: &str) -> Result<(), CellProblem> {
        let quoted = raw.starts_with('"');
        match self {
            Self::Boolean(builder) => match raw {
                "true" => builder.append_value(true),
                "false" => builder.append_value(false),
                _ => return Err(CellProblem::of_json(raw, "not a boolean")),
            },
            Self::Int64(builder) => builder.append_value(parse_json(raw, "not an int64")?),
            Self::Float64(builder) if !quoted => {
                builder.append_value(parse_json(raw, "not a float64")?);
            }
            Self::String(builder) if quoted => with_json_string(raw, |text| {
                builder.append_value(text);
                Ok(())
            })?,
            Self::Timestamp(builder) if quoted => with_json_string(raw, |text| {
                builder.append_value(parse_timestamp(text)?);
                Ok(())
            })?,
            Self::Timestamp(builder) => builder.append_value(parse_json(raw, NOT_A_TIMESTAMP)?),
            Self::Float64(_) => return Err(CellProblem::of_json(raw, "not a float64")),
            Self::String(_) => return Err(CellProblem::of_json(raw, "not a string")),
        }
        Ok(())
    }

    /// Appends a value of the column's own type; one of another type becomes null.
    #[cfg(feature = "kafka")]
    pub(super) fn push_cell(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Boolean(builder), Cell::Boolean(value)) => builder.append_value(value),
            (Self::Int64(builder), Cell::Int64(value)) => builder.append_value(value),
            (Self::Float64(builder), Cell::Float64(value)) => builder.append_value(value),
            (Self::String(builder), Cell::String(value)) => builder.append_value(value),
            (Self::Timestamp(builder), Cell::Timestamp(value)) => builder.append_value(value),
            (builder, _) => builder.push_null(),
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::String(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
        }
    }
}

impl CellProblem {
    fn new(bytes: &[u8], problem: &'static str) -> Self {
        Self::of_json(&format!("{:?}", shorten(bytes)), problem)
    }

    /// JSON text is shown as it is: its own quotes tell a string from a number.
    fn of_json(raw: &str, problem: &'static str) -> Self {
        let found = shorten(raw.as_bytes());
        Self { found, problem }
    }
}

impl fmt::Display for CellProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is {}", self.found, self.problem)
    }
}

const NOT_A_TIMESTAMP: &str = "not a timestamp (RFC 3339, or milliseconds since 1970)";

fn parse<T: FromStr>(text: &str, problem: &'static str) -> Result<T, CellProblem> {
    text.parse()
        .map_err(|_| CellProblem::new(text.as_bytes(), problem))
}

fn parse_json<T: FromStr>(raw: &str, problem: &'static str) -> Result<T, CellProblem> {
    raw.parse().map_err(|_| CellProblem::of_json(raw, problem))
}

fn parse_boolean(text: &str) -> Result<bool, CellProblem> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(CellProblem::new(text.as_bytes(), "not a boolean"))
    }
}

/// Milliseconds since the Unix epoch; what is finer than a millisecond is cut off.
fn parse_timestamp(text: &str) -> Result<i64, CellProblem> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    parse(text, NOT_A_TIMESTAMP)
}

/// Calls `take` with the content of a JSON string; it is only copied when it holds escapes.
fn with_json_string(
    raw: &str,
    take: impl FnOnce(&str) -> Result<(), CellProblem>,
) -> Result<(), CellProblem> {
    let content = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    match content {
        Some(content) if !content.contains('\\') => take(content),
        _ => match serde_json::from_str::<String>(raw) {
            Ok(content) => take(&content),
            Err(_) => Err(CellProblem::of_json(raw, "not a valid string")),
        },
    }
}

fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(column_type: ColumnType, text: &[u8], problem: Option<&str>) {
        let mut builder = ColumnBuilder::new(column_type, 1);
        let found = builder.push_text(text).err().map(|found| found.to_string());
        assert_eq!(found.as_deref(), problem, "{text:?} as {column_type}");
        assert_eq!(builder.len(), usize::from(problem.is_none()));
    }

    fn check_json(column_type: ColumnType, raw: &str, problem: Option<&str>) {
        let mut builder = ColumnBuilder::new(column_type, 1);
        let found = builder.push_json(raw).err().map(|found| found.to_string());
        assert_eq!(found.as_deref(), problem, "{raw} as {column_type}");
        assert_eq!(builder.len(), usize::from(problem.is_none()));
    }

    #[test]
    fn text_that_does_not_fit_its_column_is_named() {
        use ColumnType::*;
        check_text(Int64, b"-12", None);
        check_text(Int64, b"abc", Some("\"abc\" is not an int64"));
        check_text(
            Int64,
            b"9223372036854775808",
            Some("\"9223372036854775808\" is not an int64"),
        );
        check_text(Float64, b"1e3", None);
        check_text(Float64, b"1,5", Some("\"1,5\" is not a float64"));
        check_text(Boolean, b"TRUE", None);
        check_text(Boolean, b"1", Some("\"1\" is not a boolean"));
        check_text(String, b"caf\xc3\xa9", None);
        check_text(
            String,
            b"caf\xe9",
            Some("\"caf\u{fffd}\" is not valid UTF-8"),
        );
        check_text(Timestamp, b"2013-01-01T10:00:00Z", None);
        check_text(Timestamp, b"2013-01-01T10:00:00.5+02:00", None);
        check_text(Timestamp, b"1357034400000", None);
        let problem = "\"yesterday\" is not a timestamp (RFC 3339, or milliseconds since 1970)";
        check_text(Timestamp, b"yesterday", Some(problem));
    }

    #[test]
    fn json_of_another_type_is_named() {
        use ColumnType::*;
        check_json(Int64, "7", None);
        check_json(Int64, "7.5", Some("7.5 is not an int64"));
        check_json(Int64, "\"7\"", Some("\"7\" is not an int64"));
        check_json(Float64, "7", None);
        check_json(Float64, "\"7\"", Some("\"7\" is not a float64"));
        check_json(Boolean, "true", None);
        check_json(Boolean, "\"true\"", Some("\"true\" is not a boolean"));
        check_json(String, r#""a\n\u00e9""#, None);
        check_json(String, "{\"a\":1}", Some("{\"a\":1} is not a string"));
        check_json(Timestamp, "\"2013-01-01T10:00:00Z\"", None);
        check_json(Timestamp, "1357034400000", None);
    }

    #[test]
    fn a_timestamp_is_the_same_instant_in_every_spelling() {
        for text in [
            "2013-01-01T10:00:00Z",
            "2013-01-01T12:00:00+02:00",
            "1357034400000",
        ] {
            assert_eq!(parse_timestamp(text).unwrap(), 1_357_034_400_000, "{text}");
        }
    }

    #[test]
    fn a_long_wrong_value_is_cut_in_messages() {
        let problem = CellProblem::new("x".repeat(1000).as_bytes(), "not an int64");
        assert!(problem.to_string().len() < 100, "{problem}");
    }
}
