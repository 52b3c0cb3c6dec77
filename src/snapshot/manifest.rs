//! The manifest: what a checkpoint is made of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::in_flight::InFlightEntry;
use super::take_over::StartedFrom;
use crate::model::{CheckpointId, KeyGroupRange, OperatorId};
use crate::state::{LocalBarrier, OperatorStateDescriptor, StateDescriptor};
use crate::storage::{Checksum, ObjectName, StoredSection};

/// The version of the format that this version writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// How rkyv lays out the values in bases and deltas; fixed by the features that Floodmark is built with.
pub const STATE_ENCODING: &str = "rkyv 0.8 little-endian aligned pointer-width 32";

/// What a checkpoint is made of, as it stands in `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// The version of Floodmark that wrote it, for people to read.
    pub floodmark_version: String,
    /// [`STATE_ENCODING`] of the writer.
    pub state_encoding: String,
    /// The job's name.
    pub job: String,
    /// The checkpoint's id.
    pub checkpoint: CheckpointId,
    /// What kind of snapshot it is.
    pub kind: SnapshotKind,
    /// When it was triggered, in milliseconds since the Unix epoch.
    pub triggered_unix_millis: i64,
    /// When the last subtask had acknowledged it, in milliseconds since the Unix epoch.
    pub completed_unix_millis: i64,
    /// The number of key groups of the job: fixed for the life of its state.
    pub max_parallelism: u16,
    /// Whether all operators had worked off all input: nothing is left to do for a job that is restored from it.
    pub finished: bool,
    /// How many bytes of state this checkpoint added to the store.
    pub uploaded_bytes: u64,
    /// What the job was started from, if that was a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_from: Option<StartedFrom>,
    /// The job's operators, in the order of the plan.
    pub graph: Vec<GraphOperator>,
    /// What each operator put into the checkpoint.
    pub operators: BTreeMap<OperatorId, OperatorEntry>,
}

/// The kind of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// Taken for recovery, owned and deleted by the job.
    Checkpoint,
    /// Taken for people, who own and delete it. It is self-contained: it can be moved, and be kept for years.
    Savepoint,
}

impl SnapshotKind {
    /// The kind as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Savepoint => "savepoint",
        }
    }
}

/// One operator of the job graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphOperator {
    /// Its id.
    pub id: OperatorId,
    /// What it is, for example `aggregate`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The operators whose output it takes in.
    pub inputs: Vec<OperatorId>,
    /// How many subtasks it had.
    pub parallelism: usize,
}

/// What one operator put into a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// One entry for each of its subtasks, in their order.
    pub subtasks: Vec<SubtaskEntry>,
}

/// What one operator subtask put into a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubtaskEntry {
    /// Which parallel instance it is, from 0.
    pub index: usize,
    /// Whether it had worked off all its input.
    pub finished: bool,
    /// What its connector keeps readable: source positions, what a sink is to commit.
    pub items: Vec<Value>,
    /// Its operator states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operator_state: Vec<OperatorStateEntry>,
    /// What was in flight to it; of the first operator of a chain only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_flight: Vec<InFlightEntry>,
    /// The barrier as the working segments know it: when they survive, its keyed states need not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalBarrier>,
    /// Its keyed states.
    pub keyed: Vec<KeyedEntry>,
}

/// One named operator state of one operator subtask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorStateEntry {
    /// The state's name, unique among the operator states of its operator.
    pub name: String,
    /// Its kind and types.
    pub descriptor: OperatorStateDescriptor,
    /// All of it, in the checkpoint's own folder.
    pub piece: Piece,
}

/// One named keyed state of one operator subtask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedEntry {
    /// The state's name, unique in its operator.
    pub name: String,
    /// Its kind and types.
    pub descriptor: StateDescriptor,
    /// What makes it up, to be applied in this order. No part means that the state is empty.
    pub parts: Vec<Part>,
}

/// A base and the deltas after it, as one subtask wrote them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The key groups that the part counts for; its bytes can hold records of others, which must not be read.
    pub key_groups: KeyGroupRange,
    /// The base, or nothing when the deltas go back to the empty state.
    pub base: Option<Piece>,
    /// The deltas, oldest first.
    pub deltas: Vec<Piece>,
}

/// A section of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The object.
    pub object: ObjectName,
    /// The section's first byte in it.
    pub offset: u64,
    /// How many bytes the section has.
    pub length: u64,
    /// The section's checksum.
    pub checksum: Checksum,
}

impl Manifest {
    /// All pieces that the checkpoint refers to.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.operators
            .values()
            .flat_map(|operator| &operator.subtasks)
            .flat_map(SubtaskEntry::pieces)
    }

    /// The same pieces, to be changed.
    pub(super) fn pieces_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        self.operators
            .values_mut()
            .flat_map(|operator| &mut operator.subtasks)
            .flat_map(SubtaskEntry::pieces_mut)
    }

    /// All objects that the checkpoint refers to and that others can share; the rest lies in its own folder.
    pub fn objects(&self) -> BTreeSet<ObjectName> {
        self.pieces()
            .filter(|piece| piece.object.is_shared())
            .map(|piece| piece.object.clone())
            .collect()
    }

    /// How many bytes of state the checkpoint refers to, whichever checkpoint wrote them.
    pub fn referred_bytes(&self) -> u64 {
        let mut seen = BTreeSet::new();
        self.pieces()
            .filter(|piece| seen.insert((&piece.object, piece.offset)))
            .map(|piece| piece.length)
            .sum()
    }
}

impl SubtaskEntry {
    /// What is recorded of a subtask that has finished for good: all that it did is committed, and nothing is kept of it.
    pub fn finished_for_good(index: usize) -> Self {
        Self {
            index,
            finished: true,
            items: Vec::new(),
            operator_state: Vec::new(),
            in_flight: Vec::new(),
            local: None,
            keyed: Vec::new(),
        }
    }

    /// Whether there is no state in it.
    pub fn is_stateless(&self) -> bool {
        self.items.is_empty()
            && self.operator_state.is_empty()
            && self.in_flight.is_empty()
            && self.keyed.is_empty()
    }

    /// All pieces that the subtask refers to.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let keyed = self
            .keyed
            .iter()
            .flat_map(|state| &state.parts)
            .flat_map(Part::pieces);
        let operator_state = self.operator_state.iter().map(|state| &state.piece);
        let in_flight = self.in_flight.iter().map(|entry| &entry.piece);
        keyed.chain(operator_state).chain(in_flight)
    }

    /// The same pieces, to be changed.
    fn pieces_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        let keyed = self
            .keyed
            .iter_mut()
            .flat_map(|state| &mut state.parts)
            .flat_map(|part| part.base.iter_mut().chain(&mut part.deltas));
        let operator_state = self.operator_state.iter_mut();
        let operator_state = operator_state.map(|state| &mut state.piece);
        let in_flight = self.in_flight.iter_mut().map(|entry| &mut entry.piece);
        keyed.chain(operator_state).chain(in_flight)
    }
}

impl Piece {
    /// The section, as the store describes it.
    pub(super) fn section(&self) -> StoredSection {
        StoredSection {
            offset: self.offset,
            length: self.length,
            checksum: self.checksum,
        }
    }

    /// A section of `object`, as the store has described it.
    pub(super) fn of_section(object: &ObjectName, section: StoredSection) -> Self {
        let StoredSection {
            offset,
            length,
            checksum,
        } = section;
        Self {
            object: object.clone(),
            offset,
            length,
            checksum,
        }
    }
}

impl Part {
    /// The pieces that it is made of, in the order in which they are applied.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.base.iter().chain(&self.deltas)
    }

    /// The part without the key groups outside `range`, or nothing when none is left.
    pub fn narrowed_to(&self, range: KeyGroupRange) -> Option<Self> {
        let key_groups = KeyGroupRange {
            start: self.key_groups.start.max(range.start),
            end: self.key_groups.end.min(range.end),
        };
        (key_groups.start < key_groups.end).then(|| Self {
            key_groups,
            ..self.clone()
        })
    }
}

/// Puts the entries of all subtasks together, those of one operator in the order of its subtasks.
pub fn collect_operators(
    entries: impl IntoIterator<Item = (OperatorId, SubtaskEntry)>,
) -> BTreeMap<OperatorId, OperatorEntry> {
    let mut operators: BTreeMap<OperatorId, OperatorEntry> = BTreeMap::new();
    for (operator, entry) in entries {
        operators.entry(operator).or_default().subtasks.push(entry);
    }
    for entry in operators.values_mut() {
        entry.subtasks.sort_by_key(|subtask| subtask.index);
    }
    operators
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::state::OperatorStateKind;

    #[test]
    fn operator_state_is_readable_in_the_manifest() {
        let entry = SubtaskEntry {
            in_flight: Vec::new(),
            local: None,
            index: 1,
            finished: false,
            items: Vec::new(),
            operator_state: vec![OperatorStateEntry {
                name: "rules".to_owned(),
                descriptor: OperatorStateDescriptor {
                    kind: OperatorStateKind::UnionList,
                    version: 1,
                    key_schema: None,
                    value_schema: "u64 (8 bytes, alignment 8)".to_owned(),
                },
                piece: Piece {
                    object: ObjectName::try_from("chk-7/sum-1.state".to_owned()).unwrap(),
                    offset: 16,
                    length: 28,
                    checksum: Checksum(10),
                },
            }],
            keyed: Vec::new(),
        };
        let written = serde_json::to_value(&entry).unwrap();
        let expected = json!([{
            "name": "rules",
            "descriptor": { "kind": "union-list", "value_schema": "u64 (8 bytes, alignment 8)" },
            "piece": {
                "object": "chk-7/sum-1.state",
                "offset": 16,
                "length": 28,
                "checksum": "xxh3:000000000000000a",
            },
        }]);
        assert_eq!(written["operator_state"], expected);
        let read: SubtaskEntry = serde_json::from_value(written).unwrap();
        assert_eq!(read, entry);
    }

    #[test]
    fn a_part_is_narrowed_to_the_groups_in_common() {
        let range = |start, end| KeyGroupRange { start, end };
        let part = Part {
            key_groups: range(10, 20),
            base: None,
            deltas: Vec::new(),
        };
        let check = |other, expected| {
            let narrowed = part.narrowed_to(other).map(|part| part.key_groups);
            assert_eq!(narrowed, expected, "{other:?}");
        };
        check(range(0, 128), Some(range(10, 20)));
        check(range(0, 15), Some(range(10, 15)));
        check(range(15, 128), Some(range(15, 20)));
        check(range(0, 10), None);
        check(range(20, 30), None);
    }
}
