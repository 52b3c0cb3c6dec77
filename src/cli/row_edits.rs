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

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::offline_arguments::RowsFormat;
    use super::super::row_input::RowInput;
    use super::super::shown_row::ShownRow;
    use super::super::snapshots::block_on;
    use super::*;
    use crate::model::{KeyGroupRange, ManualClock, OperatorId};
    use crate::snapshot::offline::{
        KeyedStateReader, NewJob, ReadLimits, SavepointDraft, StateEdit, operator_state_rows,
    };
    use crate::snapshot::{SealedOperator, SnapshotAt};
    use crate::state::{
        KeyedStateBackend, ListState, OperatorStateBackend, StateSettings, StateSpec, StateTtl,
    };
    use crate::storage::SnapshotLocation;
    use crate::telemetry::TerminalLine;

    fn operator() -> OperatorId {
        OperatorId::new("router")
    }

    /// A savepoint of an operator with a list that has a time-to-live, and with operator state.
    fn draft() -> SavepointDraft {
        let settings = StateSettings {
            directory: None,
            max_parallelism: 128,
            key_groups: KeyGroupRange { start: 0, end: 128 },
            incremental: true,
            local_recovery: None,
            clock: Arc::new(ManualClock::default()),
        };
        let mut keyed = KeyedStateBackend::new(settings, Vec::new());
        let seen = StateSpec::<String>::new("seen");
        let seen = seen.with_time_to_live(StateTtl::new(Duration::from_secs(1)));
        let _seen: ListState<u64, String> = keyed.list_state(seen).unwrap();
        let mut operator_state = OperatorStateBackend::new(0, 1, Vec::new());
        operator_state.list_state::<String>("splits").unwrap();
        operator_state
            .broadcast_state::<u64, Option<String>>("rules")
            .unwrap();
        let sealed = SealedOperator {
            operator: operator(),
            finished: false,
            items: Vec::new(),
            operator_state: operator_state.seal().unwrap(),
            in_flight: Vec::new(),
            local: None,
            states: keyed.seal().unwrap(),
        };
        let job = NewJob {
            name: "job".to_owned(),
            max_parallelism: 128,
            graph: Vec::new(),
            operators: vec![(0, sealed)],
        };
        SavepointDraft::of_job(job, 0)
    }

    fn read(
        folder: &Path,
        format: RowsFormat,
        text: &str,
        taker: &mut dyn RowTaker,
    ) -> Result<u64> {
        let path = folder.join("rows");
        std::fs::write(&path, text).unwrap();
        let line = TerminalLine::hidden();
        RowInput::open(&path, &line)?.read(format, taker)
    }

    fn operator_rows(state: &str, deletes: bool) -> Result<OperatorStateRows> {
        let edit = OperatorStateEdit::new(&draft(), &operator(), state)?.unwrap();
        OperatorStateRows::new(edit, deletes)
    }

    fn write(folder: &Path, edit: &StateEdit) -> SnapshotAt {
        let target = SnapshotLocation::of_new("savepoint", folder).unwrap();
        block_on(draft().write(edit, &target)).unwrap();
        block_on(SnapshotAt::open("savepoint", folder)).unwrap()
    }

    #[test]
    fn items_of_operator_state_are_read_in_both_forms() {
        let check = |state: &str, format, text: &str, expected: &[&str]| {
            let folder = tempfile::tempdir().unwrap();
            let mut taker = operator_rows(state, false).unwrap();
            let rows = read(folder.path(), format, text, &mut taker).unwrap();
            assert_eq!(rows, expected.len() as u64, "{text}");
            let snapshot = write(folder.path(), &StateEdit::Operator(taker.edit));
            let items = block_on(operator_state_rows(&snapshot, &operator(), state));
            let shown = items.unwrap().unwrap().into_iter().map(|row| {
                let key = row
                    .item
                    .key
                    .map_or(String::new(), |key| key.to_json() + " ");
                key + &row.item.value.to_json()
            });
            assert_eq!(shown.collect::<Vec<_>>(), expected, "{text}");
        };
        let json = "{\"subtask\":0,\"value\":\"12\"}\n\n{\"value\":\"\"}\n";
        check("splits", RowsFormat::Json, json, &["\"12\"", "\"\""]);
        let csv = "subtask,value\n0,12\n,\"\"\n";
        check("splits", RowsFormat::Csv, csv, &["\"12\"", "\"\""]);
        let json = "{\"key\":2,\"value\":null}\n{\"key\":1,\"value\":\"null\"}\n";
        check("rules", RowsFormat::Json, json, &["1 \"null\"", "2 null"]);
        let csv = "value,key\n,2\nnull,1\n";
        check("rules", RowsFormat::Csv, csv, &["1 \"null\"", "2 null"]);
    }

    #[test]
    fn wrong_items_of_operator_state_are_refused() {
        let check = |state: &str, text: &str, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            let mut taker = operator_rows(state, false).unwrap();
            let read = read(folder.path(), RowsFormat::Json, text, &mut taker);
            let error = read.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "splits",
            "{\"subtask\":1,\"value\":\"a\"}",
            "there is no subtask 1",
        );
        check(
            "splits",
            "{\"subtask\":\"x\",\"value\":\"a\"}",
            "subtask: a number is needed",
        );
        check("splits", "{\"key\":1,\"value\":\"a\"}", "leave \"key\" out");
        check(
            "splits",
            "{\"map_key\":1,\"value\":\"a\"}",
            "belongs to no key",
        );
        check("splits", "{\"value\":1}", "value: a text is needed");
        check("splits", "{}", "\"value\" is missing");
        check("rules", "{\"value\":\"a\"}", "\"key\" is missing");
        let error = operator_rows("splits", true).err().unwrap();
        assert!(
            error.to_string().contains("nothing tells the items"),
            "{error}"
        );
        assert!(operator_rows("rules", true).is_ok());
    }

    #[test]
    fn each_element_of_a_list_has_its_own_end() {
        let row = "{\"key\":7,\"value\":[\"a\",\"b\"],\"expires_at\":[\"2030-01-01T00:00:00Z\",\"2031-01-01T00:00:00Z\"]}";
        let csv = "key,value,expires_at\n\
            7,\"[\"\"a\"\",\"\"b\"\"]\",\"[\"\"2030-01-01T00:00:00Z\"\",\"\"2031-01-01T00:00:00Z\"\"]\"\n";
        let taker = || {
            let draft = draft();
            let descriptor = draft.keyed_state(&operator(), "seen").unwrap();
            KeyedRows {
                edit: KeyedEdit::new(&draft, &operator(), "seen").unwrap(),
                format: RowFormat::new(draft.manifest(), &operator(), "seen", descriptor).unwrap(),
                kind: descriptor.kind,
                deletes: false,
            }
        };
        for (format, text) in [(RowsFormat::Json, row), (RowsFormat::Csv, csv)] {
            let folder = tempfile::tempdir().unwrap();
            let mut taker = taker();
            read(folder.path(), format, text, &mut taker).unwrap();
            let snapshot = write(folder.path(), &StateEdit::Keyed(taker.edit));
            let reader = KeyedStateReader::find(&snapshot, "router", "seen").unwrap();
            let mut shown = Vec::new();
            let limits = ReadLimits::default();
            let visited = reader.for_each(&limits, |stored| {
                shown.push(ShownRow::new(&taker.format, &stored)?.to_object().to_json());
                Ok(ControlFlow::Continue(()))
            });
            block_on(visited).unwrap();
            assert_eq!(shown, [row]);
        }
        let check = |text: &str, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            let read = read(folder.path(), RowsFormat::Json, text, &mut taker());
            let error = read.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "{\"key\":7,\"value\":[\"a\"],\"expires_at\":[]}",
            "an end for each element",
        );
        check("{\"key\":7,\"value\":[\"a\"]}", "\"expires_at\" is missing");
        check("{\"key\":7,\"value\":\"a\"}", "needed as an array");
        check(
            "{\"key\":7,\"value\":[],\"subtask\":0}",
            "leave \"subtask\" out",
        );
        check("{\"value\":[]}", "\"key\" is missing");
    }
}
