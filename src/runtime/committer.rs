//! The coordinator's hand in the store: begins checkpoints, writes manifests, cleans up.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot::error::TryRecvError;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, SharedClock, SubtaskId};
use crate::snapshot::{
    CheckpointStore, FORMAT_VERSION, GraphOperator, Manifest, OperatorEntry, Removal, Retention,
    STATE_ENCODING, SnapshotKind,
};
use crate::storage::ObjectName;

use super::background::SubtaskAck;
use super::executor::{Begun, SharedExecutor, begin};

/// What all manifests of a run have in common.
pub(super) struct JobIdentity {
    pub(super) job: String,
    pub(super) max_parallelism: u16,
    pub(super) graph: Vec<GraphOperator>,
}

/// Writes checkpoints of one job. All that blocks runs in the background.
pub(super) struct Committer {
    pub(super) store: CheckpointStore,
    pub(super) retention: Retention,
    pub(super) identity: JobIdentity,
    pub(super) executor: SharedExecutor,
    pub(super) clock: SharedClock,
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
}

impl Committer {
    pub(super) fn new(
        store: CheckpointStore,
        retention: Retention,
        identity: JobIdentity,
        executor: SharedExecutor,
        clock: SharedClock,
    ) -> Self {
        Self {
            store,
            retention,
            identity,
            executor,
            clock,
            begun: BTreeMap::new(),
            writing: Vec::new(),
            cleaning: None,
        }
    }

    /// Marks the id as used, while the subtasks are already at work.
    pub(super) fn begin(&mut self, checkpoint: CheckpointId) {
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

    /// Writes the manifest, and then calls `done` on a background thread.
    pub(super) fn commit(
        &mut self,
        checkpoint: CheckpointId,
        acknowledged: Vec<(SubtaskId, Box<SubtaskAck>)>,
        triggered_unix_millis: i64,
        done: impl FnOnce(Result<Committed>) + Send + 'static,
    ) {
        let manifest = self.manifest(checkpoint, acknowledged, triggered_unix_millis);
        let begun = self.begun.remove(&checkpoint);
        let store = self.store.clone();
        let is_under_way = |writing: &mut Begun<()>| writing.try_recv() == Err(TryRecvError::Empty);
        self.writing.retain_mut(is_under_way);
        self.writing.push(begin(&*self.executor, async move {
            done(write(&store, &manifest, begun).await);
        }));
    }

    /// The checkpoint was given up.
    pub(super) fn aborted(&mut self, checkpoint: CheckpointId) {
        self.begun.remove(&checkpoint);
        self.retention.aborted(checkpoint);
    }

    /// The checkpoint is complete: deletes, in the background, what nobody needs any more. Gives back the checkpoints
    /// that are among it.
    pub(super) fn completed(
        &mut self,
        checkpoint: CheckpointId,
        objects: BTreeSet<ObjectName>,
    ) -> Vec<CheckpointId> {
        let removal = self.retention.completed(checkpoint, objects);
        let discarded = removal.checkpoints.clone();
        if removal.is_empty() {
            return discarded;
        }
        let store = self.store.clone();
        let before = self.cleaning.take();
        self.cleaning = Some(begin(&*self.executor, async move {
            let left = match before {
                // If it panicked, the next start sweeps up what it left.
                Some(before) => before.await.unwrap_or_default(),
                None => Removal::default(),
            };
            store.remove(left.followed_by(removal)).await
        }));
        discarded
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
        triggered_unix_millis: i64,
    ) -> Manifest {
        let finished = acknowledged.iter().all(|(_, part)| part.finished);
        let mut uploaded_bytes = 0;
        let mut operators: BTreeMap<_, OperatorEntry> = BTreeMap::new();
        // They come in the order of the subtasks, so each operator's entries do too.
        for (_, part) in acknowledged {
            uploaded_bytes += part.snapshot.uploaded_bytes;
            for (operator, entry) in part.snapshot.operators {
                operators.entry(operator).or_default().subtasks.push(entry);
            }
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
            graph: self.identity.graph.clone(),
            operators,
        }
    }
}

async fn write(
    store: &CheckpointStore,
    manifest: &Manifest,
    begun: Option<Begun<Result<()>>>,
) -> Result<Committed> {
    if let Some(begun) = begun {
        begun
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Bug, "the store panicked")))?;
    }
    let manifest_bytes = store.commit(manifest).await?;
    Ok(Committed {
        bytes: manifest.uploaded_bytes + manifest_bytes,
        full_bytes: manifest.referred_bytes() + manifest_bytes,
        manifest_bytes,
        objects: manifest.objects(),
    })
}
