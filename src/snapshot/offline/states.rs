//! The states of a snapshot, in a few figures each.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::model::OperatorId;
use crate::snapshot::manifest::{KeyedEntry, Piece};
use crate::snapshot::objects::SnapshotObjects;
use crate::snapshot::snapshot_at::SnapshotAt;
use crate::state::rows::{OperatorStateCodec, StateCodec};
use crate::state::state_name;
use crate::storage::ObjectName;

/// One state of an operator, over all its subtasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateSummary {
    /// Whose state it is.
    pub operator: OperatorId,
    /// The state's name. What belongs to the index of a map or a list is counted in.
    pub state: String,
    /// The kind, for example `map`; that of an operator state has two words, as in `operator list`.
    pub kind: String,
    /// The version of its layout.
    pub version: u32,
    /// How its keys are laid out.
    pub key_schema: Option<String>,
    /// How what tells the records of one key apart is laid out.
    pub map_key_schema: Option<String>,
    /// How its values are laid out.
    pub value_schema: String,
    /// Whether its values have a time-to-live.
    pub time_to_live: bool,
    /// How many records are stored: one that was changed since the last base counts again.
    pub records: u64,
    /// How many bytes are stored.
    pub bytes: u64,
}

/// The states of all operators, by operator and name. Of keyed states only the footers are read.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when a state cannot be read.
pub async fn state_summaries(snapshot: &SnapshotAt) -> Result<Vec<StateSummary>> {
    let mut summaries = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (operator, entry) in &snapshot.manifest().operators {
        for subtask in &entry.subtasks {
            for state in &subtask.keyed {
                let name = state_name::of_user(&state.name);
                let summary = summaries
                    .entry((operator, name, false))
                    .or_insert_with(|| StateSummary::of_keyed(operator, name));
                summary.add(snapshot, state, &mut seen).await?;
            }
            for state in &subtask.operator_state {
                let section = read_section(&snapshot.objects, &state.piece).await?;
                let codec = OperatorStateCodec::new(&state.descriptor);
                let summary = summaries
                    .entry((operator, &state.name, true))
                    .or_insert_with(|| StateSummary {
                        kind: format!("operator {}", state.descriptor.kind.as_str()),
                        version: state.descriptor.version,
                        key_schema: state.descriptor.key_schema.clone(),
                        value_schema: state.descriptor.value_schema.clone(),
                        ..StateSummary::of_keyed(operator, &state.name)
                    });
                summary.records += codec.decode_section(&section)?.len() as u64;
                summary.bytes += state.piece.length;
            }
        }
    }
    Ok(summaries.into_values().collect())
}

/// The bytes of an operator state, which is small.
pub(super) async fn read_section(objects: &SnapshotObjects, piece: &Piece) -> Result<Vec<u8>> {
    let mut section = Vec::new();
    let take = |_, chunk: &Bytes| {
        section.extend_from_slice(chunk);
        Ok(())
    };
    let streamed = objects.stream(piece, &mut |_| {}, take).await;
    streamed.map_err(|damage| Error::new(ErrorKind::Corrupt, damage.to_string()))?;
    Ok(section)
}

/// Pieces that were counted: after a rescale several subtasks can refer to one.
type Seen<'a> = BTreeSet<(&'a ObjectName, u64)>;

impl StateSummary {
    fn of_keyed(operator: &OperatorId, name: &str) -> Self {
        Self {
            operator: operator.clone(),
            state: name.to_owned(),
            kind: String::new(),
            version: 0,
            key_schema: None,
            map_key_schema: None,
            value_schema: String::new(),
            time_to_live: false,
            records: 0,
            bytes: 0,
        }
    }

    async fn add<'a>(
        &mut self,
        snapshot: &SnapshotAt,
        state: &'a KeyedEntry,
        seen: &mut Seen<'a>,
    ) -> Result<()> {
        let is_part = state.name != self.state;
        let descriptor = &state.descriptor;
        if !is_part {
            self.kind = descriptor.kind.as_str().to_owned();
            self.version = descriptor.version;
            self.key_schema = Some(descriptor.key_schema.clone());
            self.map_key_schema = descriptor.map_key_schema.clone();
            self.value_schema = descriptor.value_schema.clone();
            self.time_to_live = descriptor.time_to_live;
        }
        let codec = StateCodec::new(descriptor)?;
        for part in &state.parts {
            let deltas = part.deltas.iter().map(|delta| (delta, false));
            for (piece, is_base) in part.base.iter().map(|base| (base, true)).chain(deltas) {
                if !seen.insert((&piece.object, piece.offset)) {
                    continue;
                }
                self.bytes += piece.length;
                if !is_part {
                    let opened = snapshot.objects.open_records(piece, &codec, is_base).await;
                    let opened = opened
                        .map_err(|damage| Error::new(ErrorKind::Corrupt, damage.to_string()))?;
                    self.records += opened.expected_counts().records;
                }
            }
        }
        Ok(())
    }
}
