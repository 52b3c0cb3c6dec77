//! What has happened in runs, so that a test can hold that everything does.

use std::collections::BTreeMap;
use std::fmt;

/// Something that a run may bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    CheckpointCompleted,
    ManyInProgress,
    UnalignedCompleted,
    Switched,
    InFlightRestored,
    SavepointTaken,
    StoppedWithSavepoint,
    Drained,
    StartedFromSavepoint,
    StartedFromCheckpoint,
    Claimed,
    Relocated,
    RestoredElsewhere,
    RefusedForeignSnapshot,
    Disposed,
    Rescaled,
    Restarted,
    Crashed,
    PowerCut,
    StoreFailed,
    ListingsLied,
    TakenOver,
    FormerOwnerRefused,
    SecondProcessRefused,
}

use Happening::{
    CheckpointCompleted, Claimed, Crashed, Disposed, Drained, FormerOwnerRefused, InFlightRestored,
    ListingsLied, ManyInProgress, PowerCut, RefusedForeignSnapshot, Relocated, Rescaled, Restarted,
    RestoredElsewhere, SavepointTaken, SecondProcessRefused, StartedFromCheckpoint,
    StartedFromSavepoint, StoppedWithSavepoint, StoreFailed, Switched, TakenOver,
    UnalignedCompleted,
};

/// Everything that may happen, what it is called, and how often it must happen in a thousand runs.
pub(super) const HAPPENINGS: [(Happening, &str, u64); 24] = [
    (CheckpointCompleted, "checkpoints completed", 3_000),
    (
        ManyInProgress,
        "several checkpoints in progress at a time",
        150,
    ),
    (UnalignedCompleted, "checkpoints with records in flight", 10),
    (
        Switched,
        "checkpoints that switched from aligned to unaligned",
        20,
    ),
    (InFlightRestored, "restores of records in flight", 4),
    (SavepointTaken, "savepoints taken", 60),
    (StoppedWithSavepoint, "stops with a savepoint", 20),
    (Drained, "jobs drained", 50),
    (StartedFromSavepoint, "starts from a savepoint", 8),
    (
        StartedFromCheckpoint,
        "starts from a retained checkpoint",
        100,
    ),
    (Claimed, "savepoints claimed", 4),
    (
        Relocated,
        "savepoints moved elsewhere before a start from them",
        2,
    ),
    (
        RestoredElsewhere,
        "starts from a snapshot in an empty store",
        2,
    ),
    (
        RefusedForeignSnapshot,
        "starts from a snapshot refused, since the job has checkpoints",
        4,
    ),
    (Disposed, "savepoints disposed of", 2),
    (Rescaled, "restores at another parallelism", 1_000),
    (Restarted, "restarts within the process", 100),
    (Crashed, "crashes", 300),
    (PowerCut, "power cuts", 200),
    (StoreFailed, "steps of the store that fail or are torn", 400),
    (ListingsLied, "processes whose listings lie", 200),
    (TakenOver, "jobs taken over from a process that lives", 150),
    (FormerOwnerRefused, "former owners that found out", 60),
    (SecondProcessRefused, "second processes refused", 40),
];

/// How often each thing has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage(BTreeMap<Happening, u64>);

impl Coverage {
    pub(super) fn note(&mut self, happening: Happening) {
        *self.0.entry(happening).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (happening, count) in &other.0 {
            *self.0.entry(*happening).or_default() += count;
        }
    }

    pub(super) fn count(&self, happening: Happening) -> u64 {
        self.0.get(&happening).copied().unwrap_or_default()
    }

    /// What has happened too seldom in so many runs.
    pub(super) fn too_seldom(&self, runs: u64) -> Vec<String> {
        let seldom = HAPPENINGS.iter().filter_map(|(happening, name, least)| {
            let (count, least) = (self.count(*happening), least * runs / 1_000);
            (count < least).then(|| format!("{name}: {count} times, not {least}"))
        });
        seldom.collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (happening, name, _) in &HAPPENINGS {
            match self.count(*happening) {
                0 => {}
                count => writeln!(formatter, "  {count:>6} {name}")?,
            }
        }
        Ok(())
    }
}
