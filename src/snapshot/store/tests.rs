//! What the store promises beyond a power cut, promise by promise. That nothing else is lost is tested by
//! `crash_tests`.

use fastrand::Rng;

use super::*;
use crate::model::{KeyGroupRange, SubtaskId};
use crate::snapshot::test_support::{
    block_on, manifest_of, sample_manifest, sealed_operator, sealed_state, store_on,
};
use crate::snapshot::{SnapshotWriter, SubtaskSnapshot};
use crate::storage::SimulatedDisk;

/// How many outcomes of a power cut are tried. A part that is not synced is lost in about half of them.
const POWER_CUTS: u64 = 50;

/// Checks something of the store after power cuts of every outcome.
fn after_power_cuts(disk: &SimulatedDisk, check: impl AsyncFn(CheckpointStore, String)) {
    for seed in 0..POWER_CUTS {
        let disk = disk.after_power_cut(&mut Rng::with_seed(seed));
        let message = format!("seed {seed}: {:?}", disk.paths());
        block_on(check(store_on(&disk), message));
    }
}

/// A checkpoint of one subtask with one delta.
async fn take(store: &CheckpointStore, number: u64) -> SubtaskSnapshot {
    let subtask = SubtaskId::new("sum".into(), 0);
    let key_groups = KeyGroupRange::of_subtask(0, 1, sample_manifest().max_parallelism);
    let mut writer = SnapshotWriter::new(store.clone(), subtask, key_groups, number);
    let sealed = sealed_operator("sum", vec![sealed_state("total", 1, "delta", None)]);
    store.begin(CheckpointId(number)).await.unwrap();
    writer.write(CheckpointId(number), &[sealed]).await.unwrap()
}

async fn commit(store: &CheckpointStore, number: u64) {
    let snapshot = take(store, number).await;
    store
        .commit(&manifest_of(number, vec![snapshot]))
        .await
        .unwrap();
}

/// The lock of a job lies in the job's folder, and taking it made that folder without a sync. Then the whole job was
/// gone after a power cut, however many checkpoints were complete.
#[test]
fn a_job_folder_that_somebody_else_made_is_there_after_a_power_cut() {
    let disk = SimulatedDisk::default();
    disk.make_folder("job");
    let store = store_on(&disk);
    block_on(async {
        store.prepare().await.unwrap();
        commit(&store, 1).await;
    });
    after_power_cuts(&disk, async |store, message| {
        let recovery = store.load_newest_valid().await.unwrap();
        assert!(recovery.checkpoint.is_some(), "{message}");
    });
}

/// A manifest had its name before its content was synced. A process that was killed in between left half a manifest,
/// and when it was that of the first checkpoint, the job refused to start: all its checkpoints were damaged.
#[test]
fn no_step_of_a_commit_leaves_half_a_manifest() {
    let mut is_committed = false;
    let mut steps = 0;
    while !is_committed {
        let disk = SimulatedDisk::default();
        let store = store_on(&disk);
        block_on(async {
            store.prepare().await.unwrap();
            let snapshot = take(&store, 1).await;
            disk.stop_before(disk.steps() + steps);
            let committed = store.commit(&manifest_of(1, vec![snapshot])).await;
            is_committed = committed.is_ok();
        });
        after_power_cuts(&disk, async |store, message| {
            let recovery = store.load_newest_valid().await.unwrap();
            assert_eq!(recovery.damaged, [], "{steps} steps, {message}");
        });
        steps += 1;
    }
    assert!(steps > 5, "a commit has only {steps} steps");
}
