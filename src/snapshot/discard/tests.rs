//! All checkpoints of a job are deleted, and the process is killed, or loses its power, before each of the steps.

use fastrand::Rng;

use super::*;
use crate::model::{KeyGroupRange, SubtaskId};
use crate::snapshot::SnapshotWriter;
use crate::snapshot::test_support::{
    MAX_PARALLELISM, block_on, manifest_of, sealed_operator, sealed_state,
};
use crate::storage::SimulatedDisk;

/// Checkpoints 1 and 3 are complete, of 2 and 4 there are folders and objects only.
async fn fill(disk: &SimulatedDisk) {
    let store = CheckpointStore::on(disk);
    store.prepare().await.unwrap();
    let range = KeyGroupRange::of_subtask(0, 1, MAX_PARALLELISM);
    let subtask = SubtaskId::new("sum".into(), 0);
    let mut writer = SnapshotWriter::new(store.clone(), subtask, range, 7);
    for number in 1..=4 {
        let id = CheckpointId(number);
        store.begin(id).await.unwrap();
        let state = sealed_state("total", number, "delta", None);
        let sealed = sealed_operator("sum", vec![state]);
        let snapshot = writer.write(id, &[sealed]).await.unwrap();
        if number % 2 == 1 {
            let manifest = manifest_of(number, vec![snapshot]);
            store.commit(&manifest).await.unwrap();
        }
    }
}

#[test]
fn nothing_is_left_but_the_trace_of_the_ids() {
    let disk = SimulatedDisk::default();
    block_on(fill(&disk));
    let store = CheckpointStore::on(&disk);
    let discarded = block_on(store.discard_all()).unwrap();
    assert_eq!(discarded, [1, 3].map(CheckpointId));
    assert_eq!(disk.paths(), ["job/", "job/chk-4/", "job/shared/"]);
    let recovery = block_on(store.load_newest_valid()).unwrap();
    assert!(recovery.checkpoint.is_none());
    assert_eq!(recovery.next_id(), CheckpointId(5));
    assert_eq!(block_on(store.discard_all()).unwrap(), []);
}

/// To go on from an older checkpoint would commit once more what was committed after it.
#[test]
fn whenever_it_is_cut_short_the_job_goes_on_from_its_newest_checkpoint_or_from_none() {
    let mut found = [0, 0];
    for step in 0.. {
        let disk = SimulatedDisk::default();
        block_on(fill(&disk));
        disk.stop_before(disk.steps() + step);
        let is_done = block_on(CheckpointStore::on(&disk).discard_all()).is_ok();
        let after_power_cuts = (0..20).map(|seed| {
            let mut random = Rng::with_seed(seed);
            (
                format!("power cut, seed {seed}"),
                disk.after_power_cut(&mut random),
            )
        });
        let after = after_power_cuts.chain([("kill".to_owned(), disk.after_kill())]);
        for (end, disk) in after {
            let recovery = block_on(CheckpointStore::on(&disk).load_newest_valid());
            let recovery = recovery.unwrap_or_else(|error| panic!("step {step}, {end}: {error}"));
            let checkpoint = recovery
                .checkpoint
                .map(|loaded| loaded.manifest().checkpoint);
            assert!(
                [None, Some(CheckpointId(3))].contains(&checkpoint),
                "step {step}, {end}: {checkpoint:?}"
            );
            found[usize::from(checkpoint.is_some())] += 1;
            if end == "kill" {
                assert_eq!(recovery.highest_id, Some(CheckpointId(4)), "step {step}");
            }
        }
        if is_done {
            break;
        }
    }
    assert!(found.iter().all(|times| *times > 20), "{found:?}");
}
