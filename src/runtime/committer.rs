//! The coordinator's hand in the store: begins checkpoints, writes manifests, cleans up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot::error::TryRecvError;
use tracing::warn;

use crate::coordinator::FailureReason;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, OperatorId, SharedClock, SubtaskId};
use crate::snapshot::{
    CheckpointStore, FORMAT_VERSION, GraphOperator, Manifest, Removal, Retention, STATE_ENCODING,
    SnapshotKind, StartedFrom, SubtaskEntry, WrittenSavepoint, collect_operators,
};
use crate::storage::{ObjectName, StoreLocation};

use super::background::SubtaskAck;
use super::executor::{Begun, SharedExecutor, begin};
use super::panic::catch_panic_of;

/// What all manifests of a run have in common.
pub(super) struct JobIdentity {
    pub(super) job: String,
    pub(super) max_parallelism: u16,
    pub(super) graph: Vec<GraphOperator>,
    /// The operators of each chain, by the chain's id.
    pub(super) chains: BTreeMap<OperatorId, Vec<OperatorId>>,
    pub(super) started_from: Option<StartedFrom>,
}

/// Writes checkpoints of one job. All that blocks runs in the background.
pub(super) struct Committer {
    pub(super) store: CheckpointStore,
    pub(super) retention: Retention,
    pub(super) identity: JobIdentity,
    pub(super) executor: SharedExecutor,
    pub(super) clock: SharedClock,
    /// Where savepoints go when the request does not say.
    pub(super) savepoint_directory: Option<String>,
    /// Checkpoints whose folders are being made.
    begun: BTreeMap<CheckpointId, Begun<Result<()>>>,
    /// Manifests that are being written.
    writing: Vec<Begun<()>>,
    /// The newest of the cleaning tasks, each of which waits for the one before and tries again what that one left.
    cleaning: Option<Begun<Removal>>,
}

/// A checkpoint that is complete.
pub(super) struct Committed {
    /// How many bytes it added to the store.
    pub(super) bytes: u64,
    /// How many bytes it refers to, whichever checkpoint wrote them.
    pub(super) full_bytes: u64,
    /// How many bytes its manifest has.
    pub(super) manifest_bytes: u64,
    /// The objects that it refers to.
    pub(super) objects: BTreeSet<ObjectName>,
    /// Its folder: of a savepoint its own, of anything else that in the job's store.
    pub(super) folder: StoreLocation,
    /// The savepoint, if one was to be written.
    pub(super) savepoint: Option<WrittenSavepoint>,
}

/// Why a checkpoint could not be completed.
pub(super) struct WriteFailure {
    pub(super) reason: FailureReason,
    pub(super) error: Error,
}

/// A checkpoint that all subtasks have acknowledged.
pub(super) struct WriteOrder {
    pub(super) checkpoint: CheckpointId,
    /// Whether it is a savepoint alone, and no checkpoint of the job.
    pub(super) is_savepoint: bool,
    pub(super) acknowledged: Vec<(SubtaskId, Box<SubtaskAck>)>,
    /// The subtasks that have finished for good, and took no part.
    pub(super) finished: Vec<SubtaskId>,
    pub(super) triggered_unix_millis: i64,
    /// The savepoint to write, if there is to be one.
    pub(super) savepoint: Option<SavepointOrder>,
}

/// A savepoint to write.
pub(super) struct SavepointOrder {
    pub(super) directory: StoreLocation,
    /// How long that may take.
    pub(super) time_left: Duration,
}

impl Committer {
    pub(super) fn new(
        store: CheckpointStore,
        retention: Retention,
        identity: JobIdentity,
        executor: SharedExecutor,
        clock: SharedClock,
        savepoint_directory: Option<String>,
    ) -> Self {
        Self {
            store,
            retention,
            identity,
            executor,
            clock,
            savepoint_directory,
            begun: BTreeMap::new(),
            writing: Vec::new(),
            cleaning: None,
        }
    }

    /// Marks the id as used, while the subtasks are already at work. Those that have finished for good take no part.
    pub(super) fn begin(&mut self, checkpoint: CheckpointId, finished: &[SubtaskId]) {
        for subtask in finished {
            self.retention.left(subtask);
        }
        let store = self.store.clone();
        let begun = begin(
            &*self.executor,
            async move { store.begin(checkpoint).await },
        );
        self.begun.insert(checkpoint, begun);
    }

    /// Remembers what a subtask refers to, whatever becomes of the checkpoint.
    pub(super) fn acknowledged(
        &mut self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        acknowledgement: &SubtaskAck,
    ) {
        let objects = acknowledgement.snapshot.objects();
        self.retention
            .acknowledged(checkpoint, subtask.clone(), objects);
    }

    /// Makes sure that a directory for savepoints is there, and then calls `done` on a background thread.
    pub(super) fn locate(
        &self,
        directory: StoreLocation,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        let store = self.store.clone();
        drop(begin(&*self.executor, async move {
            done(catch_panic_of(store.prepare_savepoints(&directory)).await);
        }));
    }

    /// Writes the manifest, the savepoint, or both, and then calls `done` on a background thread.
    pub(super) fn commit(
        &mut self,
        order: WriteOrder,
        done: impl FnOnce(Result<Committed, WriteFailure>) + Send + 'static,
    ) {
        let WriteOrder {
            checkpoint,
            is_savepoint,
            acknowledged,
            finished,
            triggered_unix_millis,
            savepoint,
        } = order;
        let manifest = self.manifest(checkpoint, acknowledged, &finished, triggered_unix_millis);
        let begun = self.begun.remove(&checkpoint);
        let store = self.store.clone();
        let is_under_way = |writing: &mut Begun<()>| writing.try_recv() == Err(TryRecvError::Empty);
        self.writing.retain_mut(is_under_way);
        self.writing.push(begin(&*self.executor, async move {
            let written = write(&store, &manifest, is_savepoint, savepoint, begun);
            done(catch_panic_of(written).await);
        }));
    }

    /// The checkpoint was given up.
    pub(super) fn aborted(&mut self, checkpoint: CheckpointId) {
        self.begun.remove(&checkpoint);
        self.retention.aborted(checkpoint);
    }

    /// The savepoint is written: nothing in the job's own store belongs to it any more.
    pub(super) fn savepoint_written(&mut self, checkpoint: CheckpointId) {
        self.retention.aborted(checkpoint);
    }

    /// The checkpoint is complete: deletes, in the background, what nobody needs any more, and then calls `cleaned`.
    /// Gives back what is being deleted; when that is nothing at all, `cleaned` is not called.
    pub(super) fn completed(
        &mut self,
        checkpoint: CheckpointId,
        objects: BTreeSet<ObjectName>,
        cleaned: impl FnOnce() + Send + 'static,
    ) -> Removal {
        let removal = self.retention.completed(checkpoint, objects);
        if removal.is_empty() {
            return removal;
        }
        let started_from = self.identity.started_from.clone();
        let superseded =
            started_from.filter(|started| removal.checkpoints.contains(&started.taken_over_as));
        let being_removed = removal.clone();
        let store = self.store.clone();
        let before = self.cleaning.take();
        self.cleaning = Some(begin(&*self.executor, async move {
            let left = match before {
                // If it was dropped, the next start sweeps up what it left.
                Some(before) => before.await.unwrap_or_default(),
                None => Removal::default(),
            };
            let removal = left.followed_by(removal);
            let kept = removal.clone();
            let removed = async {
                if let Some(started) = superseded {
                    store.dispose_claimed(&started).await;
                }
                Ok::<_, Error>(store.remove(removal).await)
            };
            let left = catch_panic_of(removed).await.unwrap_or_else(|error| {
                let reason = error.full_message();
                warn!(reason, "superseded checkpoints could not be deleted");
                kept
            });
            cleaned();
            left
        }));
        being_removed
    }

    /// The manifests that are still being written, and the cleaning that is not done yet.
    pub(super) fn take_tasks(&mut self) -> Vec<BoxFuture<'static, ()>> {
        // A task that panicked has left nothing that the next start does not find.
        let writing = self.writing.drain(..).map(|task| task.map(drop).boxed());
        // What the cleaning leaves is for the next start.
        let cleaning = self.cleaning.take().map(|task| task.map(drop).boxed());
        writing.chain(cleaning).collect()
    }

    fn manifest(
        &self,
        checkpoint: CheckpointId,
        acknowledged: Vec<(SubtaskId, Box<SubtaskAck>)>,
        finished_for_good: &[SubtaskId],
        triggered_unix_millis: i64,
    ) -> Manifest {
        let finished = acknowledged.iter().all(|(_, part)| part.finished);
        let mut uploaded_bytes = 0;
        let mut entries = Vec::new();
        for (_, part) in acknowledged {
            uploaded_bytes += part.snapshot.uploaded_bytes;
            entries.extend(part.snapshot.operators);
        }
        for subtask in finished_for_good {
            let operators = self.identity.chains.get(&subtask.operator);
            let operators = operators.into_iter().flatten().cloned();
            let entry = SubtaskEntry::finished_for_good(subtask.index);
            entries.extend(operators.map(|operator| (operator, entry.clone())));
        }
        Manifest {
            format_version: FORMAT_VERSION,
            floodmark_version: env!("CARGO_PKG_VERSION").to_owned(),
            state_encoding: STATE_ENCODING.to_owned(),
            job: self.identity.job.clone(),
            checkpoint,
            kind: SnapshotKind::Checkpoint,
            triggered_unix_millis,
            completed_unix_millis: self.clock.unix_millis(),
            max_parallelism: self.identity.max_parallelism,
            finished,
            uploaded_bytes,
            started_from: self.identity.started_from.clone(),
            graph: self.identity.graph.clone(),
            operators: collect_operators(entries),
        }
    }
}

async fn write(
    store: &CheckpointStore,
    manifest: &Manifest,
    is_savepoint: bool,
    savepoint: Option<SavepointOrder>,
    begun: Option<Begun<Result<()>>>,
) -> Result<Committed, WriteFailure> {
    if let Some(begun) = begun {
        begun
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Bug, "the store panicked")))?;
    }
    if is_savepoint {
        let Some(order) = savepoint else {
            let message = "a savepoint has no place to go to";
            return Err(Error::new(ErrorKind::Bug, message).into());
        };
        let written = write_savepoint(store, manifest, order).await?;
        return Ok(Committed {
            bytes: written.bytes,
            full_bytes: written.bytes,
            manifest_bytes: written.manifest_bytes,
            objects: BTreeSet::new(),
            folder: written.folder.clone(),
            savepoint: Some(written),
        });
    }
    // First the checkpoint, so that the job goes on from it whatever becomes of its copy.
    let manifest_bytes = store.commit(manifest).await?;
    let savepoint = match savepoint {
        Some(order) => Some(write_savepoint(store, manifest, order).await?),
        None => None,
    };
    Ok(Committed {
        bytes: manifest.uploaded_bytes + manifest_bytes,
        full_bytes: manifest.referred_bytes() + manifest_bytes,
        manifest_bytes,
        objects: manifest.objects(),
        folder: store.folder(manifest.checkpoint),
        savepoint,
    })
}

async fn write_savepoint(
    store: &CheckpointStore,
    manifest: &Manifest,
    order: SavepointOrder,
) -> Result<WrittenSavepoint, WriteFailure> {
    let writing = store.write_savepoint(manifest, &order.directory);
    let failure = match tokio::time::timeout(order.time_left, writing).await {
        Ok(Ok(written)) => return Ok(written),
        Ok(Err(error)) => error.into(),
        Err(_) => WriteFailure {
            reason: FailureReason::Expired,
            error: Error::new(
                ErrorKind::Environment,
                format!(
                    "the savepoint could not be written to {} in time",
                    order.directory
                ),
            ),
        },
    };
    if let Err(error) = store.clear_savepoint(manifest.checkpoint).await {
        let reason = error.full_message();
        warn!(checkpoint = %manifest.checkpoint, reason, "what is left of a savepoint stays until the next start");
    }
    Err(failure)
}

impl From<Error> for WriteFailure {
    fn from(error: Error) -> Self {
        Self {
            reason: FailureReason::FinalizeFailure,
            error,
        }
    }
}
