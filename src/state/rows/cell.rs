//! A cell of a table, as [`RowValue::to_cell`](super::RowValue::to_cell) writes it, on its way back to a value.

use serde_json::Value;

use super::value_schema::{TypeId, ValueSchema};

/// What stands between two commas of a line of CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The text, without the quotes around it.
    pub text: String,
    /// Whether there were quotes: an empty text has them, and nothing at all has none.
    pub is_quoted: bool,
}

impl Cell {
    /// Whether nothing at all is in it.
    pub fn is_nothing(&self) -> bool {
        self.text.is_empty() && !self.is_quoted
    }

    /// The value, when its type says no more: JSON, and as a text what is no JSON.
    pub fn to_json_value(&self) -> Value {
        if self.is_nothing() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|_| self.to_text())
    }

    /// The value as a text, whatever it looks like; nothing when the cell is empty.
    pub fn to_text_value(&self) -> Value {
        if self.is_nothing() {
            return Value::Null;
        }
        self.to_text()
    }

    /// The value of a type of a schema, before it is checked.
    pub(super) fn to_value_of(&self, schema: &ValueSchema, id: TypeId) -> Value {
        if self.is_nothing() && schema.is_nullable(id) {
            return Value::Null;
        }
        if schema.is_plain(id) {
            self.to_text()
        } else {
            self.to_json_value()
        }
    }

    fn to_text(&self) -> Value {
        Value::String(self.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::state::StateSchema;
    use crate::state::rows::ValueCodec;
    use crate::state::schema::schema_text;

    fn codec<T: StateSchema + rkyv::Archive>() -> ValueCodec {
        ValueCodec::new(&schema_text::<T>())
    }

    fn cell(text: &str) -> Cell {
        Cell {
            text: text.to_owned(),
            is_quoted: false,
        }
    }

    #[test]
    fn the_type_says_what_a_cell_means() {
        let check = |codec: ValueCodec, text: &str, expected: Value| {
            let value = codec.value_of_cell(&cell(text));
            assert_eq!(value, expected, "{text} as {}", codec.schema());
        };
        check(codec::<String>(), "12", json!("12"));
        check(codec::<String>(), "null", json!("null"));
        check(codec::<String>(), "", json!(""));
        check(codec::<Option<String>>(), "true", json!("true"));
        check(codec::<Option<String>>(), "", Value::Null);
        check(codec::<Box<String>>(), "[1]", json!("[1]"));
        check(codec::<u64>(), "12", json!("12"));
        check(
            codec::<i128>(),
            "-170141183460469231731687303715884105728",
            json!("-170141183460469231731687303715884105728"),
        );
        check(codec::<f64>(), "1.5", json!(1.5));
        check(codec::<f64>(), "NaN", json!("NaN"));
        check(codec::<bool>(), "true", json!(true));
        check(codec::<()>(), "", Value::Null);
        check(codec::<Vec<String>>(), "[\"a\"]", json!(["a"]));
        check(
            codec::<Option<Option<u8>>>(),
            "{\"some\":null}",
            json!({"some": null}),
        );
    }

    #[test]
    fn an_empty_text_in_quotes_is_not_nothing() {
        let empty = Cell {
            text: String::new(),
            is_quoted: true,
        };
        assert_eq!(codec::<Option<String>>().value_of_cell(&empty), json!(""));
        assert_eq!(empty.to_text_value(), json!(""));
        assert_eq!(cell("").to_text_value(), Value::Null);
    }
}
