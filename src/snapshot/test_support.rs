//! What the tests of this module share.

use bytes::Bytes;
use serde_json::json;

use super::manifest::{
    FORMAT_VERSION, GraphOperator, KeyedEntry, Manifest, Part, Piece, STATE_ENCODING, SnapshotKind,
    SubtaskEntry, collect_operators,
};
use super::store::CheckpointStore;
use super::writer::{SealedOperator, SnapshotWriter, SubtaskSnapshot};
use crate::model::{CheckpointId, KeyGroupRange, OperatorId, SubtaskId};
use crate::state::{
    BaseContent, Epoch, RecordFormat, SealedBase, SealedBytes, SealedState, StateDescriptor,
    StateKind,
};
use crate::storage::{Checksum, ObjectName, SimulatedDisk, StoragePaths, StoreLocation};

pub(super) const MAX_PARALLELISM: u16 = 128;

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

pub(super) fn key_groups(start: u16, end: u16) -> KeyGroupRange {
    KeyGroupRange { start, end }
}

pub(super) fn descriptor() -> StateDescriptor {
    StateDescriptor {
        kind: StateKind::Value,
        version: 1,
        key_schema: "u64 (8 bytes, alignment 8)".to_owned(),
        map_key_schema: None,
        value_schema: "i64 (8 bytes, alignment 8)".to_owned(),
        time_to_live: false,
        record_format: RecordFormat::Fixed,
    }
}

pub(super) fn sealed_bytes(text: &str) -> SealedBytes {
    let chunks = match text.is_empty() {
        true => Vec::new(),
        false => vec![Bytes::copy_from_slice(text.as_bytes())],
    };
    SealedBytes { chunks }
}

/// A state as a barrier sealed it; `base` is its first epoch and its bytes.
pub(super) fn sealed_state(
    name: &str,
    epoch: u64,
    delta: &str,
    base: Option<(u64, &str)>,
) -> SealedState {
    SealedState {
        name: name.into(),
        descriptor: descriptor(),
        epoch: Epoch(epoch),
        delta: sealed_bytes(delta),
        base: base.map(|(first_epoch, text)| SealedBase {
            first_epoch: Epoch(first_epoch),
            content: BaseContent::Bytes(sealed_bytes(text)),
        }),
    }
}

pub(super) fn sealed_operator(operator: &str, states: Vec<SealedState>) -> SealedOperator {
    SealedOperator {
        in_flight: Vec::new(),
        operator: operator.into(),
        finished: false,
        items: vec![json!({ "position": 7 })],
        operator_state: Vec::new(),
        local: None,
        states,
    }
}

impl CheckpointStore {
    /// The checkpoints of the job `job` on a disk on which the plug can be pulled. Nothing is tried again.
    pub(crate) fn on(disk: &SimulatedDisk) -> Self {
        Self {
            blobs: disk.store(),
            paths: StoragePaths::new("job").unwrap(),
            fence: None,
        }
    }
}

/// A store in a folder of its own.
pub(super) struct StoreFixture {
    pub(super) folder: tempfile::TempDir,
    pub(super) store: CheckpointStore,
}

impl StoreFixture {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::parse("store", folder.path()).unwrap();
        let store = CheckpointStore::open(&location, "job").unwrap();
        block_on(store.prepare()).unwrap();
        Self { folder, store }
    }

    pub(super) fn path(&self, relative: &str) -> std::path::PathBuf {
        self.folder.path().join("store/job").join(relative)
    }

    pub(super) fn writer(&self, subtask: usize, parallelism: usize) -> SnapshotWriter {
        let range = KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM);
        let subtask = SubtaskId::new("sum".into(), subtask);
        SnapshotWriter::new(self.store.clone(), subtask, range, 0xabc)
    }

    pub(super) async fn commit(
        &self,
        checkpoint: u64,
        snapshots: Vec<SubtaskSnapshot>,
    ) -> Manifest {
        let manifest = manifest_of(checkpoint, snapshots);
        self.store.commit(&manifest).await.unwrap();
        manifest
    }

    /// The paths of all files, relative to the job's folder, in order.
    pub(super) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for folder in std::fs::read_dir(self.path("")).unwrap() {
            let folder = folder.unwrap();
            let name = folder.file_name().into_string().unwrap();
            for file in std::fs::read_dir(folder.path()).unwrap() {
                let file = file.unwrap().file_name().into_string().unwrap();
                files.push(format!("{name}/{file}"));
            }
        }
        files.sort();
        files
    }
}

pub(super) fn manifest_of(checkpoint: u64, snapshots: Vec<SubtaskSnapshot>) -> Manifest {
    Manifest {
        checkpoint: CheckpointId(checkpoint),
        job: "job".to_owned(),
        uploaded_bytes: snapshots
            .iter()
            .map(|snapshot| snapshot.uploaded_bytes)
            .sum(),
        operators: collect_operators(
            snapshots
                .into_iter()
                .flat_map(|snapshot| snapshot.operators),
        ),
        ..sample_manifest()
    }
}

/// The manifest in `fixtures/manifest-1.json`.
pub(super) fn sample_manifest() -> Manifest {
    let piece = |object: &str, offset, length, checksum| Piece {
        object: ObjectName::try_from(format!("shared/{object}")).unwrap(),
        offset,
        length,
        checksum: Checksum(checksum),
    };
    let delta = "17-sum-0-00000000deadbeef-0.delta";
    let sum = SubtaskEntry {
        in_flight: Vec::new(),
        index: 0,
        finished: false,
        items: Vec::new(),
        operator_state: Vec::new(),
        local: None,
        keyed: vec![KeyedEntry {
            name: "total".to_owned(),
            descriptor: descriptor(),
            parts: vec![
                Part {
                    key_groups: key_groups(0, 64),
                    base: Some(piece(
                        "9-sum-0-0000000000000001-0.base",
                        0,
                        4096,
                        0x0123_4567_89ab_cdef,
                    )),
                    deltas: vec![piece(
                        "10-sum-0-0000000000000001-0.delta",
                        128,
                        64,
                        0xfedc_ba98_7654_3210,
                    )],
                },
                Part {
                    key_groups: key_groups(0, 128),
                    base: None,
                    deltas: vec![piece(delta, 0, 32, 1), piece(delta, 32, 96, 2)],
                },
            ],
        }],
    };
    let source = SubtaskEntry {
        in_flight: Vec::new(),
        index: 0,
        finished: true,
        items: vec![json!({ "file": "a.csv", "row": 1234, "seconds": 0.1 })],
        operator_state: Vec::new(),
        local: None,
        keyed: Vec::new(),
    };
    let operator = |id: &str, type_name: &str, inputs: &[&str]| GraphOperator {
        id: id.into(),
        type_name: type_name.to_owned(),
        inputs: inputs.iter().map(OperatorId::new).collect(),
        parallelism: 1,
    };
    Manifest {
        format_version: FORMAT_VERSION,
        floodmark_version: "0.1.0".to_owned(),
        state_encoding: STATE_ENCODING.to_owned(),
        job: "sums".to_owned(),
        checkpoint: CheckpointId(17),
        kind: SnapshotKind::Checkpoint,
        triggered_unix_millis: 1_700_000_000_000,
        completed_unix_millis: 1_700_000_000_012,
        max_parallelism: MAX_PARALLELISM,
        finished: false,
        uploaded_bytes: 128,
        started_from: None,
        graph: vec![
            operator("source", "file", &[]),
            operator("sum", "aggregate", &["source"]),
        ],
        operators: collect_operators([("source".into(), source), ("sum".into(), sum)]),
    }
}
