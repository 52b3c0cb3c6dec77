//! What a job goes on from: the checkpoint, and what of it is still in the working segments.

use std::sync::mpsc::sync_channel;

use tokio::runtime::Handle;
use tracing::{info, warn};

use super::run::JobRun;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CheckpointId, OperatorId};
use crate::snapshot::{Deferral, Manifest, Recovery, SubtaskEntry};
use crate::state::KeyedStateBackend;

/// The checkpoint ids that a run of the job has used, over all its attempts.
#[derive(Debug, Default)]
pub(crate) struct UsedIds {
    /// The checkpoint that the run goes on from, or the least id that it will use. Nothing before the first attempt has
    /// recovered.
    first: Option<CheckpointId>,
    /// The last one. An attempt may have used ids that the store knows nothing of.
    last: Option<CheckpointId>,
}

impl UsedIds {
    /// An attempt has ended, and would have used this id next.
    pub(crate) fn note(&mut self, next: CheckpointId) {
        self.last = self.last.max(Some(CheckpointId(next.0.saturating_sub(1))));
    }

    /// Sees to it that the next attempt uses none of them again.
    fn exclude_from(&mut self, recovery: &mut Recovery) {
        recovery.highest_id = recovery.highest_id.max(self.last);
        let origin = recovery.checkpoint.as_ref();
        let origin = origin.map(|loaded| loaded.manifest().checkpoint);
        self.first
            .get_or_insert(origin.unwrap_or(recovery.next_id()));
    }
}

impl JobRun {
    /// Finds the checkpoint to go on from, and says which were passed over.
    ///
    /// # Errors
    /// When there is one and it cannot be used, or when the store cannot be.
    pub(in crate::runtime) async fn recover(
        &self,
        used: &mut UsedIds,
        background: &Handle,
    ) -> Result<Recovery> {
        self.store.prepare().await?;
        let since = match used.first {
            None => {
                if let Some(start) = &self.start_from {
                    self.take_over(start).await?;
                } else if self.fresh {
                    let mut recovery = self.store.start_fresh().await?;
                    self.store.sweep_orphans(None).await;
                    used.exclude_from(&mut recovery);
                    return Ok(recovery);
                }
                // A later attempt has it still.
                self.resume_history().await;
                CheckpointId::default()
            }
            // A run that was started fresh goes on from its own checkpoints only.
            Some(first) if self.fresh => first,
            Some(_) => CheckpointId::default(),
        };
        let deferral = self.deferral(background);
        let begun = self.clock.elapsed();
        let mut recovery = self.store.load_newest(Some(&deferral), since).await?;
        let took = self.clock.elapsed().saturating_sub(begun);
        used.exclude_from(&mut recovery);
        for damaged in &recovery.damaged {
            warn!(
                checkpoint = %damaged.checkpoint,
                folder = damaged.folder,
                damage = %damaged.damage,
                "a damaged checkpoint is passed over"
            );
        }
        let newest_valid = recovery
            .checkpoint
            .as_ref()
            .map(|loaded| loaded.manifest().checkpoint);
        if let Some(loaded) = &recovery.checkpoint {
            let manifest = loaded.manifest();
            let checkpoint = manifest.checkpoint;
            if manifest.finished {
                info!(%checkpoint, "the job had already finished, nothing is left to do; --fresh runs it again");
            } else {
                self.check_operators(manifest, &format!("checkpoint {checkpoint}"))?;
                info!(%checkpoint, "the job is resumed from a checkpoint");
            }
            self.note_restore(manifest, self.store.shown_folder(checkpoint), took);
            self.finish_claim(manifest).await?;
        }
        self.store.sweep_orphans(newest_valid).await;
        // The sinks are about to take back what came after the checkpoint: by now it may be another's.
        self.store.ensure_owner().await?;
        Ok(recovery)
    }

    /// The keyed state of a subtask need not be read when its working segments, of the run that took the checkpoint, may
    /// have survived.
    fn deferral(&self, background: &Handle) -> Deferral {
        let setting = self.setting();
        let directory = self.directory.clone();
        let may_survive = move |manifest: &Manifest,
                                operator: &OperatorId,
                                subtask: &SubtaskEntry| {
            let entry = manifest.operators.get(operator);
            let is_rescaled = manifest.max_parallelism != setting.targets.max_parallelism
                || entry.is_none_or(|entry| entry.subtasks.len() != setting.targets.parallelism);
            let settings = setting.state_settings(
                directory.as_deref(),
                operator,
                subtask.index,
                subtask.local,
            );
            !is_rescaled && KeyedStateBackend::may_survive(&settings)
        };
        let (store, handle) = (self.store.clone(), background.clone());
        Deferral::new(may_survive, move |manifest, objects| {
            // Whoever asks is on a worker's thread, which must not drive the store's futures itself.
            let (sender, receiver) = sync_channel(1);
            let (store, manifest) = (store.clone(), manifest.clone());
            handle.spawn(async move {
                // When nobody waits any more, nobody needs it.
                let _ = sender.send(store.load_objects(&manifest, &objects).await);
            });
            receiver.recv().unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Bug,
                    "the background of the job is gone",
                ))
            })
        })
    }
}
