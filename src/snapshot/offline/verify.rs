//! Whether a snapshot is whole: every byte against its checksum, and every record against its schema.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::model::{KeyGroup, KeyGroupRange, OperatorId, hash_key};
use crate::snapshot::damage::Damage;
use crate::snapshot::manifest::{
    KeyedEntry, Manifest, OperatorStateEntry, Part, Piece, SubtaskEntry,
};
use crate::snapshot::snapshot_at::SnapshotAt;
use crate::state::rows::{OperatorStateCodec, StateCodec, StoredRecord};
use crate::storage::ObjectName;

use super::piece_stream::malformed;

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// How many sections of objects were read.
    pub pieces: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many records are in the bases and deltas of keyed states. A record that was changed since the base counts again.
    pub records: u64,
    /// The deletions among them.
    pub deletions: u64,
    /// The records that do not count, since they are of key groups that another subtask has owned since a rescale.
    pub records_of_other_key_groups: u64,
    /// How many items and entries are in operator states.
    pub operator_state_items: u64,
    /// All that is damaged.
    pub findings: Vec<Finding>,
}

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whose state it is.
    pub operator: OperatorId,
    /// Of which subtask.
    pub subtask: usize,
    /// The name of the state, if it belongs to one.
    pub state: Option<String>,
    /// The object.
    pub object: ObjectName,
    /// The first byte of the section in the object.
    pub offset: u64,
    /// What is wrong.
    pub damage: String,
}

/// Reads all that the manifest refers to, and tells `progress` how many bytes were read as they come.
pub async fn verify(snapshot: &SnapshotAt, progress: &mut dyn FnMut(u64)) -> Verification {
    let mut verification = Verification::default();
    for (piece, uses) in uses_of_pieces(snapshot.manifest()) {
        let damage = verification.check(snapshot, piece, &uses, progress).await;
        verification.pieces += 1;
        verification.bytes += piece.length;
        if let Err(damage) = damage {
            let first = &uses[0];
            verification.findings.push(Finding {
                operator: first.operator.clone(),
                subtask: first.subtask,
                state: first.content.state().map(str::to_owned),
                object: piece.object.clone(),
                offset: piece.offset,
                damage: damage.to_string(),
            });
        }
    }
    verification
}

/// Who refers to a piece. After a rescale several subtasks can.
struct PieceUse<'a> {
    operator: &'a OperatorId,
    subtask: usize,
    content: Content<'a>,
}

/// What a piece holds.
#[derive(Clone, Copy)]
enum Content<'a> {
    Keyed {
        state: &'a KeyedEntry,
        key_groups: KeyGroupRange,
        is_base: bool,
    },
    OperatorState(&'a OperatorStateEntry),
    /// Something of which only the checksum is known here.
    Other,
}

impl<'a> Content<'a> {
    fn state(&self) -> Option<&'a str> {
        match self {
            Self::Keyed { state, .. } => Some(&state.name),
            Self::OperatorState(state) => Some(&state.name),
            Self::Other => None,
        }
    }
}

impl Verification {
    async fn check(
        &mut self,
        snapshot: &SnapshotAt,
        piece: &Piece,
        uses: &[PieceUse<'_>],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Damage> {
        match uses[0].content {
            Content::Keyed { state, is_base, .. } => {
                let codec = StateCodec::new(&state.descriptor);
                let codec = codec.map_err(|error| malformed(piece, &error))?;
                self.check_records(snapshot, piece, &codec, is_base, uses, progress)
                    .await
            }
            Content::OperatorState(state) => {
                let mut section = Vec::new();
                let streamed = snapshot.objects.stream(piece, progress, |_, chunk| {
                    section.extend_from_slice(chunk);
                    Ok(())
                });
                streamed.await?;
                let codec = OperatorStateCodec::new(&state.descriptor);
                let items = codec.decode_section(&section);
                let items = items.map_err(|error| malformed(piece, &error))?;
                self.operator_state_items += items.len() as u64;
                Ok(())
            }
            Content::Other => {
                snapshot
                    .objects
                    .stream(piece, progress, |_, _| Ok(()))
                    .await
            }
        }
    }

    async fn check_records(
        &mut self,
        snapshot: &SnapshotAt,
        piece: &Piece,
        codec: &StateCodec,
        is_base: bool,
        uses: &[PieceUse<'_>],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Damage> {
        let max_parallelism = snapshot.manifest().max_parallelism;
        let mut elsewhere = 0;
        let check = |record: StoredRecord<'_>| {
            let key = check_record(codec, record)?;
            let group = KeyGroup::of_hash(hash_key(key), max_parallelism);
            let counts = uses.iter().any(|used| match used.content {
                Content::Keyed { key_groups, .. } => key_groups.contains(group),
                Content::OperatorState(_) | Content::Other => false,
            });
            elsewhere += u64::from(!counts);
            Ok(())
        };
        let objects = &snapshot.objects;
        let counts = objects
            .stream_records(piece, codec, is_base, progress, check)
            .await?;
        self.records += counts.records;
        self.deletions += counts.deletions;
        self.records_of_other_key_groups += elsewhere;
        Ok(())
    }
}

/// Checks that a record has the form of its types; gives its key.
fn check_record<'a>(codec: &StateCodec, record: StoredRecord<'a>) -> Result<&'a [u8]> {
    let (key, map_key) = codec.split_key(record.key)?;
    codec.key().decode(key)?;
    if let (Some(map_key), Some(codec)) = (map_key, codec.map_key()) {
        codec.decode(map_key)?;
    }
    if let Some(value) = record.value {
        codec.decode_value(value)?;
    }
    Ok(key)
}

type Uses<'a> = BTreeMap<(&'a ObjectName, u64), (&'a Piece, Vec<PieceUse<'a>>)>;

/// All pieces of a snapshot, each once, with all who refer to it; those of one object in their order.
fn uses_of_pieces(manifest: &Manifest) -> impl Iterator<Item = (&Piece, Vec<PieceUse<'_>>)> {
    let mut uses = Uses::new();
    for (operator, entry) in &manifest.operators {
        for subtask in &entry.subtasks {
            let mut add = |piece, content| {
                let (_, uses) = uses
                    .entry(place(piece))
                    .or_insert_with(|| (piece, Vec::new()));
                uses.push(PieceUse {
                    operator,
                    subtask: subtask.index,
                    content,
                });
            };
            let mut known = BTreeMap::new();
            for (piece, content) in contents(subtask) {
                known.insert(place(piece), ());
                add(piece, content);
            }
            for piece in subtask.pieces() {
                if !known.contains_key(&place(piece)) {
                    add(piece, Content::Other);
                }
            }
        }
    }
    uses.into_values()
}

fn place(piece: &Piece) -> (&ObjectName, u64) {
    (&piece.object, piece.offset)
}

/// The pieces of a subtask whose content is known.
fn contents(subtask: &SubtaskEntry) -> impl Iterator<Item = (&Piece, Content<'_>)> {
    let keyed = subtask.keyed.iter().flat_map(|state| {
        state
            .parts
            .iter()
            .flat_map(|part| keyed_contents(state, part))
    });
    let operator_state = subtask
        .operator_state
        .iter()
        .map(|state| (&state.piece, Content::OperatorState(state)));
    keyed.chain(operator_state)
}

fn keyed_contents<'a>(
    state: &'a KeyedEntry,
    part: &'a Part,
) -> impl Iterator<Item = (&'a Piece, Content<'a>)> {
    let content = move |is_base| Content::Keyed {
        state,
        key_groups: part.key_groups,
        is_base,
    };
    let base = part.base.iter().map(move |piece| (piece, content(true)));
    let deltas = part.deltas.iter().map(move |piece| (piece, content(false)));
    base.chain(deltas)
}
