//! Reads the rows of a keyed state: what is left when every delta has been laid over its base.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{KeyGroup, OperatorId, hash_key};
use crate::snapshot::damage::Damage;
use crate::snapshot::manifest::{KeyedEntry, Manifest, Part, Piece};
use crate::snapshot::objects::SnapshotObjects;
use crate::snapshot::snapshot_at::SnapshotAt;
use crate::state::rows::{StateCodec, StoredRecord};
use crate::state::{StateDescriptor, StateKind, state_name};

/// What a record takes in memory beyond its bytes, roughly.
const RECORD_OVERHEAD_BYTES: u64 = 112;

/// Reads one keyed state of a snapshot, of all subtasks of its operator.
#[derive(Clone, Debug)]
pub struct KeyedStateReader<'a> {
    objects: &'a SnapshotObjects,
    folder: String,
    max_parallelism: u16,
    operator: OperatorId,
    state: String,
    descriptor: &'a StateDescriptor,
    codec: StateCodec,
    /// The parts of all subtasks, those of one subtask in their order.
    parts: Vec<&'a Part>,
}

/// How much of a state is read, and how much of it at a time.
#[derive(Clone, Debug)]
pub struct ReadLimits {
    /// The archive of the only key that is wanted; all keys if there is none.
    pub key: Option<Vec<u8>>,
    /// About how many bytes of memory the rows can take. What needs more is read in several passes.
    pub memory_bytes: u64,
}

/// A row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The archive of the key.
    pub key: Vec<u8>,
    /// The archive of the map key, if the state has one. A list has none here.
    pub map_key: Option<Vec<u8>>,
    /// The value.
    pub value: StoredRowValue,
}

/// The value of a row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredRowValue {
    /// The archive of a value.
    Single(Vec<u8>),
    /// The archives of the elements of a list, in their order.
    List(Vec<Vec<u8>>),
}

/// Which keys are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share<'k> {
    pub(super) key: Option<&'k [u8]>,
    pub(super) pass: u64,
    pub(super) passes: u64,
}

/// The records of a share: by key and map key, the value.
pub(super) type Records = BTreeMap<(Vec<u8>, Option<Vec<u8>>), Vec<u8>>;

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            key: None,
            memory_bytes: 256 << 20,
        }
    }
}

impl<'a> KeyedStateReader<'a> {
    /// Finds a state by its operator and its name.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is none, with those that there are; [`ErrorKind::Corrupt`] when subtasks
    /// say different things about it.
    pub fn find(snapshot: &'a SnapshotAt, operator: &str, state: &str) -> Result<Self> {
        let (objects, folder) = (&snapshot.objects, snapshot.folder().to_string());
        Self::find_in(objects, &folder, snapshot.manifest(), operator, state)
    }

    /// The same in a manifest whose objects are `objects`; `folder` is what messages call the snapshot.
    pub(super) fn find_in(
        objects: &'a SnapshotObjects,
        folder: &str,
        manifest: &'a Manifest,
        operator: &str,
        state: &str,
    ) -> Result<Self> {
        let operator = OperatorId::new(operator);
        let found = entries_of(manifest, &operator, state)?;
        let first = found[0];
        let context = |error: Error| error.context(format!("state \"{state}\" of \"{operator}\""));
        Ok(Self {
            objects,
            folder: folder.to_owned(),
            max_parallelism: manifest.max_parallelism,
            codec: StateCodec::new(&first.descriptor).map_err(context)?,
            descriptor: &first.descriptor,
            parts: found.iter().flat_map(|state| &state.parts).collect(),
            state: state.to_owned(),
            operator,
        })
    }

    /// What the snapshot says about the state.
    pub fn descriptor(&self) -> &'a StateDescriptor {
        self.descriptor
    }

    /// How its keys and values are read.
    pub fn codec(&self) -> &StateCodec {
        &self.codec
    }

    /// Whether it is made of the same bytes as another one.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.parts == other.parts && self.descriptor == other.descriptor
    }

    /// Shows `visit` all rows that are wanted, until it has seen enough. They come in an order that is always the same for
    /// the same limits, and otherwise means nothing. A row whose time is over is among them as long as it is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when something is damaged; [`ErrorKind::Environment`] when it cannot be read; the first error
    /// of `visit`.
    pub async fn for_each(
        &self,
        limits: &ReadLimits,
        mut visit: impl FnMut(StoredRow) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let passes = match &limits.key {
            Some(_) => 1,
            None => self
                .memory_bytes()
                .await?
                .div_ceil(limits.memory_bytes.max(1)),
        };
        for pass in 0..passes.max(1) {
            let share = Share {
                key: limits.key.as_deref(),
                pass,
                passes,
            };
            for row in self.rows(self.records(share).await?)? {
                if visit(row)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// About how many bytes all records take in memory.
    pub(super) async fn memory_bytes(&self) -> Result<u64> {
        let mut bytes = 0_u64;
        for (_, piece, is_base) in self.pieces() {
            let opened = self.objects.open_records(piece, &self.codec, is_base).await;
            let counts = opened
                .map_err(|damage| self.damaged(&damage))?
                .expected_counts();
            let overhead = counts.records.saturating_mul(RECORD_OVERHEAD_BYTES);
            bytes = bytes.saturating_add(piece.length).saturating_add(overhead);
        }
        Ok(bytes)
    }

    /// The records of a share. Parts that cannot have its key are not read.
    pub(super) async fn records(&self, share: Share<'_>) -> Result<Records> {
        let wanted = share.key.map(|key| self.group_of(hash_key(key)));
        let has = |part: &Part| wanted.is_none_or(|group| part.key_groups.contains(group));
        self.records_where(has, |key, hash| share.has(key, hash))
            .await
    }

    /// The records of these keys. Parts that cannot have any of them are not read.
    pub(super) async fn records_of(&self, keys: &BTreeSet<&[u8]>) -> Result<Records> {
        let groups = keys.iter().map(|key| self.group_of(hash_key(key)));
        let groups: BTreeSet<KeyGroup> = groups.collect();
        let has = |part: &Part| groups.iter().any(|group| part.key_groups.contains(*group));
        self.records_where(has, |key, _| keys.contains(key)).await
    }

    fn group_of(&self, hash: u64) -> KeyGroup {
        KeyGroup::of_hash(hash, self.max_parallelism)
    }

    /// The records of the keys that `is_wanted`, given a key and its hash, of the parts that can have one.
    async fn records_where(
        &self,
        can_have: impl Fn(&Part) -> bool,
        is_wanted: impl Fn(&[u8], u64) -> bool,
    ) -> Result<Records> {
        let mut records = Records::new();
        for (part, piece, is_base) in self.pieces() {
            if !can_have(part) {
                continue;
            }
            let apply = |record: StoredRecord<'_>| {
                let (key, map_key) = self.codec.split_key(record.key)?;
                let hash = hash_key(key);
                if !is_wanted(key, hash) || !part.key_groups.contains(self.group_of(hash)) {
                    return Ok(());
                }
                let place = (key.to_vec(), map_key.map(<[u8]>::to_vec));
                match record.value {
                    Some(value) => records.insert(place, value.to_vec()),
                    None => records.remove(&place),
                };
                Ok(())
            };
            let streamed = self
                .objects
                .stream_records(piece, &self.codec, is_base, &mut |_| {}, apply)
                .await;
            streamed.map_err(|damage| self.damaged(&damage))?;
        }
        Ok(records)
    }

    /// Records as rows: those of a list are put together.
    pub(super) fn rows(&self, records: Records) -> Result<Vec<StoredRow>> {
        if self.descriptor.kind != StateKind::List {
            let row = |((key, map_key), value)| StoredRow {
                key,
                map_key,
                value: StoredRowValue::Single(value),
            };
            return Ok(records.into_iter().map(row).collect());
        }
        let mut lists: BTreeMap<Vec<u8>, BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
        for ((key, position), value) in records {
            let position = position.and_then(|position| position.try_into().ok());
            let position = position.map(u64::from_le_bytes).ok_or_else(|| {
                let message = "an element of a list has no position";
                self.context(Error::new(ErrorKind::Corrupt, message))
            })?;
            lists.entry(key).or_default().insert(position, value);
        }
        let row = |(key, elements): (_, BTreeMap<_, _>)| StoredRow {
            key,
            map_key: None,
            value: StoredRowValue::List(elements.into_values().collect()),
        };
        Ok(lists.into_iter().map(row).collect())
    }

    /// All bases and deltas in the order in which they are applied, each with its part.
    fn pieces(&self) -> impl Iterator<Item = (&'a Part, &'a Piece, bool)> {
        self.parts.iter().copied().flat_map(|part| {
            let base = part.base.iter().map(move |piece| (part, piece, true));
            base.chain(part.deltas.iter().map(move |piece| (part, piece, false)))
        })
    }

    fn damaged(&self, damage: &Damage) -> Error {
        let kind = match damage {
            Damage::Unreadable { .. } => ErrorKind::Environment,
            _ => ErrorKind::Corrupt,
        };
        self.context(Error::new(kind, damage.to_string()))
    }

    fn context(&self, error: Error) -> Error {
        error.context(format!(
            "{}: state \"{}\" of \"{}\"",
            self.folder, self.state, self.operator
        ))
    }
}

impl Share<'_> {
    /// Whether a key with this hash is in the share. The topmost bits say the key group, so others decide here.
    fn has(&self, key: &[u8], hash: u64) -> bool {
        match self.key {
            Some(wanted) => key == wanted,
            None => {
                (u128::from(hash << 16) * u128::from(self.passes)) >> 64 == u128::from(self.pass)
            }
        }
    }
}

/// What all subtasks say of a keyed state: at least one entry, and the same descriptor in all.
///
/// # Errors
/// As for [`KeyedStateReader::find`].
pub(super) fn entries_of<'a>(
    manifest: &'a Manifest,
    operator: &OperatorId,
    state: &str,
) -> Result<Vec<&'a KeyedEntry>> {
    let Some(entry) = manifest.operators.get(operator) else {
        let names: Vec<&str> = manifest.operators.keys().map(OperatorId::as_str).collect();
        return Err(missing(format!("operator \"{operator}\""), &names));
    };
    let keyed = || entry.subtasks.iter().flat_map(|subtask| &subtask.keyed);
    let found: Vec<&KeyedEntry> = keyed().filter(|found| found.name == state).collect();
    let Some(first) = found.first() else {
        let names: BTreeSet<&str> = keyed()
            .map(|state| state_name::of_user(&state.name))
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let what = format!("keyed state \"{state}\" of operator \"{operator}\"");
        return Err(missing(what, &names));
    };
    let differs = |other: &&KeyedEntry| other.descriptor != first.descriptor;
    if found.iter().any(differs) {
        let message = format!("subtasks of {operator} disagree on the types of state {state}");
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(found)
}

fn missing(what: String, names: &[&str]) -> Error {
    let there = match names {
        [] => "there is none at all".to_owned(),
        names => format!("there are {}", names.join(", ")),
    };
    Error::new(
        ErrorKind::Configuration,
        format!("the snapshot has no {what}: {there}"),
    )
}
