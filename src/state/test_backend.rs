//! A state backend for tests of whoever keeps state.

use std::cell::Cell;

use tempfile::TempDir;

use super::backend::{KeyedStateBackend, StateSettings};
use crate::model::KeyGroupRange;

thread_local! {
    /// Segments are made when they are needed, so the folder stays as long as the test's thread.
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// An empty backend that owns all of 128 key groups, in a folder of its own.
pub(crate) fn test_backend() -> KeyedStateBackend {
    let count = COUNT.replace(COUNT.get() + 1);
    let settings = StateSettings {
        directory: FOLDER.with(|folder| folder.path().join(count.to_string())),
        max_parallelism: 128,
        key_groups: KeyGroupRange { start: 0, end: 128 },
        incremental: true,
        local_recovery: None,
    };
    KeyedStateBackend::new(settings, Vec::new())
}
