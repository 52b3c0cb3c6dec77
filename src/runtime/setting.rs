//! What a job sets for all its subtasks.

use std::path::Path;
use std::sync::Arc;

use crate::config::CheckpointMode;
use crate::graph::{ExchangeTargets, KeyExchange};
use crate::model::{KeyGroupRange, OperatorId, SharedClock, hash_key};
use crate::operator::JobContext;
use crate::state::{LocalBarrier, LocalRecovery, StateSettings};
use crate::telemetry::JobStatus;

/// What tells the working segments of this run of the job from all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalRuns {
    /// A number that no other run of the job has drawn.
    pub(super) nonce: u64,
    /// A number that stands for this start of the machine.
    pub(super) boot: u64,
}

/// What a job sets for all its subtasks.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) targets: ExchangeTargets,
    pub(super) mode: CheckpointMode,
    /// Whether barriers may overtake records.
    pub(super) unaligned: bool,
    /// Whether a checkpoint holds what was touched since the one before. A job that takes none by itself does not pay for
    /// knowing that: each that it is asked for holds everything.
    pub(super) incremental: bool,
    /// Whether the next process can take up the working segments, should this one be killed.
    pub(super) local_recovery: Option<LocalRuns>,
    /// What operators are told about the job.
    pub(super) job: JobContext,
    pub(super) clock: SharedClock,
    /// Where figures go.
    pub(super) status: Arc<JobStatus>,
}

impl Setting {
    /// Whether barriers can overtake the records of an exchange.
    pub(super) fn may_overtake(&self, exchange: &KeyExchange) -> bool {
        self.unaligned && exchange.codec.is_some()
    }

    /// The settings of the keyed state of one operator subtask, whose segments lie below `directory`, and that may be
    /// able to go back to a barrier.
    pub(super) fn state_settings(
        &self,
        directory: Option<&Path>,
        operator: &OperatorId,
        index: usize,
        take_back: Option<LocalBarrier>,
    ) -> StateSettings {
        let ExchangeTargets {
            parallelism,
            max_parallelism,
        } = self.targets;
        let name = format!("{operator}-{index}");
        StateSettings {
            max_parallelism,
            key_groups: KeyGroupRange::of_subtask(index, parallelism, max_parallelism),
            incremental: self.incremental,
            clock: Arc::clone(&self.clock),
            local_recovery: self.local_recovery.map(|runs| LocalRecovery {
                lineage: hash_key(format!("{} {name}", runs.nonce).as_bytes()),
                boot: runs.boot,
                take_back,
            }),
            directory: directory.map(|directory| directory.join(name)),
        }
    }
}
