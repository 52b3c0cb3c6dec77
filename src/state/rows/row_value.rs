//! A key or a value of a state as it is shown.

use std::fmt::Write as _;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// A key or a value of a state, without its type. As JSON it is what the table in [`crate::state::rows`] says; the fields
/// of a struct keep their order.
#[derive(Clone, Debug, PartialEq)]
pub enum RowValue {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of at most 64 bits.
    Integer(i128),
    /// A finite number.
    Float(f64),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<RowValue>),
    /// Several values with names.
    Record(Vec<(String, RowValue)>),
}

impl RowValue {
    /// Bytes of which nothing is known but their number.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut digits = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        Self::Record(vec![("hex".to_owned(), Self::Text(digits))])
    }

    /// A number, or a text that says which one is not finite.
    pub fn from_float(value: f64) -> Self {
        if value.is_finite() {
            Self::Float(value)
        } else {
            Self::Text(value.to_string())
        }
    }

    /// The value as a cell of a table: a text as it is, nothing for [`RowValue::Null`], everything else as JSON.
    /// [`super::Cell`] is the way back.
    pub fn to_cell(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) => text.clone(),
            other => other.to_json(),
        }
    }

    /// The value as JSON, taken apart.
    pub fn to_value(&self) -> serde_json::Value {
        // As for `to_json`: no value fails to be JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The value as JSON in one line.
    pub fn to_json(&self) -> String {
        // No value fails to be JSON: the only keys are texts, and the only numbers finite.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for RowValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => serializer.collect_str(value),
            },
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
            Self::Record(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_the_order_of_fields_and_all_digits() {
        let value = RowValue::Record(vec![
            ("z".to_owned(), RowValue::Integer(i128::from(u64::MAX))),
            ("a".to_owned(), RowValue::Integer(i128::from(i64::MIN))),
            ("f".to_owned(), RowValue::from_float(1.5)),
            ("n".to_owned(), RowValue::from_float(f64::NAN)),
            (
                "l".to_owned(),
                RowValue::List(vec![RowValue::Null, RowValue::Bool(true)]),
            ),
            ("b".to_owned(), RowValue::from_bytes(&[0, 255])),
        ]);
        let expected = r#"{"z":18446744073709551615,"a":-9223372036854775808,"f":1.5,"n":"NaN","l":[null,true],"b":{"hex":"00ff"}}"#;
        assert_eq!(value.to_json(), expected);
    }

    #[test]
    fn a_cell_shows_texts_without_quotes() {
        assert_eq!(RowValue::Null.to_cell(), "");
        assert_eq!(RowValue::Text("a,b".to_owned()).to_cell(), "a,b");
        assert_eq!(RowValue::List(vec![RowValue::Integer(1)]).to_cell(), "[1]");
    }
}
