//! What a job goes on from: the checkpoint, and what of it is still in the working segments.

use std::sync::mpsc::sync_channel;

use tokio::runtime::Runtime;
use tracing::{info, warn};

use super::run::JobRun;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::{Deferral, Manifest, Recovery};
use crate::state::KeyedStateBackend;

impl JobRun {
    /// Finds the checkpoint to go on from, and says which were passed over.
    pub(in crate::runtime) async fn recover(&self, background: &Runtime) -> Result<Recovery> {
        self.store.prepare().await?;
        if let Some(start) = &self.start_from {
            self.take_over(start).await?;
        } else if self.fresh {
            let recovery = self.store.start_fresh().await?;
            self.store.sweep_orphans(None).await;
            return Ok(recovery);
        }
        self.resume_history().await;
        let deferral = self.deferral(background);
        let begun = self.clock.elapsed();
        let recovery = self.store.load_newest(Some(&deferral)).await?;
        let took = self.clock.elapsed().saturating_sub(begun);
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
        match (&recovery.checkpoint, newest_valid) {
            (Some(loaded), Some(checkpoint)) if loaded.manifest().finished => {
                info!(%checkpoint, "the job had already finished, nothing is left to do; --fresh runs it again");
            }
            (Some(loaded), Some(checkpoint)) => {
                self.check_operators(loaded.manifest(), &format!("checkpoint {checkpoint}"))?;
                info!(%checkpoint, "the job is resumed from a checkpoint");
            }
            _ => {}
        }
        if let Some(loaded) = &recovery.checkpoint {
            let manifest = loaded.manifest();
            let folder = self.store.shown_folder(manifest.checkpoint);
            self.note_restore(manifest, folder, took);
        }
        if let Some(loaded) = &recovery.checkpoint {
            self.finish_claim(loaded.manifest()).await?;
        }
        self.store.sweep_orphans(newest_valid).await;
        Ok(recovery)
    }

    /// Keyed state need not be read when the working segments of the run that took the checkpoint may have survived.
    fn deferral(&self, background: &Runtime) -> Deferral {
        let setting = self.setting();
        let directory = self.directory.clone();
        let allows = move |manifest: &Manifest| {
            manifest.max_parallelism == setting.targets.max_parallelism
                && manifest.operators.iter().all(|(operator, entry)| {
                    let keyed = entry
                        .subtasks
                        .iter()
                        .filter(|subtask| !subtask.keyed.is_empty());
                    let mut settings = keyed.map(|subtask| {
                        setting.state_settings(
                            directory.as_deref(),
                            operator,
                            subtask.index,
                            subtask.local,
                        )
                    });
                    entry.subtasks.len() == setting.targets.parallelism
                        && settings.all(|settings| KeyedStateBackend::may_survive(&settings))
                })
        };
        let (store, handle) = (self.store.clone(), background.handle().clone());
        Deferral::new(allows, move |manifest| {
            // Whoever asks is on a worker's thread, which must not drive the store's futures itself.
            let (sender, receiver) = sync_channel(1);
            let (store, manifest) = (store.clone(), manifest.clone());
            handle.spawn(async move {
                // When nobody waits any more, nobody needs it.
                let _ = sender.send(store.load_whole(&manifest).await);
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
