//! Processes that take a job in a bucket from one another, over a network that loses answers and delivers requests late,
//! while they go on, stand still or are killed at any step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::yield_now;

use super::test_support::{block_on, manifest_of};
use super::{CheckpointStore, manifest_file};
use crate::error::{ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::{Claimant, SimulatedBucket, StorageError};

/// How many worlds are tried.
const SEEDS: u64 = 200;
const PROCESSES: usize = 4;
/// How many checkpoints a process takes, if nothing keeps it from that.
const CHECKPOINTS: u64 = 4;
/// One in so many requests goes wrong.
const TROUBLE: u32 = 6;

/// What the processes of one world did.
#[derive(Default)]
struct World {
    /// What was committed outside, in its order: the generation, and the checkpoint on account of which it was.
    outside: Vec<(u64, CheckpointId)>,
    /// Of each start that has recovered, in their order, the generation and the checkpoint that it went on from.
    recovered: Vec<(u64, CheckpointId)>,
    /// Which generation has begun a checkpoint of this id, and after how many starts that had recovered.
    begun: BTreeMap<CheckpointId, (u64, usize)>,
    /// How many processes were told that they had lost the job.
    lost: usize,
    /// How often the store did not answer.
    failed: usize,
}

type SharedWorld = Arc<Mutex<World>>;

/// One process: claims the job, and starts it again and again until it is told that the job is not its own.
async fn live(bucket: SimulatedBucket, world: SharedWorld, process: u32) -> Result<()> {
    let claimant = Claimant {
        process,
        now_unix_millis: 0,
        takes_over: true,
    };
    let store = CheckpointStore::over(bucket.store(), "job")?;
    let store = store.claim_in_bucket_unlocked(&claimant).await?;
    let generation = store.generation();
    let mut committed = 0;
    while committed < CHECKPOINTS {
        match attempt(&store, &world, generation, &mut committed).await {
            // The job fails, and is started again.
            Err(error) if error.kind() == ErrorKind::Environment => {
                world.lock().unwrap().failed += 1;
            }
            Err(lost) => return Err(lost),
            Ok(()) => {}
        }
    }
    store.give_up().await
}

/// One attempt at the job: recovers, and takes checkpoints.
async fn attempt(
    store: &CheckpointStore,
    world: &SharedWorld,
    generation: u64,
    committed: &mut u64,
) -> Result<()> {
    store.prepare().await?;
    let recovery = store.load_newest_valid().await?;
    let found = recovery.checkpoint.as_ref();
    let found = found.map_or(CheckpointId(0), |found| found.manifest().checkpoint);
    // Here sinks take back what came after the checkpoint, so it must be the process's own.
    store.ensure_owner().await?;
    let starts = {
        let mut world = world.lock().unwrap();
        world.recovered.push((generation, found));
        world.recovered.len()
    };
    let mut id = recovery.next_id();
    while *committed < CHECKPOINTS {
        store.begin(id).await?;
        let before = world.lock().unwrap().begun.insert(id, (generation, starts));
        assert_eq!(before, None, "checkpoint {id} was begun twice");
        let mut manifest = manifest_of(id.0, Vec::new());
        manifest.uploaded_bytes = generation;
        store.commit(&manifest).await?;
        store.ensure_owner().await?;
        world.lock().unwrap().outside.push((generation, id));
        *committed += 1;
        id = id.next();
    }
    Ok(())
}

/// Lets the processes of one world take turns, step by step, as chance has it, until all have ended.
async fn run(bucket: &SimulatedBucket, world: &SharedWorld, rng: &mut Rng) {
    let mut processes: Vec<Option<BoxFuture<'static, Result<()>>>> = Vec::new();
    let mut turn = 0;
    while processes.len() < PROCESSES || processes.iter().any(Option::is_some) {
        // Retries wait for a timer, even if only for a moment.
        yield_now().await;
        if processes.is_empty() || (processes.len() < PROCESSES && rng.u8(0..60) == 0) {
            turn = processes.len();
            let process = live(bucket.clone(), Arc::clone(world), turn as u32);
            processes.push(Some(process.boxed()));
        } else if rng.u8(0..5) == 0 {
            // Until the next such change the others stand still.
            turn = rng.usize(0..processes.len());
        }
        let Some(process) = &mut processes[turn] else {
            continue;
        };
        let has_ended = match process.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                let is_lost = error.kind() == ErrorKind::Conflict;
                let message = error.full_message();
                assert!(
                    is_lost || error.kind() == ErrorKind::Environment,
                    "{message}"
                );
                world.lock().unwrap().lost += usize::from(is_lost);
                true
            }
            Poll::Pending => rng.u16(0..1000) == 0,
        };
        if has_ended {
            processes[turn] = None;
        }
    }
}

/// A checkpoint that was committed outside belongs to one line: each start goes on from the newest that was, or from one
/// after it, and nobody commits anything outside that a later start did not see.
fn check(world: &World) -> Result<(), String> {
    let ids: Vec<CheckpointId> = world.outside.iter().map(|(_, id)| *id).collect();
    for (index, (generation, id)) in world.outside.iter().enumerate() {
        let before = &world.outside[..index];
        if before
            .iter()
            .any(|(former, found)| found >= id && former >= generation)
        {
            return Err(format!(
                "checkpoint {id} of {generation} was committed after {ids:?}"
            ));
        }
    }
    // Sinks have taken back what came after a checkpoint that a start went on from, so no later start may come upon one after
    // it that was begun before.
    for (index, (generation, found)) in world.recovered.iter().enumerate() {
        for (later, newer) in &world.recovered[index + 1..] {
            let Some(begun) = world.begun.get(newer) else {
                continue;
            };
            if later >= generation && newer > found && *begun < (*generation, index + 1) {
                return Err(format!(
                    "generation {generation} took back what came after checkpoint {found}, and {later} found {newer} all the \
                     same"
                ));
            }
        }
    }
    for (generation, found) in &world.recovered {
        for (former, id) in &world.outside {
            if former < generation && id > found {
                return Err(format!(
                    "generation {generation} went on from checkpoint {found}, and {former} has committed {id}"
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn nobody_commits_beside_a_process_that_has_taken_the_job_over_in_a_bucket() {
    let (mut lost, mut failed, mut outside) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        let bucket = SimulatedBucket::new(seed, TROUBLE);
        let world = SharedWorld::default();
        block_on(run(&bucket, &world, &mut rng));
        let world = world.lock().unwrap();
        check(&world).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        lost += world.lost;
        failed += world.failed;
        outside += world.outside.len();
        // Whoever comes last, when the network is well again, finds the newest of all.
        bucket.calm();
        let last = SharedWorld::default();
        block_on(live(bucket.clone(), Arc::clone(&last), 99)).unwrap();
        let last = last.lock().unwrap();
        let newest = world.outside.iter().map(|(_, id)| *id).max();
        let (_, found) = last.recovered[0];
        assert!(
            newest <= Some(found),
            "seed {seed}: {newest:?} was lost, {found} found"
        );
        assert_eq!(last.outside.len() as u64, CHECKPOINTS, "seed {seed}");
    }
    let counts = format!("{lost} lost the job, {failed} failed, {outside} committed");
    assert!(lost as u64 > SEEDS / 2, "{counts}");
    assert!(failed as u64 > SEEDS / 20, "{counts}");
    assert!(outside as u64 > SEEDS, "{counts}");
}

/// The request of a process that was frozen is on its way while the job is taken over, and arrives after the new owner has
/// found out what there is.
#[test]
fn a_manifest_that_arrives_after_the_job_was_taken_over_finds_a_tombstone() {
    let bucket = SimulatedBucket::new(0, 0);
    let claimant = |process| Claimant {
        process,
        now_unix_millis: 0,
        takes_over: true,
    };
    block_on(async {
        let store = CheckpointStore::over(bucket.store(), "job").unwrap();
        let first = store.claim_in_bucket_unlocked(&claimant(1)).await.unwrap();
        first.prepare().await.unwrap();
        let (complete, under_way) = (CheckpointId(1), CheckpointId(2));
        first.begin(complete).await.unwrap();
        first.commit(&manifest_of(1, Vec::new())).await.unwrap();
        first.begin(under_way).await.unwrap();

        let second = store.claim_in_bucket_unlocked(&claimant(2)).await.unwrap();
        second.prepare().await.unwrap();
        let arriving = first.paths.manifest(under_way);
        let content = manifest_file::encode(&manifest_of(2, Vec::new())).unwrap();
        let arrived = first.blobs.create(&arriving, content).await;
        assert!(
            matches!(arrived, Err(StorageError::AlreadyExists { .. })),
            "{arrived:?}"
        );
        let recovery = second.load_newest_valid().await.unwrap();
        let newest = recovery.checkpoint.unwrap().manifest().checkpoint;
        assert_eq!(newest, complete);
    });
}

#[test]
fn what_is_superseded_goes_with_its_tombstones_and_whoever_ends_gives_its_ids_back() {
    let bucket = SimulatedBucket::new(0, 0);
    let (first, second) = (SharedWorld::default(), SharedWorld::default());
    block_on(live(bucket.clone(), Arc::clone(&first), 1)).unwrap();
    block_on(live(bucket.clone(), Arc::clone(&second), 2)).unwrap();
    let ids = |world: &SharedWorld| -> Vec<u64> {
        let outside = &world.lock().unwrap().outside;
        outside.iter().map(|(_, id)| id.0).collect()
    };
    assert_eq!(ids(&first), [1, 2, 3, 4]);
    assert_eq!(ids(&second), [5, 6, 7, 8], "the first has ended in order");

    // A process that is killed has reserved ids, which get tombstones.
    block_on(async {
        let claimant = Claimant {
            process: 3,
            now_unix_millis: 0,
            takes_over: true,
        };
        let store = CheckpointStore::over(bucket.store(), "job").unwrap();
        let killed = store.claim_in_bucket_unlocked(&claimant).await.unwrap();
        killed.prepare().await.unwrap();
        killed.begin(CheckpointId(9)).await.unwrap();
        drop(killed);
        let store = store.claim_in_bucket_unlocked(&claimant).await.unwrap();
        store.prepare().await.unwrap();
        let recovery = store.load_newest_valid().await.unwrap();
        assert_eq!(recovery.next_id(), CheckpointId(41));
        let newest = recovery.checkpoint.unwrap().manifest().checkpoint;
        assert_eq!(newest, CheckpointId(8));
        let tombstones = |bucket: &SimulatedBucket| -> BTreeSet<String> {
            let paths = bucket.paths().into_iter();
            let of_checkpoints = paths.filter(|path| path.starts_with("job/chk-"));
            let complete = (1..=8).map(|id| format!("job/chk-{id}/manifest.json"));
            &of_checkpoints.collect::<BTreeSet<_>>() - &complete.collect()
        };
        assert_eq!(tombstones(&bucket).len(), 32);
        store.begin(CheckpointId(41)).await.unwrap();
        let manifest = manifest_of(41, Vec::new());
        store.commit(&manifest).await.unwrap();
        store.sweep_orphans(Some(CheckpointId(41))).await;
        let listed = store.list().await.unwrap();
        let listed: Vec<u64> = listed.iter().map(|listed| listed.checkpoint.0).collect();
        assert_eq!(
            listed,
            [1, 2, 3, 4, 5, 6, 7, 8, 41],
            "no tombstone is listed"
        );
        let left = tombstones(&bucket);
        assert_eq!(
            left.into_iter().collect::<Vec<_>>(),
            ["job/chk-41/manifest.json"]
        );
        assert!(store.heartbeat(Duration::from_secs(1)).is_some());
    });
}
