//! A checkpoint whose keyed states are not read unless they are needed: when working segments survive, they are not.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::manifest::Manifest;
use super::recovery::LoadedCheckpoint;
use crate::error::Result;

/// When the keyed states of a checkpoint need not be read at once, and how they are read later.
#[derive(Clone)]
pub struct Deferral {
    allows: Arc<dyn Fn(&Manifest) -> bool + Send + Sync>,
    fetch: Arc<Fetch>,
}

/// Reads a whole checkpoint. It may block.
type Fetch = dyn Fn(&Manifest) -> Result<LoadedCheckpoint> + Send + Sync;

impl Deferral {
    /// `allows` says whether the keyed states of a checkpoint need not be read at once; `fetch` reads all of it then,
    /// and may block.
    pub fn new(
        allows: impl Fn(&Manifest) -> bool + Send + Sync + 'static,
        fetch: impl Fn(&Manifest) -> Result<LoadedCheckpoint> + Send + Sync + 'static,
    ) -> Self {
        Self {
            allows: Arc::new(allows),
            fetch: Arc::new(fetch),
        }
    }

    pub(super) fn allows(&self, manifest: &Manifest) -> bool {
        (self.allows)(manifest)
    }
}

/// A checkpoint that is read, once, by the first who needs it.
#[derive(Clone)]
pub(super) struct DeferredCheckpoint {
    manifest: Arc<Manifest>,
    fetch: Arc<Fetch>,
    loaded: Arc<Mutex<Option<LoadedCheckpoint>>>,
}

impl DeferredCheckpoint {
    pub(super) fn new(manifest: &Manifest, deferral: &Deferral) -> Self {
        Self {
            manifest: Arc::new(manifest.clone()),
            fetch: Arc::clone(&deferral.fetch),
            loaded: Arc::default(),
        }
    }

    /// The whole checkpoint.
    ///
    /// # Errors
    /// Those of whoever fetches it.
    pub(super) fn get(&self) -> Result<LoadedCheckpoint> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*loaded {
            return Ok(loaded.clone());
        }
        let fetched = (self.fetch)(&self.manifest)?;
        Ok(loaded.insert(fetched).clone())
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
