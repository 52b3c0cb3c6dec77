//! What a job sets for all its subtasks.

use std::sync::Arc;

use crate::config::CheckpointMode;
use crate::graph::ExchangeTargets;
use crate::model::SharedClock;
use crate::telemetry::JobStatus;

/// What a job sets for all its subtasks.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) targets: ExchangeTargets,
    pub(super) mode: CheckpointMode,
    /// Whether a checkpoint holds what was touched since the one before. A job that takes none by itself does not pay for
    /// knowing that: each that it is asked for holds everything.
    pub(super) incremental: bool,
    pub(super) clock: SharedClock,
    /// Where figures go.
    pub(super) status: Arc<JobStatus>,
}
