//! The format of whole checkpoints: one that is kept in the repository must be read for ever, and be written again byte
//! for byte.
//!
//! It lies in `tests/data/checkpoint-1`. After a change of the format that is meant, this makes it anew:
//! `cargo test --test format -- --ignored`

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;
mod kinds;
mod rows;
mod states;
mod writes;

use std::fs;

use floodmark::model::{CheckpointId, KeyGroupRange, OperatorId};
use floodmark::snapshot::{
    FORMAT_VERSION, LoadedCheckpoint, Manifest, STATE_ENCODING, SnapshotKind, SnapshotWriter,
    SubtaskSnapshot, collect_operators,
};

use folder::{Folder, block_on, files, kept, write_files};
use states::{Content, States};

const MAX_PARALLELISM: u16 = 128;

/// How many subtasks wrote the checkpoint.
const PARALLELISM: usize = 2;

const OPERATOR: &str = "sum";

/// How many epochs follow the first one in which all states have a base.
const EPOCHS_AFTER_BASE: u64 = 3;

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
        started_from: None,
        graph: Vec::new(),
        operators: collect_operators(
            snapshots
                .into_iter()
                .flat_map(|snapshot| snapshot.operators),
        ),
    }
}

/// The states of all subtasks, as they are restored at a parallelism.
fn restore(loaded: &LoadedCheckpoint, folder: &Folder, parallelism: usize) -> Vec<States> {
    let restored = (0..parallelism).map(|index| {
        let operator = OperatorId::new(OPERATOR);
        let plan = loaded.restore_plan(&operator, index, parallelism, MAX_PARALLELISM, false);
        let own = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
        let states = plan.unwrap().unwrap().states;
        States::open(&folder.segments(index), own, states)
    });
    restored.collect()
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
    assert!(
        expected.prices.len() > 10 && expected.waiting.len() > 5 && expected.sessions.len() > 3
    );
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
        for states in restore(&loaded, &folder, parallelism) {
            states.collect(&mut content);
        }
        assert_eq!(content, expected, "parallelism {parallelism}");
    }
}
