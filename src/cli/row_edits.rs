//! From rows that were read to what is written of them.

use serde_json::Value;

use super::row_input::{InputRow, RowTaker};
use super::shown_row::{Column, RowPart, csv_columns, parse_time};
use crate::error::{Error, ErrorKind, Result};
use crate::operator::RowFormat;
use crate::snapshot::offline::{ItemEdit, KeyedEdit, OperatorStateEdit, RowEdit, StoredRowValue};
use crate::state::rows::{Cell, OperatorStateCodec, ValueCodec};
use crate::state::{OperatorStateKind, StateKind};

/// Takes the rows of a keyed state.
pub(super) struct KeyedRows {
    pub(super) edit: KeyedEdit,
    pub(super) format: RowFormat,
    pub(super) kind: StateKind,
    /// Whether the rows are deleted.
    pub(super) deletes: bool,
}

/// Takes the items of an operator state.
pub(super) struct OperatorStateRows {
    codec: OperatorStateCodec,
    pub(super) edit: OperatorStateEdit,
    deletes: bool,
}

impl KeyedRows {
    fn has_map_key(&self) -> bool {
        self.kind != StateKind::List && self.format.codec().map_key().is_some()
    }

    fn row_edit(&self, row: &InputRow) -> Result<RowEdit> {
        if row.subtask.is_some() {
            return Err(wrong("the state has keys: leave \"subtask\" out"));
        }
        let map_key = match &row.map_key {
            Some(_) if !self.has_map_key() => {
                return Err(wrong("the state has no map keys: leave \"map_key\" out"));
            }
            Some(map_key) => {
                let stored = self.format.store_map_key(map_key);
                Some(stored.map_err(|error| error.context(RowPart::MapKey))?)
            }
            None if self.has_map_key() && !self.deletes => return Err(missing(RowPart::MapKey)),
            None => None,
        };
        let key = row.key.as_ref().ok_or_else(|| missing(RowPart::Key))?;
        let key = self.format.store_key(key);
        Ok(RowEdit {
            key: key.map_err(|error| error.context(RowPart::Key))?,
            map_key,
            value: match self.deletes {
                true => None,
                false => Some(self.stored_value(row)?),
            },
        })
    }

    fn stored_value(&self, row: &InputRow) -> Result<StoredRowValue> {
        let value = row.value.as_ref().ok_or_else(|| missing(RowPart::Value))?;
        let context = |error: Error| error.context(RowPart::Value);
        if self.kind != StateKind::List {
            let end = row.expires_at.as_ref().map(parse_time).transpose()?;
            let stored = self.format.store_value(value, end).map_err(context)?;
            return Ok(StoredRowValue::Single(stored));
        }
        let elements = value.as_array().ok_or_else(|| {
            let message = format!("the elements of a list are needed as an array, not {value}");
            wrong(&message)
        })?;
        let ends: Vec<Option<&Value>> = match row.expires_at.as_ref().map(Value::as_array) {
            None => vec![None; elements.len()],
            Some(Some(ends)) if ends.len() == elements.len() => ends.iter().map(Some).collect(),
            Some(_) => {
                let message = "\"expires_at\" must be an array with an end for each element";
                return Err(wrong(message));
            }
        };
        let stored = elements.iter().zip(ends).map(|(element, end)| {
            let end = end.map(parse_time).transpose()?;
            self.format.store_value(element, end).map_err(context)
        });
        stored.collect::<Result<_>>().map(StoredRowValue::List)
    }
}

impl RowTaker for KeyedRows {
    fn columns(&self) -> Vec<Column> {
        csv_columns(&self.format, self.kind)
    }

    fn can_miss(&self, part: RowPart) -> bool {
        match part {
            RowPart::Value | RowPart::MapKey => self.deletes,
            // Whether it must be there, the state says when a value is made.
            RowPart::ExpiresAt => true,
            _ => false,
        }
    }

    fn part_of_cells(&self, part: RowPart, cells: &[Cell]) -> Result<Value> {
        match (part, cells) {
            (RowPart::Key, cells) => self.format.key_of_cells(cells),
            (RowPart::MapKey, cells) => self.format.map_key_of_cells(cells),
            (RowPart::Value, cells) if self.kind != StateKind::List => {
                self.format.value_of_cells(cells)
            }
            (_, [cell]) => Ok(cell.to_json_value()),
            _ => Err(wrong("one cell is needed")),
        }
    }

    fn take(&mut self, row: InputRow) -> Result<()> {
        self.edit.add(self.row_edit(&row)?);
        Ok(())
    }
}

impl OperatorStateRows {
    /// Takes what becomes of the items of a state.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when items of a list are to be deleted, which nothing tells apart.
    pub(super) fn new(edit: OperatorStateEdit, deletes: bool) -> Result<Self> {
        if deletes && edit.descriptor().kind != OperatorStateKind::Broadcast {
            let message = "--delete: nothing tells the items of a list apart: write the rows that are to stay";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        Ok(Self {
            codec: OperatorStateCodec::new(edit.descriptor()),
            edit,
            deletes,
        })
    }

    fn item_edit(&self, row: &InputRow) -> Result<ItemEdit> {
        if row.map_key.is_some() || row.expires_at.is_some() {
            let message = "the state belongs to no key: leave \"map_key\" and \"expires_at\" out";
            return Err(wrong(message));
        }
        let subtask = row.subtask.as_ref().map(|subtask| {
            let number = subtask
                .as_u64()
                .and_then(|number| usize::try_from(number).ok());
            let message = || {
                wrong(&format!(
                    "{}: a number is needed, not {subtask}",
                    RowPart::Subtask
                ))
            };
            number.ok_or_else(message)
        });
        let encode = |part: RowPart, codec: &ValueCodec, value: &Value| {
            let stored = codec.encode(value);
            stored.map_err(|error| error.context(part))
        };
        Ok(ItemEdit {
            subtask: subtask.transpose()?,
            key: match (self.codec.key(), &row.key) {
                (Some(codec), Some(key)) => Some(encode(RowPart::Key, codec, key)?),
                (Some(_), None) => return Err(missing(RowPart::Key)),
                (None, Some(_)) => return Err(wrong("the items have no keys: leave \"key\" out")),
                (None, None) => None,
            },
            value: match (&row.value, self.deletes) {
                (_, true) => None,
                (Some(value), false) => Some(encode(RowPart::Value, self.codec.value(), value)?),
                (None, false) => return Err(missing(RowPart::Value)),
            },
        })
    }
}

impl RowTaker for OperatorStateRows {
    fn columns(&self) -> Vec<Column> {
        let key = self.codec.key().map(|_| RowPart::Key);
        let parts = [Some(RowPart::Subtask), key, Some(RowPart::Value)]
            .into_iter()
            .flatten();
        let column = |part: RowPart| Column {
            part,
            title: part.to_string(),
        };
        parts.map(column).collect()
    }

    fn can_miss(&self, part: RowPart) -> bool {
        part == RowPart::Subtask || (part == RowPart::Value && self.deletes)
    }

    fn part_of_cells(&self, part: RowPart, cells: &[Cell]) -> Result<Value> {
        let [cell] = cells else {
            return Err(wrong("one cell is needed"));
        };
        Ok(match (part, self.codec.key()) {
            (RowPart::Key, Some(codec)) => codec.value_of_cell(cell),
            (RowPart::Value, _) => self.codec.value().value_of_cell(cell),
            _ => cell.to_json_value(),
        })
    }

    fn take(&mut self, row: InputRow) -> Result<()> {
        self.edit.add(self.item_edit(&row)?)
    }
}

fn missing(part: RowPart) -> Error {
    wrong(&format!("\"{part}\" is missing"))
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Data, message)
}
