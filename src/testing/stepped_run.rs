//! What the engine makes of a graph and its settings, for a job that is stepped on a store in memory.

use std::sync::Arc;

use crate::channel::LinkLimits;
use crate::coordinator::CheckpointSettings;
use crate::engine::EngineSettings;
use crate::graph::JobGraph;
use crate::model::ManualClock;
use crate::runtime::JobRun;
use crate::snapshot::CheckpointStore;
use crate::telemetry::JobStatus;

/// A run with `nonce` as the number that no other run of the job has drawn. Working segments end with it.
pub(super) fn stepped_run(
    graph: JobGraph,
    settings: &EngineSettings,
    store: CheckpointStore,
    clock: Arc<ManualClock>,
    nonce: u64,
) -> JobRun {
    let section = &settings.checkpoint;
    JobRun {
        graph,
        store,
        // There is one process in a harness, and the harness itself starts the job again.
        claim: None,
        restart: settings.restart.clone(),
        retained_max: section.retain,
        on_cancel: section.on_cancel,
        fresh: settings.fresh,
        start_from: None,
        allow_non_restored_state: settings.allow_non_restored_state,
        savepoint_directory: None,
        checkpoints: CheckpointSettings::from(section),
        mode: section.mode,
        limits: LinkLimits::from(&settings.link),
        directory: None,
        clock,
        status: JobStatus::shared(),
        nonce,
        boot: None,
    }
}
