//! JSON objects to rows.

use std::fmt;
use std::ops::Range;
use std::str;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::columns::Columns;
use super::row_builder::RowBuilder;
use super::row_problem::RowProblem;

/// Reads objects: each gives the first columns of a row. A missing key is null, a key that is not asked for is passed
/// over.
pub(in crate::connectors) struct JsonObjects {
    names: Vec<String>,
    /// Where in the text each column's value stands; kept from row to row to spare an allocation.
    values: Vec<Option<Range<usize>>>,
}

impl JsonObjects {
    /// Reads `columns`.
    pub(in crate::connectors) fn new(columns: &Columns) -> Self {
        Self {
            names: columns.0.iter().map(|(name, _)| name.clone()).collect(),
            values: Vec::new(),
        }
    }

    /// Sets the next row's values from an object. The row is not ended; after a problem it must be rejected.
    pub(in crate::connectors) fn read(
        &mut self,
        text: &[u8],
        rows: &mut RowBuilder,
    ) -> Result<(), RowProblem> {
        let text =
            str::from_utf8(text).map_err(|_| RowProblem::of_row("the row is not valid UTF-8"))?;
        find_values(text, &self.names, &mut self.values).map_err(|error| {
            RowProblem::of_row(format!("the row is not a JSON object: {error}"))
        })?;
        for (column, value) in self.values.iter().enumerate() {
            let value = value.clone().map(|range| &text[range]);
            rows.push_json(column, value)
                .map_err(|problem| RowProblem::of_column(&self.names[column], problem))?;
        }
        Ok(())
    }
}

/// Finds the value of each of `names` in the object `text`. Of a key that comes twice, the last value counts.
fn find_values(
    text: &str,
    names: &[String],
    values: &mut Vec<Option<Range<usize>>>,
) -> serde_json::Result<()> {
    values.clear();
    values.resize(names.len(), None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(ObjectVisitor {
        text,
        names,
        values,
    })?;
    deserializer.end()
}

struct ObjectVisitor<'a> {
    text: &'a str,
    names: &'a [String],
    values: &'a mut Vec<Option<Range<usize>>>,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Rows tend to have their keys in one order: the search begins after the key that came before.
        let mut expected = 0;
        let names = self.names;
        while let Some(column) = map.next_key_seed(ColumnOfKey { names, expected })? {
            let value: &RawValue = map.next_value()?;
            if let Some(column) = column {
                let start = value.get().as_ptr().addr() - self.text.as_ptr().addr();
                self.values[column] = Some(start..start + value.get().len());
                expected = column + 1;
            }
        }
        Ok(())
    }
}

/// Turns a key into the index of the column of that name, if it is asked for.
struct ColumnOfKey<'a> {
    names: &'a [String],
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for ColumnOfKey<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ColumnOfKey<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        if self
            .names
            .get(self.expected)
            .is_some_and(|name| name == key)
        {
            return Ok(Some(self.expected));
        }
        Ok(self.names.iter().position(|name| name == key))
    }
}
