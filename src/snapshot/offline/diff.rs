//! What two snapshots have not in common.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::Value;

use super::operator_state::operator_state_rows;
use super::state_reader::{
    KeyedStateReader, ReadLimits, Records, Share, StoredRow, StoredRowValue,
};
use crate::error::Result;
use crate::model::OperatorId;
use crate::snapshot::manifest::{Manifest, OperatorEntry};
use crate::snapshot::snapshot_at::SnapshotAt;
use crate::state::rows::StateCodec;
use crate::state::state_name;

/// What two snapshots have not in common. The first one is called `a` everywhere, the second one `b`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SnapshotDifference {
    /// All operators of both.
    pub operators: Vec<OperatorDifference>,
}

/// One operator in two snapshots.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorDifference {
    /// Its id.
    pub operator: OperatorId,
    /// What it is, if both say the same, or only one has it.
    pub type_name: Sides<String>,
    /// How many subtasks it has.
    pub parallelism: Sides<usize>,
    /// What its connector keeps readable, for each subtask: source positions, what a sink is to commit. Nothing when it is
    /// the same in both.
    pub items: Option<Sides<Vec<Vec<Value>>>>,
    /// Its states.
    pub states: Vec<KeyedDifference>,
}

/// One state of an operator in two snapshots; a keyed one, or an operator state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyedDifference {
    /// Its name.
    pub state: String,
    /// Its kind.
    pub kind: Sides<String>,
    /// The version of its layout.
    pub version: Sides<u32>,
    /// How its keys and values are laid out.
    pub schema: Sides<String>,
    /// Whether it is made of the very same bytes in both; then its rows are not read.
    pub identical: bool,
    /// How many rows each has; nothing when the rows are not read.
    pub rows: Sides<u64>,
    /// How many rows differ. Nothing when the state is only in one of the two, or has other keys there, so that its rows
    /// cannot be compared.
    pub changes: Option<RowCounts>,
}

/// The same thing in both snapshots; nothing where it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sides<T> {
    /// In the first.
    pub a: Option<T>,
    /// In the second.
    pub b: Option<T>,
}

/// How many rows differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Rows whose key is only in the first.
    pub only_in_a: u64,
    /// Rows whose key is only in the second.
    pub only_in_b: u64,
    /// Rows that have another value.
    pub changed: u64,
}

/// A row that differs.
#[derive(Clone, Copy, Debug)]
pub struct RowChange<'r> {
    /// Whose state it is in.
    pub operator: &'r OperatorId,
    /// The name of the state.
    pub state: &'r str,
    /// The row in the first, if it is there.
    pub a: Option<&'r StoredRow>,
    /// The row in the second, if it is there.
    pub b: Option<&'r StoredRow>,
}

impl<T: PartialEq> Sides<T> {
    /// Whether both have the same.
    pub fn is_same(&self) -> bool {
        self.a == self.b
    }
}

impl SnapshotDifference {
    /// Compares two snapshots, and shows `visit` each row of a keyed state that differs. About `memory_bytes` of rows are
    /// held at a time.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when something is damaged, [`crate::error::ErrorKind::Environment`] when it
    /// cannot be read; the first error of `visit`.
    pub async fn between(
        a: &SnapshotAt,
        b: &SnapshotAt,
        memory_bytes: u64,
        mut visit: impl FnMut(RowChange<'_>) -> Result<()>,
    ) -> Result<Self> {
        let ids: BTreeSet<&OperatorId> = [a, b]
            .iter()
            .flat_map(|snapshot| snapshot.manifest().operators.keys())
            .collect();
        let mut operators = Vec::new();
        for operator in ids {
            let sides = Comparison {
                a,
                b,
                operator,
                memory_bytes,
            };
            operators.push(sides.compare(&mut visit).await?);
        }
        Ok(Self { operators })
    }

    /// Whether they have all in common.
    pub fn is_empty(&self) -> bool {
        self.operators.iter().all(|operator| {
            operator.type_name.is_same()
                && operator.parallelism.is_same()
                && operator.items.is_none()
                && operator.states.iter().all(KeyedDifference::is_same)
        })
    }
}

impl KeyedDifference {
    /// Whether the state is the same in both.
    pub fn is_same(&self) -> bool {
        self.kind.is_same()
            && self.version.is_same()
            && self.schema.is_same()
            && (self.identical || self.changes == Some(RowCounts::default()))
    }
}

/// Two snapshots of one operator.
struct Comparison<'s> {
    a: &'s SnapshotAt,
    b: &'s SnapshotAt,
    operator: &'s OperatorId,
    memory_bytes: u64,
}

impl Comparison<'_> {
    async fn compare(
        &self,
        visit: &mut impl FnMut(RowChange<'_>) -> Result<()>,
    ) -> Result<OperatorDifference> {
        let items = self.of_entry(|entry| {
            let subtasks = entry.subtasks.iter();
            subtasks.map(|subtask| subtask.items.clone()).collect()
        });
        let mut states = Vec::new();
        for state in self.names(keyed_names) {
            states.push(self.compare_keyed(&state, visit).await?);
        }
        for state in self.names(operator_state_names) {
            states.push(self.compare_operator_state(&state).await?);
        }
        Ok(OperatorDifference {
            operator: self.operator.clone(),
            type_name: self.sides(|manifest| {
                let mut operators = manifest.graph.iter();
                let found = operators.find(|found| found.id == *self.operator);
                found.map(|found| found.type_name.clone())
            }),
            parallelism: self.of_entry(|entry| entry.subtasks.len()),
            items: (!items.is_same()).then_some(items),
            states,
        })
    }

    async fn compare_keyed(
        &self,
        state: &str,
        visit: &mut impl FnMut(RowChange<'_>) -> Result<()>,
    ) -> Result<KeyedDifference> {
        let find = |snapshot| KeyedStateReader::find(snapshot, self.operator.as_str(), state).ok();
        let readers = Sides {
            a: find(self.a),
            b: find(self.b),
        };
        let describe = |reader: &KeyedStateReader<'_>| {
            let descriptor = reader.descriptor();
            let map_key = descriptor.map_key_schema.iter();
            let map_key: String = map_key.map(|schema| format!(", {schema}")).collect();
            format!(
                "{}{map_key} -> {}",
                descriptor.key_schema, descriptor.value_schema
            )
        };
        let mut difference = KeyedDifference {
            state: state.to_owned(),
            kind: readers.map(|reader| reader.descriptor().kind.as_str().to_owned()),
            version: readers.map(|reader| reader.descriptor().version),
            schema: readers.map(describe),
            identical: false,
            rows: Sides::default(),
            changes: None,
        };
        match (&readers.a, &readers.b) {
            (Some(a), Some(b)) if a.is_same_as(b) => difference.identical = true,
            (Some(a), Some(b)) if have_same_keys(a, b) => {
                let pair = Pair { a, b };
                let (rows, counts) = self.compare_rows(state, &pair, visit).await?;
                difference.rows = rows;
                difference.changes = Some(counts);
            }
            _ => {
                difference.rows.a = count_rows(readers.a.as_ref(), self.memory_bytes).await?;
                difference.rows.b = count_rows(readers.b.as_ref(), self.memory_bytes).await?;
            }
        }
        Ok(difference)
    }

    async fn compare_rows(
        &self,
        state: &str,
        pair: &Pair<'_>,
        visit: &mut impl FnMut(RowChange<'_>) -> Result<()>,
    ) -> Result<(Sides<u64>, RowCounts)> {
        let memory_bytes = pair.a.memory_bytes().await? + pair.b.memory_bytes().await?;
        let passes = memory_bytes.div_ceil(self.memory_bytes.max(1)).max(1);
        let mut counts = RowCounts::default();
        let (mut rows_a, mut rows_b) = (0, 0);
        for pass in 0..passes {
            let share = Share {
                key: None,
                pass,
                passes,
            };
            let a = by_key(pair.a, pair.a.records(share).await?)?;
            let b = by_key(pair.b, pair.b.records(share).await?)?;
            rows_a += a.len() as u64;
            rows_b += b.len() as u64;
            let keys: BTreeSet<&RowKey> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (a.get(key), b.get(key));
                match (a, b) {
                    (Some(a), Some(b)) if !pair.differ(a, b)? => continue,
                    (Some(_), Some(_)) => counts.changed += 1,
                    (Some(_), None) => counts.only_in_a += 1,
                    (None, _) => counts.only_in_b += 1,
                }
                visit(RowChange {
                    operator: self.operator,
                    state,
                    a,
                    b,
                })?;
            }
        }
        let rows = Sides {
            a: Some(rows_a),
            b: Some(rows_b),
        };
        Ok((rows, counts))
    }

    /// Items have no keys: those that are in one and not in the other count, and none is changed.
    async fn compare_operator_state(&self, state: &str) -> Result<KeyedDifference> {
        let mut difference = KeyedDifference {
            state: state.to_owned(),
            kind: Sides::default(),
            version: Sides::default(),
            schema: Sides::default(),
            identical: false,
            rows: Sides::default(),
            changes: None,
        };
        let a = operator_state_items(self.a, self.operator, state).await?;
        let b = operator_state_items(self.b, self.operator, state).await?;
        if let (Some(a), Some(b)) = (&a, &b) {
            let missing = |from: &Items, in_other: &Items| -> u64 {
                let items = from.items.iter();
                items
                    .map(|(item, count)| {
                        count.saturating_sub(in_other.items.get(item).copied().unwrap_or(0))
                    })
                    .sum()
            };
            difference.changes = Some(RowCounts {
                only_in_a: missing(a, b),
                only_in_b: missing(b, a),
                changed: 0,
            });
        }
        let sides = Sides { a, b };
        difference.kind = sides.map(|items| items.kind.clone());
        difference.schema = sides.map(|items| items.schema.clone());
        difference.rows = sides.map(|items| items.items.values().sum());
        Ok(difference)
    }

    /// The names that either of the two has.
    fn names(&self, of: impl Fn(&OperatorEntry) -> Vec<String>) -> BTreeSet<String> {
        let entries = [self.a, self.b].map(|side| side.manifest().operators.get(self.operator));
        entries.into_iter().flatten().flat_map(of).collect()
    }

    fn sides<T>(&self, of: impl Fn(&Manifest) -> Option<T>) -> Sides<T> {
        Sides {
            a: of(self.a.manifest()),
            b: of(self.b.manifest()),
        }
    }

    fn of_entry<T>(&self, of: impl Fn(&OperatorEntry) -> T) -> Sides<T> {
        self.sides(|manifest| manifest.operators.get(self.operator).map(&of))
    }
}

impl<T> Sides<T> {
    fn map<U>(&self, map: impl Fn(&T) -> U) -> Sides<U> {
        Sides {
            a: self.a.as_ref().map(&map),
            b: self.b.as_ref().map(&map),
        }
    }
}

/// One state in both snapshots.
struct Pair<'s> {
    a: &'s KeyedStateReader<'s>,
    b: &'s KeyedStateReader<'s>,
}

impl Pair<'_> {
    /// Whether two rows of one key have other values. Other bytes can mean the same: what a value does not use of its
    /// place, for instance.
    fn differ(&self, a: &StoredRow, b: &StoredRow) -> Result<bool> {
        if a.value == b.value
            && self.a.descriptor().value_schema == self.b.descriptor().value_schema
        {
            return Ok(false);
        }
        match (&a.value, &b.value) {
            (StoredRowValue::Single(a), StoredRowValue::Single(b)) => self.values_differ(a, b),
            (StoredRowValue::List(a), StoredRowValue::List(b)) if a.len() == b.len() => {
                let mut pairs = a.iter().zip(b);
                pairs.try_fold(false, |differ, (a, b)| {
                    Ok(differ || self.values_differ(a, b)?)
                })
            }
            _ => Ok(true),
        }
    }

    fn values_differ(&self, a: &[u8], b: &[u8]) -> Result<bool> {
        let decode = |codec: &StateCodec, bytes| codec.decode_value(bytes);
        Ok(decode(self.a.codec(), a)? != decode(self.b.codec(), b)?)
    }
}

type RowKey = (Vec<u8>, Option<Vec<u8>>);

fn by_key(reader: &KeyedStateReader<'_>, records: Records) -> Result<BTreeMap<RowKey, StoredRow>> {
    let rows = reader.rows(records)?.into_iter();
    Ok(rows
        .map(|row| ((row.key.clone(), row.map_key.clone()), row))
        .collect())
}

fn have_same_keys(a: &KeyedStateReader<'_>, b: &KeyedStateReader<'_>) -> bool {
    let keys = |reader: &KeyedStateReader<'_>| {
        let descriptor = reader.descriptor();
        (
            descriptor.key_schema.clone(),
            descriptor.map_key_schema.clone(),
            descriptor.kind,
        )
    };
    keys(a) == keys(b)
}

async fn count_rows(
    reader: Option<&KeyedStateReader<'_>>,
    memory_bytes: u64,
) -> Result<Option<u64>> {
    let Some(reader) = reader else {
        return Ok(None);
    };
    let limits = ReadLimits {
        key: None,
        memory_bytes,
    };
    let mut rows = 0;
    let counted = reader.for_each(&limits, |_| {
        rows += 1;
        Ok(ControlFlow::Continue(()))
    });
    counted.await?;
    Ok(Some(rows))
}

/// An operator state of all subtasks: each item, as JSON, and how often it is there.
struct Items {
    kind: String,
    schema: String,
    items: BTreeMap<String, u64>,
}

async fn operator_state_items(
    snapshot: &SnapshotAt,
    operator: &OperatorId,
    state: &str,
) -> Result<Option<Items>> {
    let mut found: Option<Items> = None;
    for row in operator_state_rows(snapshot, operator, state)
        .await?
        .into_iter()
        .flatten()
    {
        let items = found.get_or_insert_with(|| Items {
            kind: format!("operator {}", row.descriptor.kind.as_str()),
            schema: row.descriptor.to_string(),
            items: BTreeMap::new(),
        });
        let key = row.item.key.map(|key| key.to_json()).unwrap_or_default();
        let text = format!("{key}:{}", row.item.value.to_json());
        *items.items.entry(text).or_default() += 1;
    }
    Ok(found)
}

fn keyed_names(entry: &OperatorEntry) -> Vec<String> {
    let states = entry.subtasks.iter().flat_map(|subtask| &subtask.keyed);
    // The index of a map and the bounds of a list follow from the rows.
    states
        .filter(|state| state_name::of_user(&state.name) == state.name)
        .map(|state| state.name.clone())
        .collect()
}

fn operator_state_names(entry: &OperatorEntry) -> Vec<String> {
    let subtasks = entry.subtasks.iter();
    subtasks
        .flat_map(|subtask| &subtask.operator_state)
        .map(|state| state.name.clone())
        .collect()
}
