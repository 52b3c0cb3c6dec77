//! What a subtask is made of, before it is made on its worker's thread.

use std::path::PathBuf;
use std::sync::Arc;

use actix::{Actor, Recipient};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::channel::Gate;
use crate::config::CheckpointMode;
use crate::error::{Error, Result};
use crate::graph::{Component, ExchangeTargets};
use crate::model::{KeyGroupRange, OperatorId, SharedClock, SubtaskId};
use crate::operator::RestoredOperatorState;
use crate::snapshot::{RestorePlan, SnapshotWriter};
use crate::state::{KeyedStateBackend, StateSettings};
use crate::telemetry::JobStatus;

use super::background::{BACKGROUND_JOBS_MAX, Background};
use super::chain::{Chain, Instance, Slot};
use super::message::{Report, ReportBody};
use super::panic::catch_panic;
use super::subtask::{Head, Inputs, Subtask};
use super::subtask_actor::SubtaskActor;
use super::wiring::SubtaskWiring;

/// What all subtasks of a job share.
#[derive(Clone)]
pub(super) struct SharedParts {
    pub(super) targets: ExchangeTargets,
    pub(super) mode: CheckpointMode,
    pub(super) clock: SharedClock,
    pub(super) status: Arc<JobStatus>,
    /// Where background work runs.
    pub(super) background: Handle,
    pub(super) coordinator: Recipient<Report>,
}

/// A subtask that is still to be made. It can be sent to its worker; what comes of it cannot.
pub(super) struct SubtaskSeed {
    pub(super) id: SubtaskId,
    pub(super) operators: Vec<OperatorSeed>,
    pub(super) wiring: SubtaskWiring,
    pub(super) writer: SnapshotWriter,
    /// The folder of the subtask's working segments.
    pub(super) directory: PathBuf,
    pub(super) shared: SharedParts,
}

/// One operator of a subtask that is still to be made.
pub(super) struct OperatorSeed {
    pub(super) id: OperatorId,
    pub(super) component: Component,
    pub(super) restored: Option<RestorePlan>,
}

impl SubtaskSeed {
    /// Makes the subtask and its actor, on this thread. A failure is reported to the coordinator.
    pub(super) fn grow(self) {
        let (subtask, coordinator) = (self.id.clone(), self.shared.coordinator.clone());
        if let Err((operator, error)) = self.start() {
            for body in [ReportBody::Failed(operator, error), ReportBody::Ended] {
                let subtask = subtask.clone();
                coordinator.do_send(Report { subtask, body });
            }
        }
    }

    fn start(self) -> Result<(), (OperatorId, Error)> {
        let Self {
            id,
            operators,
            wiring,
            mut writer,
            directory,
            shared,
        } = self;
        // Chained operators have the same inputs, so they have finished together or not at all.
        let finished_before = operators
            .iter()
            .all(|operator| operator.restored.as_ref().is_some_and(|plan| plan.finished));
        for operator in &operators {
            if let Some(plan) = &operator.restored {
                writer.inherit(&operator.id, &plan.inherited);
            }
        }
        let mut slots = Vec::with_capacity(operators.len());
        for operator in operators {
            let operator_id = operator.id.clone();
            let slot = operator.grow(&id, &directory, &shared);
            slots.push(slot.map_err(|error| (operator_id, error))?);
        }
        let head = if wiring.inputs.is_empty() {
            Head::Source { stopped: false }
        } else {
            let gate = Gate::new(wiring.inputs.len(), shared.mode);
            Head::Links(Inputs::new(wiring.inputs, gate))
        };
        let subtask = Subtask::new(
            id.clone(),
            shared.targets.parallelism,
            shared.clock.clone(),
            Chain::new(slots),
            head,
            SubtaskWiring::make_outputs(wiring.outputs, shared.targets),
            finished_before,
        );
        let (sender, jobs) = mpsc::channel(BACKGROUND_JOBS_MAX);
        let background = Background {
            subtask: id,
            writer,
            coordinator: shared.coordinator.clone(),
            clock: shared.clock,
        };
        shared.background.spawn(background.run(jobs));
        SubtaskActor::new(
            subtask,
            wiring.wake,
            shared.coordinator,
            sender,
            shared.status,
        )
        .start();
        Ok(())
    }
}

impl OperatorSeed {
    fn grow(
        self,
        subtask: &SubtaskId,
        directory: &std::path::Path,
        shared: &SharedParts,
    ) -> Result<Slot> {
        // A panic here would take the whole worker with it, before any actor could report it.
        let component = catch_panic(|| {
            Ok(match &self.component {
                Component::Source(make) => Instance::Source(make()?),
                Component::Operator(make) => Instance::Operator(make()?),
                Component::Sink(make) => Instance::Sink(make()?),
            })
        })?;
        let ExchangeTargets {
            parallelism,
            max_parallelism,
        } = shared.targets;
        let settings = StateSettings {
            directory: directory.join(format!("{}-{}", self.id, subtask.index)),
            max_parallelism,
            key_groups: KeyGroupRange::of_subtask(subtask.index, parallelism, max_parallelism),
        };
        let (states, restored) = match self.restored {
            Some(plan) => {
                let subtasks = plan.items;
                (
                    plan.states,
                    Some(Arc::new(RestoredOperatorState { subtasks })),
                )
            }
            None => (Vec::new(), None),
        };
        let keyed_state = KeyedStateBackend::new(settings, states);
        Ok(Slot::new(self.id, component, keyed_state, restored))
    }
}
