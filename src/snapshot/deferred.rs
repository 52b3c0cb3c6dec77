//! A checkpoint whose keyed states are not read unless they are needed: of a subtask whose working segments survive, they
//! are not.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::manifest::{Manifest, Part, SubtaskEntry};
use super::objects::LoadedObjects;
use super::recovery::LoadedCheckpoint;
use super::restore_plan::restored_parts;
use crate::error::Result;
use crate::model::OperatorId;
use crate::state::RestoredPart;
use crate::storage::ObjectName;

/// Which keyed states of a checkpoint need not be read at once, and how they are read later.
#[derive(Clone)]
pub struct Deferral {
    may_survive: Arc<MaySurvive>,
    fetch: Arc<Fetch>,
}

/// Whether the working segments of a subtask may have survived.
type MaySurvive = dyn Fn(&Manifest, &OperatorId, &SubtaskEntry) -> bool + Send + Sync;

/// Reads objects of a checkpoint. It may block.
type Fetch = dyn Fn(&Manifest, BTreeSet<ObjectName>) -> Result<LoadedCheckpoint> + Send + Sync;

impl Deferral {
    /// `may_survive` says of an operator's subtask whether its keyed states need not be read at once; `fetch` reads objects
    /// that turn out to be needed, and may block.
    pub fn new(
        may_survive: impl Fn(&Manifest, &OperatorId, &SubtaskEntry) -> bool + Send + Sync + 'static,
        fetch: impl Fn(&Manifest, BTreeSet<ObjectName>) -> Result<LoadedCheckpoint>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            may_survive: Arc::new(may_survive),
            fetch: Arc::new(fetch),
        }
    }

    /// The objects that only those subtasks would need whose working segments may have survived.
    pub(super) fn objects(&self, manifest: &Manifest) -> BTreeSet<ObjectName> {
        let (mut deferred, mut needed) = (BTreeSet::new(), BTreeSet::new());
        for (operator, entry) in &manifest.operators {
            for subtask in &entry.subtasks {
                let survives =
                    !subtask.keyed.is_empty() && (self.may_survive)(manifest, operator, subtask);
                let objects = if survives { &mut deferred } else { &mut needed };
                let shared = subtask.pieces().filter(|piece| piece.object.is_shared());
                objects.extend(shared.map(|piece| piece.object.clone()));
            }
        }
        &deferred - &needed
    }
}

/// A checkpoint of which some objects are read by those who need them.
#[derive(Clone)]
pub(super) struct DeferredCheckpoint {
    manifest: Arc<Manifest>,
    fetch: Arc<Fetch>,
    /// What is read so far.
    loaded: Arc<Mutex<LoadedObjects>>,
}

impl DeferredCheckpoint {
    /// A checkpoint of which these objects are read.
    pub(super) fn new(manifest: &Manifest, deferral: &Deferral, loaded: LoadedObjects) -> Self {
        Self {
            manifest: Arc::new(manifest.clone()),
            fetch: Arc::clone(&deferral.fetch),
            loaded: Arc::new(Mutex::new(loaded)),
        }
    }

    /// The bytes of these parts.
    ///
    /// # Errors
    /// Those of whoever fetches them.
    pub(super) fn parts(&self, parts: &[Part]) -> Result<Vec<RestoredPart>> {
        let missing = self.missing(parts);
        if !missing.is_empty() {
            // Others, who need other objects, do not wait for it.
            let fetched = (self.fetch)(&self.manifest, missing)?;
            self.lock().extend(fetched.into_objects());
        }
        Ok(restored_parts(&self.lock(), parts))
    }

    fn missing(&self, parts: &[Part]) -> BTreeSet<ObjectName> {
        let loaded = self.lock();
        let pieces = parts.iter().flat_map(Part::pieces);
        let missing = pieces.filter(|piece| !loaded.contains_key(&piece.object));
        missing.map(|piece| piece.object.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, LoadedObjects> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DeferredCheckpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeferredCheckpoint")
            .field("checkpoint", &self.manifest.checkpoint)
            .finish_non_exhaustive()
    }
}
