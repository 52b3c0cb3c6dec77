//! What memory sinks have written, as the outside sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::CheckpointId;

/// The rows that memory sinks have committed; a clone shows the same rows.
///
/// It outlives the job, and its restarts, but not the process: rows that a complete checkpoint covers and that were
/// not committed yet are kept here and nowhere else.
#[derive(Debug)]
pub struct MemoryOutput<T> {
    parts: Arc<Mutex<BTreeMap<PartKey, Part<T>>>>,
}

/// The checkpoint whose barrier ended a part, and the subtask that wrote it.
pub(super) type PartKey = (CheckpointId, usize);

#[derive(Debug)]
struct Part<T> {
    rows: Vec<T>,
    committed: bool,
}

impl<T: Clone> MemoryOutput<T> {
    /// All committed rows, in the order of the checkpoints, and within one in the order of the subtasks.
    pub fn rows(&self) -> Vec<T> {
        let parts = self.lock();
        let committed = parts.values().filter(|part| part.committed);
        committed
            .flat_map(|part| part.rows.iter().cloned())
            .collect()
    }
}

impl<T> MemoryOutput<T> {
    /// How many rows are committed.
    pub fn len(&self) -> usize {
        let parts = self.lock();
        let committed = parts.values().filter(|part| part.committed);
        committed.map(|part| part.rows.len()).sum()
    }

    /// Whether no row is committed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps rows that wait for a checkpoint to complete.
    pub(super) fn keep(&self, key: PartKey, rows: Vec<T>) {
        let part = Part {
            rows,
            committed: false,
        };
        self.lock().insert(key, part);
    }

    /// Commits the parts of `subtask` up to `checkpoint`.
    pub(super) fn commit(&self, checkpoint: CheckpointId, subtask: usize) {
        for (_, part) in self
            .lock()
            .range_mut(..=(checkpoint, usize::MAX))
            .filter(|((_, writer), _)| *writer == subtask)
        {
            part.committed = true;
        }
    }

    /// Brings the parts of those writers that `owns` picks to what `checkpoint` says: what it covers is committed, and
    /// what came later is gone. Without a checkpoint all of them are gone.
    pub(super) fn restore(&self, checkpoint: Option<CheckpointId>, owns: impl Fn(usize) -> bool) {
        self.lock().retain(|&(part_checkpoint, writer), part| {
            if !owns(writer) {
                return true;
            }
            let covered = checkpoint.is_some_and(|checkpoint| part_checkpoint <= checkpoint);
            part.committed |= covered;
            covered
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartKey, Part<T>>> {
        // No panic can leave the map half changed, so what a panicking thread has left is still good.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for MemoryOutput<T> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
        }
    }
}

impl<T> Default for MemoryOutput<T> {
    fn default() -> Self {
        Self {
            parts: Arc::default(),
        }
    }
}
