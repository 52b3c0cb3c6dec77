//! The format of whole checkpoints: one that is kept in the repository must be read for ever, and be written again byte
//! for byte.
//!
//! It lies in `tests/data/checkpoint-1`. After a change of the format that is meant, this makes it anew:
//! `cargo test --test format -- --ignored`

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use floodmark::model::{CheckpointId, KeyGroup, KeyGroupRange, OperatorId, SubtaskId, hash_key};
use floodmark::snapshot::{
    CheckpointStore, FORMAT_VERSION, Manifest, STATE_ENCODING, SealedOperator, SnapshotKind,
    SnapshotWriter, SubtaskSnapshot, collect_operators,
};
use floodmark::state::{KeyedStateBackend, MapState, RestoredState, StateSettings, ValueState};
use floodmark::storage::StoreLocation;
use rkyv::{Archive, Deserialize, Serialize};

const MAX_PARALLELISM: u16 = 128;

/// How many subtasks wrote the checkpoint.
const PARALLELISM: usize = 2;

const OPERATOR: &str = "sum";

const KEYS: u64 = 40;

/// How many epochs follow the first one in which all states have a base.
const EPOCHS_AFTER_BASE: u64 = 3;

floodmark::state_schema! {
    /// A value with parts of all sorts.
    #[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
    struct Reading {
        sensor: (u16, char),
        label: String,
        values: Vec<Option<f64>>,
        quality: Quality,
    }

    /// How good a reading is.
    #[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
    enum Quality {
        Good,
        Doubtful { reason: String },
        Bad(u8, bool),
    }
}

/// A store in a folder of its own.
struct Folder {
    folder: tempfile::TempDir,
    store: CheckpointStore,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::parse("store", folder.path()).unwrap();
        let store = CheckpointStore::open(&location, "job").unwrap();
        block_on(store.prepare()).unwrap();
        Self { folder, store }
    }

    /// The folder of the job.
    fn job(&self) -> PathBuf {
        self.folder.path().join("store/job")
    }

    /// The folder of a subtask's working segments.
    fn segments(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("state-{index}"))
    }

    /// A writer that always gives its objects the same names.
    fn writer(&self, index: usize, own: KeyGroupRange) -> SnapshotWriter {
        let subtask = SubtaskId::new(OPERATOR.into(), index);
        SnapshotWriter::new(self.store.clone(), subtask, own, 0xabc)
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

/// What the states hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    totals: BTreeMap<u64, i64>,
    readings: BTreeMap<String, Reading>,
    steps: BTreeMap<(u64, String), u32>,
    slots: BTreeMap<(u32, u32), i64>,
}

/// The states of one subtask: fixed and variable, of values and of maps.
struct States {
    backend: KeyedStateBackend,
    own: KeyGroupRange,
    totals: ValueState<u64, i64>,
    readings: ValueState<String, Reading>,
    steps: MapState<u64, String, u32>,
    slots: MapState<u32, u32, i64>,
}

impl States {
    fn open(directory: &Path, own: KeyGroupRange, restored: Vec<RestoredState>) -> Self {
        let settings = StateSettings {
            directory: directory.to_path_buf(),
            max_parallelism: MAX_PARALLELISM,
            key_groups: own,
            incremental: true,
        };
        let mut backend = KeyedStateBackend::new(settings, restored);
        Self {
            own,
            totals: backend.value_state("totals").unwrap(),
            readings: backend.value_state("readings").unwrap(),
            steps: backend.map_state("steps").unwrap(),
            slots: backend.map_state("slots").unwrap(),
            backend,
        }
    }

    fn owns(&self, archive: &[u8]) -> bool {
        let group = KeyGroup::of_hash(hash_key(archive), MAX_PARALLELISM);
        self.own.contains(group)
    }

    /// Changes what is this subtask's of the keys that an epoch touches.
    fn change(&self, epoch: u64, content: &mut Content) {
        for key in (0..KEYS).filter(|key| (key + epoch).is_multiple_of(5)) {
            let is_deletion = (key + epoch).is_multiple_of(7);
            if self.owns(&key.to_le_bytes()) {
                self.change_numbers(key, epoch, is_deletion, content);
            }
            let slot = key as u32 / 4;
            if self.owns(&slot.to_le_bytes()) {
                self.change_slot((slot, key as u32), epoch, is_deletion, content);
            }
            let text = format!("sensor number {key}");
            let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&text).unwrap();
            if self.owns(&archive) {
                self.change_reading(text, key, epoch, is_deletion, content);
            }
        }
    }

    fn change_numbers(&self, key: u64, epoch: u64, is_deletion: bool, content: &mut Content) {
        let entry = (key, format!("step {}", epoch % 3));
        if is_deletion {
            self.totals.remove(&key).unwrap();
            content.totals.remove(&key);
            self.steps.remove(&entry.0, &entry.1).unwrap();
            content.steps.remove(&entry);
            return;
        }
        let total = -((key * 1_000_003 + epoch) as i64);
        self.totals.put(&key, &total).unwrap();
        content.totals.insert(key, total);
        let step = (key * epoch) as u32;
        self.steps.put(&entry.0, &entry.1, &step).unwrap();
        content.steps.insert(entry, step);
    }

    fn change_slot(&self, entry: (u32, u32), epoch: u64, is_deletion: bool, content: &mut Content) {
        if is_deletion {
            self.slots.remove(&entry.0, &entry.1).unwrap();
            content.slots.remove(&entry);
        } else {
            let value = i64::from(entry.1) << (epoch % 40);
            self.slots.put(&entry.0, &entry.1, &value).unwrap();
            content.slots.insert(entry, value);
        }
    }

    fn change_reading(
        &self,
        sensor: String,
        key: u64,
        epoch: u64,
        is_deletion: bool,
        content: &mut Content,
    ) {
        if is_deletion {
            self.readings.remove(&sensor).unwrap();
            content.readings.remove(&sensor);
        } else {
            let reading = reading(key, epoch);
            self.readings.put(&sensor, &reading).unwrap();
            content.readings.insert(sensor, reading);
        }
    }

    /// Changes the states and seals them, with a base for each that is due for one.
    fn next_epoch(&mut self, epoch: u64, content: &mut Content) -> SealedOperator {
        self.change(epoch, content);
        while self.backend.copy_base_slice(1 << 20).unwrap() {}
        SealedOperator {
            operator: OPERATOR.into(),
            finished: false,
            items: Vec::new(),
            states: self.backend.seal().unwrap(),
        }
    }

    fn have_bases(&self) -> bool {
        let figures = self.backend.statistics();
        figures.iter().all(|state| state.last_base_bytes > 0)
    }

    /// Adds what this subtask holds.
    fn collect(&self, content: &mut Content) {
        let mut numbers = Vec::new();
        self.totals
            .for_each(|key, value| {
                numbers.push((key.to_native(), value.to_native()));
                Ok(())
            })
            .unwrap();
        content.totals.extend(numbers);
        self.readings
            .for_each(|key, value| {
                let value = rkyv::deserialize::<Reading, rkyv::rancor::Error>(value).unwrap();
                content.readings.insert(key.to_string(), value);
                Ok(())
            })
            .unwrap();
        self.steps
            .for_each(|key, step, value| {
                let entry = (key.to_native(), step.to_string());
                content.steps.insert(entry, value.to_native());
                Ok(())
            })
            .unwrap();
        self.slots
            .for_each(|key, slot, value| {
                let entry = (key.to_native(), slot.to_native());
                content.slots.insert(entry, value.to_native());
                Ok(())
            })
            .unwrap();
    }
}

fn reading(key: u64, epoch: u64) -> Reading {
    let number = key + epoch;
    Reading {
        sensor: (key as u16, char::from(b'a' + (key % 26) as u8)),
        label: "long enough to lie outside the string ".repeat((number % 3) as usize),
        values: (0..number % 4)
            .map(|index| (index != 1).then_some(number as f64 / 8.0))
            .collect(),
        quality: match number % 3 {
            0 => Quality::Good,
            1 => Quality::Doubtful {
                reason: format!("epoch {epoch}"),
            },
            _ => Quality::Bad(key as u8, epoch.is_multiple_of(2)),
        },
    }
}

/// Takes checkpoint after checkpoint until the last one has bases and deltas of every state, and deletes what that one
/// does not need. Gives what the states hold then.
fn write_checkpoint(folder: &Folder) -> Content {
    let mut content = Content::default();
    let mut subtasks: Vec<(States, SnapshotWriter)> = (0..PARALLELISM)
        .map(|index| {
            let own = KeyGroupRange::of_subtask(index, PARALLELISM, MAX_PARALLELISM);
            let states = States::open(&folder.segments(index), own, Vec::new());
            (states, folder.writer(index, own))
        })
        .collect();
    let mut last = None;
    for epoch in 1.. {
        let mut snapshots = Vec::new();
        for (states, writer) in &mut subtasks {
            let operators = [states.next_epoch(epoch, &mut content)];
            let written = block_on(writer.write(CheckpointId(epoch), &operators));
            snapshots.push(written.unwrap());
        }
        if last.is_none() && subtasks.iter().all(|(states, _)| states.have_bases()) {
            last = Some(epoch + EPOCHS_AFTER_BASE);
        }
        if last == Some(epoch) {
            commit(folder, epoch, snapshots);
            break;
        }
    }
    content
}

fn commit(folder: &Folder, checkpoint: u64, snapshots: Vec<SubtaskSnapshot>) {
    let manifest = manifest(checkpoint, snapshots);
    block_on(folder.store.commit(&manifest)).unwrap();
    let needed = manifest.objects();
    for file in fs::read_dir(folder.job().join("shared")).unwrap() {
        let file = file.unwrap().path();
        if !needed.iter().any(|object| file.ends_with(object.as_str())) {
            fs::remove_file(file).unwrap();
        }
    }
}

fn manifest(checkpoint: u64, snapshots: Vec<SubtaskSnapshot>) -> Manifest {
    let uploaded_bytes = snapshots.iter().map(|snapshot| snapshot.uploaded_bytes);
    Manifest {
        format_version: FORMAT_VERSION,
        floodmark_version: "0.1.0".to_owned(),
        state_encoding: STATE_ENCODING.to_owned(),
        job: "job".to_owned(),
        checkpoint: CheckpointId(checkpoint),
        kind: SnapshotKind::Checkpoint,
        triggered_unix_millis: 1_700_000_000_000,
        completed_unix_millis: 1_700_000_000_012,
        max_parallelism: MAX_PARALLELISM,
        finished: false,
        uploaded_bytes: uploaded_bytes.sum(),
        graph: Vec::new(),
        operators: collect_operators(
            snapshots
                .into_iter()
                .flat_map(|snapshot| snapshot.operators),
        ),
    }
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint-1")
}

/// The files of a job's folder by their paths in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for inner in fs::read_dir(folder).unwrap() {
        let inner = inner.unwrap().path();
        for file in fs::read_dir(&inner).unwrap() {
            let file = file.unwrap().path();
            let name = file.strip_prefix(folder).unwrap().to_path_buf();
            files.insert(name, fs::read(&file).unwrap());
        }
    }
    files
}

fn write_files(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
#[ignore = "makes the fixture anew, which a test must not do"]
fn make_the_format_fixture() {
    let folder = Folder::new();
    write_checkpoint(&folder);
    if kept().exists() {
        fs::remove_dir_all(kept()).unwrap();
    }
    write_files(&kept(), &files(&folder.job()));
}

#[test]
fn a_checkpoint_of_format_version_1_is_written_byte_for_byte() {
    let folder = Folder::new();
    write_checkpoint(&folder);
    let (written, kept) = (files(&folder.job()), files(&kept()));
    assert!(written.keys().eq(kept.keys()), "{:?}", written.keys());
    for (name, bytes) in &written {
        assert!(*bytes == kept[name], "{} differs", name.display());
    }
}

#[test]
fn a_checkpoint_of_format_version_1_is_restored_record_by_record() {
    let expected = write_checkpoint(&Folder::new());
    assert!(expected.totals.len() > 10 && expected.readings.len() > 10);
    assert!(expected.steps.len() > 10 && expected.slots.len() > 10);
    let folder = Folder::new();
    write_files(&folder.job(), &files(&kept()));
    let recovery = block_on(folder.store.load_newest_valid()).unwrap();
    let loaded = recovery.checkpoint.unwrap();
    for entry in &loaded.manifest().operators[&OperatorId::new(OPERATOR)].subtasks {
        for part in entry.keyed.iter().flat_map(|state| &state.parts) {
            assert!(part.base.is_some() && part.deltas.len() > 2, "{part:?}");
        }
    }
    for parallelism in [1, 2, 5] {
        let mut content = Content::default();
        for index in 0..parallelism {
            let operator = OperatorId::new(OPERATOR);
            let plan = loaded.restore_plan(&operator, index, parallelism, MAX_PARALLELISM);
            let own = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
            let states = plan.unwrap().unwrap().states;
            States::open(&folder.segments(index), own, states).collect(&mut content);
        }
        assert_eq!(content, expected, "parallelism {parallelism}");
    }
}
