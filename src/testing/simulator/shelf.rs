//! The snapshots that somebody knows of, and with what a job could go on from each of them.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::outside::Transactions;
use super::witness::Seals;
use crate::model::CheckpointId;
use crate::snapshot::SnapshotKind;
use crate::storage::SimulatedDisk;

/// The root of the simulated disk, as paths of snapshots show it.
const ROOT: &str = "/simulated/";

/// Where savepoints go.
pub(super) const SAVEPOINT_DIRECTORY: &str = "/simulated/savepoints";

/// How many checkpoints are known at a time.
const CHECKPOINTS_MAX: usize = 4;

/// A snapshot that was complete at some time.
pub(super) struct KnownSnapshot {
    pub(super) path: String,
    pub(super) kind: SnapshotKind,
    /// The id that it was taken with.
    pub(super) checkpoint: CheckpointId,
    /// The outside as it was when the snapshot was known to be complete.
    pub(super) transactions: Transactions,
    pub(super) seals: Seals,
    pub(super) fate: Fate,
}

/// Whose a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Of whoever took it: nobody else may touch a savepoint.
    Kept,
    /// Of the job, which deletes it when it is superseded.
    Claimed,
    /// It is deleted.
    Disposed,
    /// It was to be deleted, and whoever asked was told that not all of it could be.
    HalfDisposed,
}

/// All snapshots that are known.
#[derive(Default)]
pub(super) struct Shelf {
    /// By their places, which stay the same.
    snapshots: BTreeMap<usize, KnownSnapshot>,
    next: usize,
}

impl KnownSnapshot {
    /// Its folder on the disk.
    pub(super) fn folder(&self) -> &str {
        self.path.strip_prefix(ROOT).unwrap_or(&self.path)
    }

    pub(super) fn is_savepoint(&self) -> bool {
        self.kind == SnapshotKind::Savepoint
    }

    fn is_there(&self, disk: &SimulatedDisk) -> bool {
        let manifest = format!("{}/manifest.json", self.folder());
        self.fate == Fate::Kept && disk.paths().contains(&manifest)
    }
}

impl Shelf {
    pub(super) fn add(&mut self, snapshot: KnownSnapshot) {
        self.snapshots.insert(self.next, snapshot);
        self.next += 1;
        let checkpoints = self
            .snapshots
            .iter()
            .filter(|(_, known)| !known.is_savepoint());
        let checkpoints: Vec<usize> = checkpoints.map(|(place, _)| *place).collect();
        if let [oldest, newer @ ..] = checkpoints.as_slice()
            && newer.len() >= CHECKPOINTS_MAX
        {
            self.snapshots.remove(oldest);
        }
    }

    /// The store of the job is gone.
    pub(super) fn forget_checkpoints(&mut self) {
        self.snapshots.retain(|_, known| known.is_savepoint());
    }

    pub(super) fn get(&self, place: usize) -> Option<&KnownSnapshot> {
        self.snapshots.get(&place)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut KnownSnapshot> {
        self.snapshots.get_mut(&place)
    }

    pub(super) fn savepoints(&self) -> impl Iterator<Item = &KnownSnapshot> {
        self.snapshots.values().filter(|known| known.is_savepoint())
    }

    /// One that a job can be started from and that fits, if there is any.
    pub(super) fn choose(
        &self,
        disk: &SimulatedDisk,
        random: &mut Rng,
        fits: impl Fn(&KnownSnapshot) -> bool,
    ) -> Option<usize> {
        let snapshots = self.snapshots.iter();
        let fitting = snapshots.filter(|(_, known)| known.is_there(disk) && fits(known));
        let fitting: Vec<usize> = fitting.map(|(place, _)| *place).collect();
        let savepoints = fitting
            .iter()
            .filter(|place| self.snapshots[*place].is_savepoint());
        let savepoints: Vec<usize> = savepoints.copied().collect();
        match savepoints.is_empty() || random.u8(0..4) == 0 {
            true => random.choice(fitting),
            false => random.choice(savepoints),
        }
    }
}
