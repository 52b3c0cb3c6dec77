//! What the store promises beyond a power cut, promise by promise. That nothing else is lost is tested by
//! `crash_tests`.

use fastrand::Rng;

use super::*;
use crate::model::{KeyGroupRange, SubtaskId};
use crate::snapshot::test_support::{
    block_on, manifest_of, sample_manifest, sealed_operator, sealed_state,
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
        block_on(check(CheckpointStore::on(&disk), message));
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
    let store = CheckpointStore::on(&disk);
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
        let store = CheckpointStore::on(&disk);
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

/// No manifest that is there refers to an object that is not.
async fn check_manifests(store: &CheckpointStore, message: &str) {
    for listed in store.list().await.unwrap() {
        let damage = listed.summary.err();
        let is_sound = matches!(damage, None | Some(Damage::Incomplete));
        assert!(is_sound, "{damage:?}: {message}");
    }
}

/// Checkpoint 1 is superseded by 2, which needs nothing of it.
async fn two_checkpoints(disk: &SimulatedDisk) -> Removal {
    let store = CheckpointStore::on(disk);
    store.prepare().await.unwrap();
    commit(&store, 1).await;
    commit(&store, 2).await;
    let first = store.manifest(CheckpointId(1)).await.unwrap();
    Removal {
        checkpoints: vec![CheckpointId(1)],
        objects: first.objects().into_iter().collect(),
    }
}

/// Nothing was synced between a manifest's removal and that of its objects. A power cut brought the manifest back, and
/// not its objects.
#[test]
fn a_removed_manifest_never_comes_back_without_its_objects() {
    let steps_of = |stop_after: Option<usize>| {
        let disk = SimulatedDisk::default();
        let before = block_on(async {
            let removal = two_checkpoints(&disk).await;
            let before = disk.steps();
            if let Some(steps) = stop_after {
                disk.stop_before(before + steps);
            }
            CheckpointStore::on(&disk).remove(removal).await;
            before
        });
        after_power_cuts(&disk, async |store, message| {
            check_manifests(&store, &message).await;
        });
        disk.steps() - before
    };
    let steps = steps_of(None);
    assert!(steps >= 3, "a removal has only {steps} steps");
    for stop_after in 0..steps {
        steps_of(Some(stop_after));
    }
}

/// The same, when the process that removed the manifest was killed, and the next one sweeps up the objects.
#[test]
fn a_manifest_that_was_removed_before_a_kill_never_comes_back_without_its_objects() {
    let disk = SimulatedDisk::default();
    let disk = block_on(async {
        let removal = two_checkpoints(&disk).await;
        disk.stop_before(disk.steps() + 2);
        CheckpointStore::on(&disk).remove(removal).await;
        let disk = disk.after_kill();
        let sweep = CheckpointStore::on(&disk)
            .sweep_orphans(Some(CheckpointId(2)))
            .await;
        assert_eq!(sweep.objects, 1);
        disk
    });
    after_power_cuts(&disk, async |store, message| {
        check_manifests(&store, &message).await;
    });
}

/// A process that was killed in a commit may not have synced the name of the manifest. The next one went on from that
/// checkpoint, made visible what it covers, and a power cut took the checkpoint away.
#[test]
fn a_checkpoint_that_a_job_went_on_from_is_there_after_a_power_cut() {
    let disk = SimulatedDisk::default();
    let disk = block_on(async {
        let store = CheckpointStore::on(&disk);
        store.prepare().await.unwrap();
        let manifest = manifest_of(1, vec![take(&store, 1).await]);
        let path = store.paths.manifest(CheckpointId(1));
        // Each commit is killed one step later, until the manifest has its name.
        for steps in 0.. {
            let disk = disk.after_kill();
            disk.stop_before(steps);
            let committed = CheckpointStore::on(&disk).commit(&manifest).await;
            assert!(committed.is_err(), "no step lies between name and sync");
            let disk = disk.after_kill();
            let store = CheckpointStore::on(&disk);
            if store.blobs.length(&path).await.is_ok() {
                let recovery = store.load_newest_valid().await.unwrap();
                assert!(recovery.checkpoint.is_some());
                return disk;
            }
        }
        unreachable!("a commit has an end")
    });
    after_power_cuts(&disk, async |store, message| {
        let recovery = store.load_newest_valid().await.unwrap();
        assert!(recovery.checkpoint.is_some(), "{message}");
    });
}
