//! A row of a state as it is printed: with names and types, as JSON or as CSV.

use crate::error::Result;
use crate::model::EventTime;
use crate::operator::RowFormat;
use crate::snapshot::offline::{StoredRow, StoredRowValue};
use crate::state::StateKind;
use crate::state::rows::{DecodedValue, RowValue};

pub(super) const KEY: &str = "key";
pub(super) const MAP_KEY: &str = "map_key";
pub(super) const VALUE: &str = "value";
pub(super) const EXPIRES_AT: &str = "expires_at";

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
        let mut parts = vec![(KEY.to_owned(), self.key.clone())];
        let map_key = self.map_key.clone().map(|key| (MAP_KEY.to_owned(), key));
        parts.extend(map_key);
        parts.push((VALUE.to_owned(), self.value.clone()));
        let expires_at = self.expires_at.clone();
        parts.extend(expires_at.map(|end| (EXPIRES_AT.to_owned(), end)));
        parts
    }

    /// The row as a line of CSV, with the columns of [`csv_titles`].
    pub(super) fn to_csv(&self, format: &RowFormat, kind: StateKind) -> String {
        let mut cells = Vec::new();
        push_cells(&mut cells, &self.key, format.key_names().is_some());
        if let Some(map_key) = &self.map_key {
            push_cells(&mut cells, map_key, format.map_key_names().is_some());
        }
        let has_fields = kind != StateKind::List && format.value_names().is_some();
        push_cells(&mut cells, &self.value, has_fields);
        cells.extend(self.expires_at.as_ref().map(RowValue::to_cell));
        csv_line(&cells)
    }
}

/// The titles of the columns of CSV: a key or value with fields has a column for each.
pub(super) fn csv_titles(format: &RowFormat, kind: StateKind) -> String {
    let titles = |title: &str, names: Option<Vec<String>>| match names {
        Some(names) => names.iter().map(|name| format!("{title}.{name}")).collect(),
        None => vec![title.to_owned()],
    };
    let mut all: Vec<String> = titles(KEY, format.key_names());
    let is_list = kind == StateKind::List;
    if format.codec().map_key().is_some() && !is_list {
        all.extend(titles(MAP_KEY, format.map_key_names()));
    }
    let value_names = format.value_names().filter(|_| !is_list);
    all.extend(titles(VALUE, value_names));
    if format.codec().has_time_to_live() {
        all.push(EXPIRES_AT.to_owned());
    }
    csv_line(&all)
}

/// Cells with commas between them; one with a comma, a quote or a line end stands in quotes.
pub(super) fn csv_line(cells: &[String]) -> String {
    let quoted = |cell: &String| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.clone()
        }
    };
    cells.iter().map(quoted).collect::<Vec<_>>().join(",")
}

fn push_cells(cells: &mut Vec<String>, value: &RowValue, has_fields: bool) {
    match value {
        RowValue::Record(fields) if has_fields => {
            cells.extend(fields.iter().map(|(_, field)| field.to_cell()));
        }
        other => cells.push(other.to_cell()),
    }
}

/// A moment as text; as a number when no calendar goes that far.
fn time(unix_millis: i64) -> RowValue {
    match jiff::Timestamp::from_millisecond(unix_millis) {
        Ok(_) => RowValue::Text(EventTime(unix_millis).to_string()),
        Err(_) => RowValue::Integer(i128::from(unix_millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_would_break_a_line_are_quoted() {
        let cells = ["plain", "a,b", "say \"x\"", "two\nlines", ""].map(str::to_owned);
        assert_eq!(
            csv_line(&cells),
            "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\","
        );
    }
}
