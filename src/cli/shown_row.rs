//! A row of a state as it is printed: with names and types, as JSON or as CSV.

use std::fmt;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::model::EventTime;
use crate::operator::RowFormat;
use crate::snapshot::offline::{StoredRow, StoredRowValue};
use crate::state::StateKind;
use crate::state::rows::{DecodedValue, RowValue};

/// A part of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowPart {
    /// The subtask that holds an item of operator state.
    Subtask,
    Key,
    MapKey,
    Value,
    ExpiresAt,
}

impl RowPart {
    /// What it is called in JSON, and above its column.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Subtask => "subtask",
            Self::Key => "key",
            Self::MapKey => "map_key",
            Self::Value => "value",
            Self::ExpiresAt => "expires_at",
        }
    }
}

impl fmt::Display for RowPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.title())
    }
}

/// A row in words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShownRow {
    pub(super) key: RowValue,
    pub(super) map_key: Option<RowValue>,
    pub(super) value: RowValue,
    /// When the value's time is over, in a state with a time-to-live; for each element of a list.
    pub(super) expires_at: Option<RowValue>,
}

impl ShownRow {
    /// Puts a stored row into words.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when it does not have the form of its types.
    pub(super) fn new(format: &RowFormat, row: &StoredRow) -> Result<Self> {
        let map_key = row.map_key.as_deref();
        let (value, expires_at) = match &row.value {
            StoredRowValue::Single(value) => {
                let DecodedValue {
                    value,
                    expires_unix_millis,
                } = format.show_value(value)?;
                (value, expires_unix_millis.map(time))
            }
            StoredRowValue::List(elements) => {
                let elements = elements.iter().map(|element| format.show_value(element));
                let elements = elements.collect::<Result<Vec<_>>>()?;
                let ends: Option<Vec<RowValue>> = elements
                    .iter()
                    .map(|element| element.expires_unix_millis.map(time))
                    .collect();
                let values = elements.into_iter().map(|element| element.value);
                let has_ends = format.codec().has_time_to_live();
                (
                    RowValue::List(values.collect()),
                    ends.filter(|_| has_ends).map(RowValue::List),
                )
            }
        };
        Ok(Self {
            key: format.show_key(&row.key)?,
            map_key: map_key.map(|key| format.show_map_key(key)).transpose()?,
            value,
            expires_at,
        })
    }

    /// The row as an object, without what it has not.
    pub(super) fn to_object(&self) -> RowValue {
        RowValue::Record(self.parts())
    }

    fn parts(&self) -> Vec<(String, RowValue)> {
        let parts = [
            (RowPart::Key, Some(&self.key)),
            (RowPart::MapKey, self.map_key.as_ref()),
            (RowPart::Value, Some(&self.value)),
            (RowPart::ExpiresAt, self.expires_at.as_ref()),
        ];
        let parts = parts.into_iter();
        parts
            .filter_map(|(part, value)| Some((part.to_string(), value?.clone())))
            .collect()
    }

    /// The row as a line of CSV, with the columns of [`csv_columns`].
    pub(super) fn to_csv(&self, format: &RowFormat, kind: StateKind) -> String {
        let mut cells = Vec::new();
        push_cells(&mut cells, &self.key, format.key_names().is_some());
        if let Some(map_key) = &self.map_key {
            push_cells(&mut cells, map_key, format.map_key_names().is_some());
        }
        let has_fields = kind != StateKind::List && format.value_names().is_some();
        push_cells(&mut cells, &self.value, has_fields);
        cells.extend(self.expires_at.as_ref().map(csv_cell));
        cells.join(",")
    }
}

/// A column of CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Which part of a row it belongs to.
    pub(super) part: RowPart,
    /// What stands above it.
    pub(super) title: String,
}

/// The columns of CSV: a key or value with fields has one for each.
pub(super) fn csv_columns(format: &RowFormat, kind: StateKind) -> Vec<Column> {
    let columns = |part: RowPart, names: Option<Vec<String>>| match names {
        Some(names) => names
            .iter()
            .map(|name| Column {
                part,
                title: format!("{part}.{name}"),
            })
            .collect(),
        None => vec![Column {
            part,
            title: part.to_string(),
        }],
    };
    let mut all: Vec<Column> = columns(RowPart::Key, format.key_names());
    let is_list = kind == StateKind::List;
    if format.codec().map_key().is_some() && !is_list {
        all.extend(columns(RowPart::MapKey, format.map_key_names()));
    }
    let value_names = format.value_names().filter(|_| !is_list);
    all.extend(columns(RowPart::Value, value_names));
    if format.codec().has_time_to_live() {
        all.extend(columns(RowPart::ExpiresAt, None));
    }
    all
}

/// The titles of the columns of CSV.
pub(super) fn csv_titles(columns: &[Column]) -> String {
    let titles = columns.iter().map(|column| quoted(&column.title));
    titles.collect::<Vec<_>>().join(",")
}

/// A value as a cell of CSV: nothing at all for null, and quotes around an empty text, so that the two can be told apart.
pub(super) fn csv_cell(value: &RowValue) -> String {
    match value {
        RowValue::Text(text) if text.is_empty() => "\"\"".to_owned(),
        other => quoted(&other.to_cell()),
    }
}

/// A text as a cell of CSV: with a comma, a quote or a line end in it, it stands in quotes.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn push_cells(cells: &mut Vec<String>, value: &RowValue, has_fields: bool) {
    match value {
        RowValue::Record(fields) if has_fields => {
            cells.extend(fields.iter().map(|(_, field)| csv_cell(field)));
        }
        other => cells.push(csv_cell(other)),
    }
}

/// A moment as text; as a number when no calendar goes that far.
fn time(unix_millis: i64) -> RowValue {
    match jiff::Timestamp::from_millisecond(unix_millis) {
        Ok(_) => RowValue::Text(EventTime(unix_millis).to_string()),
        Err(_) => RowValue::Integer(i128::from(unix_millis)),
    }
}

/// Reads what a row has for a moment.
///
/// # Errors
/// [`ErrorKind::Data`] when it is none.
pub(super) fn parse_time(value: &Value) -> Result<i64> {
    let parsed = match value {
        Value::String(text) => text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_millisecond),
        other => other.as_i64(),
    };
    parsed.ok_or_else(|| {
        let message = format!(
            "{}: a time such as 2013-01-05T10:00:00Z is needed, not {value}",
            RowPart::ExpiresAt
        );
        Error::new(ErrorKind::Data, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_would_break_a_line_are_quoted() {
        let check = |value: RowValue, expected: &str| assert_eq!(csv_cell(&value), expected);
        let text = |text: &str| RowValue::Text(text.to_owned());
        check(text("plain"), "plain");
        check(text("a,b"), "\"a,b\"");
        check(text("say \"x\""), "\"say \"\"x\"\"\"");
        check(text("two\nlines"), "\"two\nlines\"");
        check(text(""), "\"\"");
        check(RowValue::Null, "");
    }

    #[test]
    fn moments_are_read_as_they_are_shown() {
        for millis in [0, 1_357_380_000_250, i64::MAX] {
            let shown: Value = serde_json::from_str(&time(millis).to_json()).unwrap();
            assert_eq!(parse_time(&shown).unwrap(), millis, "{shown}");
        }
        assert!(parse_time(&Value::Null).is_err());
    }
}
