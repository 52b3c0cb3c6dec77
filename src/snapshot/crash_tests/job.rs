//! A made-up job: it does with the store what the runtime does, in the same order.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Poll;

use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join, join_all, ready};

use crate::error::Result;
use crate::model::{CheckpointId, KeyGroupRange, SubtaskId};
use crate::snapshot::test_support::{MAX_PARALLELISM, manifest_of};
use crate::snapshot::{CheckpointStore, Recovery, Removal, Retention, SnapshotWriter};
use crate::storage::{BlobStore, ObjectName, SimulatedDisk, StoragePaths};

use super::ledger::{Ledger, Numbers};
use super::subtask::{TestSubtask, decode};

/// A job that is running.
pub(super) struct TestJob {
    store: CheckpointStore,
    retention: Retention,
    next: CheckpointId,
    subtasks: Vec<TestSubtask>,
    /// The cleaning that is not done yet.
    cleaning: Option<BoxFuture<'static, Removal>>,
}

impl TestJob {
    /// Starts the job at this parallelism from what the store holds, and checks that.
    pub(super) async fn start(
        disk: &SimulatedDisk,
        blobs: BlobStore,
        parallelism: usize,
        retained_max: usize,
        ledger: &mut Ledger,
    ) -> Result<Self> {
        // The lock lies in the job's folder and makes it, without syncing anything.
        disk.make_folder("job");
        let paths = StoragePaths::new("job")?;
        let store = CheckpointStore {
            blobs,
            paths,
            fence: None,
        };
        store.prepare().await?;
        let recovery = store.load_newest_valid().await?;
        ledger.check_recovery(&recovery);
        let loaded = recovery.checkpoint.as_ref();
        let newest_valid = loaded.map(|loaded| loaded.manifest().checkpoint);
        store.sweep_orphans(newest_valid).await;
        ledger.starts += 1;
        let subtasks = (0..parallelism)
            .map(|index| restore(&store, &recovery, index, parallelism, ledger.starts))
            .collect::<Result<_>>()?;
        Ok(Self {
            next: recovery.next_id(),
            retention: Retention::new(retained_max, recovery.found),
            store,
            subtasks,
            cleaning: None,
        })
    }

    /// Changes some of what the job holds.
    pub(super) fn work(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        for subtask in &mut self.subtasks {
            subtask.work(rng, &mut ledger.last_number);
        }
    }

    /// Lets bases be stored beside the checkpoints.
    pub(super) async fn stream_bases(&mut self, rng: &mut Rng) {
        for subtask in &mut self.subtasks {
            subtask.stream(rng).await;
        }
    }

    /// Takes a checkpoint, while the cleaning after those before goes on.
    pub(super) async fn checkpoint(&mut self, rng: &mut Rng, ledger: &mut Ledger) -> Result<()> {
        let taken = self.try_checkpoint(rng, ledger).await;
        if taken.is_err() {
            self.retention.aborted(self.next);
        }
        self.next = self.next.next();
        taken
    }

    /// Begins a checkpoint that some subtasks acknowledge and others do not, and gives it up.
    pub(super) async fn give_up_a_checkpoint(
        &mut self,
        rng: &mut Rng,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let id = self.next;
        self.next = id.next();
        let begun = self.store.begin(id).await;
        if begun.is_ok() {
            ledger.begun(id);
        }
        let mut outcome = begun;
        for (index, subtask) in self.subtasks.iter_mut().enumerate() {
            let sealed = subtask.seal(rng);
            if rng.bool() {
                subtask.writer.hold(&sealed)?;
                continue;
            }
            match subtask.writer.write(id, &[sealed]).await {
                Ok(snapshot) => {
                    self.retention
                        .acknowledged(id, subtask_id(index), snapshot.objects())
                }
                Err(error) => outcome = Err(error),
            }
        }
        self.retention.aborted(id);
        outcome
    }

    /// Waits until everything is deleted that is to be; what could not be is tried again with the next.
    pub(super) async fn finish_cleaning(&mut self) {
        if let Some(cleaning) = self.cleaning.take() {
            let left = cleaning.await;
            self.cleaning = Some(ready(left).boxed());
        }
    }

    /// Every checkpoint that counts as retained can be restored, byte for byte.
    pub(super) async fn check_retained(&self, ledger: &Ledger) {
        for checkpoint in self.retention.retained() {
            let story = format!("checkpoint {checkpoint}: {}", ledger.story);
            let manifest = self.store.manifest(checkpoint).await.expect(&story);
            let loaded = self.store.load(&manifest).await.expect(&story);
            ledger.check_content(&loaded);
        }
    }

    /// There is nothing in the store but the retained checkpoints. Nothing may be running.
    pub(super) async fn check_nothing_is_left_behind(&self, disk: &SimulatedDisk, ledger: &Ledger) {
        let mut expected = BTreeSet::from(["job/".to_owned(), "job/shared/".to_owned()]);
        for checkpoint in self.retention.retained() {
            let manifest = self.store.manifest(checkpoint).await.expect(&ledger.story);
            expected.insert(format!("job/chk-{checkpoint}/"));
            expected.insert(format!("job/chk-{checkpoint}/manifest.json"));
            let objects = manifest.objects();
            expected.extend(
                objects
                    .iter()
                    .map(|object: &ObjectName| format!("job/{object}")),
            );
        }
        let found: BTreeSet<String> = disk.paths().into_iter().collect();
        assert_eq!(found, expected, "{}", ledger.story);
    }

    fn numbers(&self) -> Numbers {
        let all = self.subtasks.iter().flat_map(|subtask| &subtask.numbers);
        all.map(|(key, number)| (*key, *number)).collect()
    }

    async fn try_checkpoint(&mut self, rng: &mut Rng, ledger: &mut Ledger) -> Result<()> {
        let (id, numbers) = (self.next, self.numbers());
        let store = self.store.clone();
        let sealed: Vec<_> = self
            .subtasks
            .iter_mut()
            .map(|subtask| [subtask.seal(rng)])
            .collect();
        let writes = self.subtasks.iter_mut().zip(&sealed);
        let writes = join_all(writes.map(|(subtask, sealed)| subtask.writer.write(id, sealed)));
        let work = join(store.begin(id), writes);
        let (begun, written) = beside(&mut self.cleaning, rng, work).await;
        if begun.is_ok() {
            ledger.begun(id);
        }
        for (index, snapshot) in written.iter().enumerate() {
            if let Ok(snapshot) = snapshot {
                let objects = snapshot.objects();
                self.retention.acknowledged(id, subtask_id(index), objects);
            }
        }
        let snapshots = written.into_iter().collect::<Result<Vec<_>>>()?;
        begun?;
        let manifest = manifest_of(id.0, snapshots);
        ledger.committing(id, numbers);
        beside(&mut self.cleaning, rng, store.commit(&manifest)).await?;
        ledger.completed(id);
        let removal = self.retention.completed(id, manifest.objects());
        if removal.is_empty() {
            return Ok(());
        }
        let before = self.cleaning.take();
        let cleaning = async move {
            let left = match before {
                Some(before) => before.await,
                None => Removal::default(),
            };
            store.remove(left.followed_by(removal)).await
        };
        self.cleaning = Some(cleaning.boxed());
        Ok(())
    }
}

fn restore(
    store: &CheckpointStore,
    recovery: &Recovery,
    index: usize,
    parallelism: usize,
    nonce: u64,
) -> Result<TestSubtask> {
    let key_groups = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
    let mut writer = SnapshotWriter::new(store.clone(), subtask_id(index), key_groups, nonce);
    let mut numbers = Numbers::new();
    let operator = "sum".into();
    if let Some(loaded) = &recovery.checkpoint {
        let plan = loaded.restore_plan(&operator, index, parallelism, MAX_PARALLELISM, false)?;
        if let Some(plan) = plan {
            writer.inherit(&operator, &plan.inherited);
            numbers = decode(&plan.states);
        }
    }
    Ok(TestSubtask::new(writer, key_groups, numbers))
}

fn subtask_id(index: usize) -> SubtaskId {
    SubtaskId::new("sum".into(), index)
}

/// Does the work, with the background getting further now and then: who has the next step is drawn.
async fn beside<T>(
    background: &mut Option<BoxFuture<'static, Removal>>,
    rng: &mut Rng,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut is_running = background.is_some();
    poll_fn(|context| {
        if let Some(running) = background
            && is_running
            && rng.bool()
        {
            if let Poll::Ready(done) = running.poll_unpin(context) {
                *background = Some(ready(done).boxed());
                is_running = false;
            }
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        work.as_mut().poll(context)
    })
    .await
}
