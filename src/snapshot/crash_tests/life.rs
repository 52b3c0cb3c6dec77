//! A random life of a job, and what must hold after its end.

use fastrand::Rng;

use crate::error::Result;
use crate::storage::SimulatedDisk;

use super::job::TestJob;
use super::ledger::Ledger;

/// How often the job is started in one life.
const RUNS: usize = 3;
/// How many subtasks it has at most.
const PARALLELISM_MAX: usize = 2;

/// After more failures a job is not started again.
const FAILURES_MAX: usize = 20;

/// What makes one life differ from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) seed: u64,
    pub(super) retained_max: usize,
    /// Whether the store tries again what failed. Then the job cleans before it goes on: a retry waits for a clock, and
    /// what others do meanwhile would not be the same each time.
    pub(super) is_stubborn: bool,
}

impl Life {
    /// Lives on this disk until the end, or until the disk stops. Starts and checkpoints that fail are counted.
    pub(super) async fn run(self, disk: &SimulatedDisk, ledger: &mut Ledger) -> Result<()> {
        let mut rng = Rng::with_seed(self.seed);
        for _ in 0..RUNS {
            let mut job = loop {
                let started = self.start(disk, &mut rng, ledger).await;
                if started.is_ok() || disk.has_stopped() || ledger.failures > FAILURES_MAX {
                    break started?;
                }
                ledger.failures += 1;
            };
            for _ in 0..rng.usize(1..=4) {
                job.work(&mut rng, ledger);
                job.stream_bases(&mut rng).await;
                let taken = match rng.u8(0..5) {
                    0 => job.give_up_a_checkpoint(&mut rng, ledger).await,
                    _ => job.checkpoint(&mut rng, ledger).await,
                };
                if disk.has_stopped() {
                    return taken;
                }
                ledger.failures += usize::from(taken.is_err());
                if self.is_stubborn {
                    job.finish_cleaning().await;
                }
            }
            // Otherwise it is killed while it cleans.
            if rng.bool() {
                job.finish_cleaning().await;
            }
        }
        Ok(())
    }

    /// The job goes on from this disk as if nothing had happened: it finds its newest checkpoint, takes further ones,
    /// and in the end nothing is left of what came before.
    pub(super) async fn check_recovery(
        self,
        disk: &SimulatedDisk,
        rng: &mut Rng,
        mut ledger: Ledger,
    ) {
        let started = self.start(disk, rng, &mut ledger).await;
        let mut job = started.expect(&ledger.story);
        job.check_retained(&ledger).await;
        for _ in 0..=self.retained_max {
            job.work(rng, &mut ledger);
            let taken = job.checkpoint(rng, &mut ledger).await;
            taken.expect(&ledger.story);
        }
        job.finish_cleaning().await;
        job.check_retained(&ledger).await;
        job.check_nothing_is_left_behind(disk, &ledger).await;
    }

    async fn start(
        self,
        disk: &SimulatedDisk,
        rng: &mut Rng,
        ledger: &mut Ledger,
    ) -> Result<TestJob> {
        let blobs = match self.is_stubborn {
            true => disk.stubborn_store(),
            false => disk.store(),
        };
        let parallelism = rng.usize(1..=PARALLELISM_MAX);
        TestJob::start(disk, blobs, parallelism, self.retained_max, ledger).await
    }
}
