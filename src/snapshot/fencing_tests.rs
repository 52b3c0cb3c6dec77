//! Processes that take one job from one another while the others go on, stand still or are killed at any step: whoever has
//! gone on from what it found never sees a former owner's checkpoint appear beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::CheckpointStore;
use super::test_support::{block_on, manifest_of};
use crate::error::{ErrorKind, Result};
use crate::model::CheckpointId;
use crate::storage::{Claim, Claimant, Holder, SimulatedDisk, StoragePaths};

/// How many worlds are tried.
const SEEDS: u64 = 2_000;
const PROCESSES: usize = 4;
/// How many checkpoints a process takes, if nothing keeps it from that.
const CHECKPOINTS: u64 = 4;

/// What the processes of one world did.
#[derive(Default)]
struct World {
    /// Whether a process is claiming the job, as the lock of the claim says it.
    is_claimed: bool,
    /// Of each generation that has recovered, the checkpoints that it found.
    found: BTreeMap<u64, BTreeSet<CheckpointId>>,
    /// Of each generation, how many checkpoints it was told it had committed.
    committed: BTreeMap<u64, u64>,
    /// How many processes were told that they had lost the job.
    lost: usize,
}

type SharedWorld = Arc<Mutex<World>>;

/// One process: takes the job over, recovers, and takes checkpoints until it is told that the job is not its own.
async fn live(disk: SimulatedDisk, world: SharedWorld) -> Result<()> {
    let paths = StoragePaths::new("job")?;
    let claimant = Claimant {
        process: 1,
        now_unix_millis: 0,
        takes_over: true,
    };
    let blobs = disk.store();
    blobs.create_folder(&paths.job_folder()).await?;
    let claim = Claim::begin(&blobs, &paths).await?;
    let record = claim.decide(&claimant, Holder::Alive)?;
    let generation = record.generation;
    let fence = claim.publish(record).await?;
    world.lock().unwrap().is_claimed = false;
    let store = CheckpointStore::on(&disk).fenced(fence);
    store.prepare().await?;
    let recovery = store.load_newest_valid().await?;
    let usable = recovery.found.iter().filter(|found| found.usable);
    let found = usable.map(|found| found.checkpoint).collect();
    world.lock().unwrap().found.insert(generation, found);
    let mut id = recovery.next_id();
    for _ in 0..CHECKPOINTS {
        let mut manifest = manifest_of(id.0, Vec::new());
        manifest.uploaded_bytes = generation;
        store.begin(id).await?;
        store.commit(&manifest).await?;
        *world
            .lock()
            .unwrap()
            .committed
            .entry(generation)
            .or_default() += 1;
        id = id.next();
    }
    Ok(())
}

/// Lets the processes of one world take turns, step by step, as chance has it, until all have ended.
async fn run(disk: &SimulatedDisk, world: &SharedWorld, rng: &mut Rng) {
    let mut processes: Vec<Option<BoxFuture<'static, Result<()>>>> = Vec::new();
    let mut turn = 0;
    while processes.len() < PROCESSES || processes.iter().any(Option::is_some) {
        let may_start = processes.len() < PROCESSES && !world.lock().unwrap().is_claimed;
        if may_start && (processes.is_empty() || rng.u8(0..30) == 0) {
            world.lock().unwrap().is_claimed = true;
            turn = processes.len();
            processes.push(Some(live(disk.clone(), Arc::clone(world)).boxed()));
        } else if rng.u8(0..5) == 0 {
            // Until the next such change the others stand still.
            turn = rng.usize(0..processes.len());
        }
        let claims = turn + 1 == processes.len() && world.lock().unwrap().is_claimed;
        let Some(process) = &mut processes[turn] else {
            continue;
        };
        let has_ended = match process.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::Conflict,
                    "{}",
                    error.full_message()
                );
                world.lock().unwrap().lost += 1;
                true
            }
            // The last one lives, so that there is somebody who must not be hindered.
            Poll::Pending => turn + 1 < PROCESSES && rng.u16(0..500) == 0,
        };
        if has_ended {
            processes[turn] = None;
            if claims {
                world.lock().unwrap().is_claimed = false;
            }
        }
    }
}

#[test]
fn nobody_commits_beside_a_process_that_has_taken_the_job_over() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        let (disk, world) = (SimulatedDisk::default(), SharedWorld::default());
        block_on(run(&disk, &world, &mut rng));
        let world = world.lock().unwrap();
        let store = CheckpointStore::on(&disk);
        let listed = block_on(store.list()).unwrap();
        for listed in listed {
            let (id, Ok(summary)) = (listed.checkpoint, listed.summary) else {
                continue;
            };
            let writer = summary.uploaded_bytes;
            let later = world.found.range(writer + 1..);
            for (generation, found) in later {
                assert!(
                    found.contains(&id),
                    "seed {seed}: generation {writer} committed checkpoint {id} behind the back of {generation}"
                );
            }
        }
        let (_, committed) = world.committed.last_key_value().unwrap();
        assert_eq!(
            *committed, CHECKPOINTS,
            "seed {seed}: the last owner was hindered"
        );
        lost += world.lost;
    }
    assert!(
        lost as u64 > SEEDS / 2,
        "only {lost} processes lost the job"
    );
}
