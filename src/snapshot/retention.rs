//! Which checkpoints are kept, and when an object has no one left who needs it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{CheckpointId, SubtaskId};
use crate::storage::ObjectName;

/// Keeps the last few completed checkpoints, and says what may be deleted.
///
/// An object is deleted only when no checkpoint on disk, no checkpoint in progress and no subtask's chain refers to
/// it. What a chain refers to is known from the subtask's last acknowledgement: everything that it can ever refer to
/// again is either in there or was written later.
#[derive(Debug)]
pub struct Retention {
    retained_max: usize,
    checkpoints: BTreeMap<CheckpointId, Held>,
    chains: BTreeMap<SubtaskId, BTreeSet<ObjectName>>,
    /// Every object that was ever named here and not yet given to [`Removal`].
    known: BTreeSet<ObjectName>,
}

/// A checkpoint that was on disk when the job started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCheckpoint {
    /// Its id.
    pub checkpoint: CheckpointId,
    /// Whether a job can be restored from it. One that is damaged or was never completed does not count as retained.
    pub usable: bool,
    /// The objects that its manifest refers to; when it cannot be read, all that it might refer to.
    pub objects: BTreeSet<ObjectName>,
}

/// What nobody needs any more: the manifests are to be deleted first, and then the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// The checkpoints to delete, oldest first.
    pub checkpoints: Vec<CheckpointId>,
    /// The objects to delete once these checkpoints are gone.
    pub objects: Vec<ObjectName>,
}

impl Removal {
    /// Whether there is nothing to delete.
    pub fn is_empty(&self) -> bool {
        self.checkpoints.is_empty() && self.objects.is_empty()
    }

    /// Both, that of `self` first.
    #[must_use]
    pub fn followed_by(mut self, next: Self) -> Self {
        self.checkpoints.extend(next.checkpoints);
        self.objects.extend(next.objects);
        self
    }
}

#[derive(Debug)]
struct Held {
    status: Status,
    objects: BTreeSet<ObjectName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    InProgress,
    Completed,
    /// Aborted, damaged, or left behind by a crash: it may have a folder, but counts for nothing.
    Void,
}

impl Retention {
    /// Keeps the last `retained_max` completed checkpoints, at least one. `found` is what was on disk at the start.
    pub fn new(retained_max: usize, found: impl IntoIterator<Item = FoundCheckpoint>) -> Self {
        let mut retention = Self {
            retained_max: retained_max.max(1),
            checkpoints: BTreeMap::new(),
            chains: BTreeMap::new(),
            known: BTreeSet::new(),
        };
        for found in found {
            let status = match found.usable {
                true => Status::Completed,
                false => Status::Void,
            };
            retention.known.extend(found.objects.iter().cloned());
            let objects = found.objects;
            retention
                .checkpoints
                .insert(found.checkpoint, Held { status, objects });
        }
        retention
    }

    /// A subtask has acknowledged a checkpoint with a snapshot that refers to these objects. Acknowledgements of
    /// aborted checkpoints are to be reported as well: the objects in them are in the subtask's chain.
    pub fn acknowledged(
        &mut self,
        checkpoint: CheckpointId,
        subtask: SubtaskId,
        objects: BTreeSet<ObjectName>,
    ) {
        self.known.extend(objects.iter().cloned());
        let held = self.checkpoints.entry(checkpoint).or_insert_with(|| Held {
            status: Status::InProgress,
            objects: BTreeSet::new(),
        });
        if held.status == Status::InProgress {
            held.objects.extend(objects.iter().cloned());
        }
        self.chains.insert(subtask, objects);
    }

    /// A subtask has finished for good: it will refer to nothing again.
    pub fn left(&mut self, subtask: &SubtaskId) {
        self.chains.remove(subtask);
    }

    /// A checkpoint was given up. What was acknowledged for it stays held until it is superseded: its manifest may be
    /// on disk all the same, when only the last step of the commit failed.
    pub fn aborted(&mut self, checkpoint: CheckpointId) {
        let held = self.checkpoints.entry(checkpoint).or_insert_with(|| Held {
            status: Status::Void,
            objects: BTreeSet::new(),
        });
        held.status = Status::Void;
    }

    /// A checkpoint's manifest, which refers to these objects, is durable.
    #[must_use]
    pub fn completed(
        &mut self,
        checkpoint: CheckpointId,
        objects: BTreeSet<ObjectName>,
    ) -> Removal {
        self.known.extend(objects.iter().cloned());
        let held = Held {
            status: Status::Completed,
            objects,
        };
        self.checkpoints.insert(checkpoint, held);
        let checkpoints = self.superseded();
        for checkpoint in &checkpoints {
            self.checkpoints.remove(checkpoint);
        }
        let needed = self.needed();
        let objects: Vec<ObjectName> = self
            .known
            .iter()
            .filter(|object| !needed.contains(object))
            .cloned()
            .collect();
        for object in &objects {
            self.known.remove(object);
        }
        Removal {
            checkpoints,
            objects,
        }
    }

    /// The completed checkpoints that are kept, oldest first.
    pub fn retained(&self) -> impl Iterator<Item = CheckpointId> {
        self.checkpoints
            .iter()
            .filter(|(_, held)| held.status == Status::Completed)
            .map(|(checkpoint, _)| *checkpoint)
    }

    /// Everything older than the oldest of the last `retained_max` completed checkpoints, unless it is in progress.
    fn superseded(&self) -> Vec<CheckpointId> {
        let oldest_kept = self
            .checkpoints
            .iter()
            .rev()
            .filter(|(_, held)| held.status == Status::Completed)
            .nth(self.retained_max - 1)
            .map(|(checkpoint, _)| *checkpoint);
        let Some(oldest_kept) = oldest_kept else {
            return Vec::new();
        };
        self.checkpoints
            .range(..oldest_kept)
            .filter(|(_, held)| held.status != Status::InProgress)
            .map(|(checkpoint, _)| *checkpoint)
            .collect()
    }

    fn needed(&self) -> BTreeSet<&ObjectName> {
        let held = self.checkpoints.values().flat_map(|held| &held.objects);
        held.chain(self.chains.values().flatten()).collect()
    }
}

#[cfg(test)]
mod tests;
