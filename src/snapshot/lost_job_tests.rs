//! What a process does with the store after another has taken the job from it, at whichever step of its work that was.

use std::path::Path;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::CheckpointStore;
use super::manifest::Manifest;
use super::test_support::{block_on, key_groups, manifest_of, sealed_operator, sealed_state};
use super::writer::{SnapshotWriter, SubtaskSnapshot};
use crate::model::{CheckpointId, SubtaskId};
use crate::storage::{Claimant, Holder, SimulatedDisk, StoreLocation};

const SAVEPOINTS: &str = "/simulated/savepoints";

/// More steps than any of the work takes.
const STEPS_MAX: usize = 80;

async fn claim(store: &CheckpointStore, holder: Holder) -> CheckpointStore {
    let claimant = Claimant {
        process: 1,
        now_unix_millis: 0,
        takes_over: true,
    };
    let claimed = store.claim_unlocked(&claimant, holder).await.unwrap();
    claimed.prepare().await.unwrap();
    claimed
}

/// A subtask's part of a checkpoint, with an object of its own.
async fn write_part(store: &CheckpointStore, checkpoint: u64, nonce: u64) -> SubtaskSnapshot {
    let subtask = SubtaskId::new("sum".into(), 0);
    let mut writer = SnapshotWriter::new(store.clone(), subtask, key_groups(0, 128), nonce);
    let base = sealed_state("sums", checkpoint, "", Some((checkpoint, "base")));
    let sealed = [sealed_operator("sum", vec![base])];
    let id = CheckpointId(checkpoint);
    store.begin(id).await.unwrap();
    writer.write(id, &sealed).await.unwrap()
}

/// Lets a future go on so many times. Gives what came of it, if it is done.
fn go_on<T>(future: &mut BoxFuture<'_, T>, times: usize) -> Option<T> {
    for _ in 0..times {
        if let Poll::Ready(done) = future.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            return Some(done);
        }
    }
    None
}

/// Whether a savepoint was completed, of which `before` steps were done when the job was taken over, and `between` steps of
/// the new owner's sweep when it went on.
async fn completes_savepoint(before: usize, between: usize) -> bool {
    let disk = SimulatedDisk::default();
    disk.make_folder("job");
    let store = CheckpointStore::on(&disk);
    let former = claim(&store, Holder::Gone).await;
    let manifest: Manifest = manifest_of(1, vec![write_part(&former, 1, 0xabc).await]);
    let directory = StoreLocation::of_folder(SAVEPOINTS);
    let mut writing = former.write_savepoint(&manifest, &directory).boxed();
    let mut written = go_on(&mut writing, before);
    let owner = claim(&store, Holder::Alive).await;
    let mut sweeping = owner.sweep_orphans(None).boxed();
    let swept = go_on(&mut sweeping, between);
    if written.is_none() {
        written = Some(writing.await);
    }
    if swept.is_none() {
        sweeping.await;
    }
    match written {
        Some(Ok(written)) => {
            let path = written.folder.to_string();
            let snapshot = owner.open_snapshot(&path, Path::new("/")).await.unwrap();
            snapshot.load().await.unwrap();
            true
        }
        _ => {
            let paths = disk.paths();
            let left: Vec<_> = paths
                .iter()
                .filter(|path| path.contains("savepoint-"))
                .collect();
            assert!(left.is_empty(), "{before} and {between} steps: {left:?}");
            false
        }
    }
}

/// A former owner once completed its savepoint while the new one was deleting that as half written, and said that it was
/// whole; or it left half of one behind that nobody knew of.
#[test]
fn a_savepoint_of_a_former_owner_is_whole_or_gone() {
    let mut completed = 0;
    let between_max = STEPS_MAX / 4;
    block_on(async {
        for before in 0..STEPS_MAX {
            for between in 0..between_max {
                completed += usize::from(completes_savepoint(before, between).await);
            }
        }
    });
    let all = STEPS_MAX * between_max;
    assert!(0 < completed && completed < all, "{completed} of {all}");
}

/// A process that was still sweeping up when the job was taken from it once deleted what the new owner was writing, since
/// no manifest referred to it yet.
#[test]
fn a_former_owner_sweeps_up_nothing_of_the_new_one() {
    for before in 0..STEPS_MAX {
        block_on(async {
            let disk = SimulatedDisk::default();
            disk.make_folder("job");
            let store = CheckpointStore::on(&disk);
            let former = claim(&store, Holder::Gone).await;
            // Something that is to be swept up.
            write_part(&former, 1, 0xabc).await;
            let mut sweeping = former.sweep_orphans(None).boxed();
            let swept = go_on(&mut sweeping, before);
            let owner = claim(&store, Holder::Alive).await;
            let part = write_part(&owner, 2, 0xdef).await;
            if swept.is_none() {
                sweeping.await;
            }
            let manifest = manifest_of(2, vec![part]);
            owner.commit(&manifest).await.unwrap();
            let loaded = owner.load(&manifest).await;
            assert!(loaded.is_ok(), "after {before} steps: {loaded:?}");
        });
    }
}
