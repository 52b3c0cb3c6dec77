//! Stores in folders, and the files in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use floodmark::model::{KeyGroupRange, SubtaskId};
use floodmark::snapshot::{CheckpointStore, SnapshotWriter};
use floodmark::storage::StoreLocation;

use crate::OPERATOR;

/// A store in a folder of its own.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    pub(crate) store: CheckpointStore,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::parse("store", folder.path()).unwrap();
        let store = CheckpointStore::open(&location, "job").unwrap();
        block_on(store.prepare()).unwrap();
        Self { folder, store }
    }

    /// The folder of the job.
    pub(crate) fn job(&self) -> PathBuf {
        self.folder.path().join("store/job")
    }

    /// The folder of a subtask's working segments.
    pub(crate) fn segments(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("state-{index}"))
    }

    /// A writer that always gives its objects the same names.
    pub(crate) fn writer(&self, index: usize, own: KeyGroupRange) -> SnapshotWriter {
        let subtask = SubtaskId::new(OPERATOR.into(), index);
        SnapshotWriter::new(self.store.clone(), subtask, own, 0xabc)
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint-1")
}

/// The files of a job's folder by their paths in it.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

pub(crate) fn write_files(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
