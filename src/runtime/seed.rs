//! What a subtask is made of, before it is made on its worker's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix::{Actor, Addr};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::channel::Gate;
use crate::error::{Error, Result};
use crate::graph::Component;
use crate::model::{OperatorId, SubtaskId};
use crate::operator::RestoredOperatorState;
use crate::snapshot::{RestorePlan, SnapshotWriter};
use crate::state::{BaseOutlet, KeyedStateBackend, OperatorStateBackend};

use super::background::{BACKGROUND_JOBS_MAX, Background};
use super::base_lane;
use super::chain::Chain;
use super::commit_lane::CommitLane;
use super::coordinator_actor::CoordinatorActor;
use super::executor::SharedExecutor;
use super::inputs::Inputs;
use super::message::{Report, ReportBody, Reporter};
use super::panic::catch_panic;
use super::past::Past;
use super::replay::replay;
use super::setting::Setting;
use super::slot::{Instance, Slot};
use super::subtask::{Head, Subtask};
use super::subtask_actor::SubtaskActor;
use super::subtask_driver::SubtaskDriver;
use super::wiring::SubtaskWiring;

/// What all subtasks of a job share.
#[derive(Clone)]
pub(super) struct SharedParts {
    pub(super) setting: Setting,
    /// Where background work runs.
    pub(super) executor: SharedExecutor,
    pub(super) reporter: Reporter,
}

/// A subtask that is still to be made, and its surroundings. It can be sent to its worker; what comes of it cannot.
pub(super) struct SubtaskSeed {
    pub(super) parts: SubtaskParts,
    pub(super) writer: SnapshotWriter,
    pub(super) shared: SharedParts,
}

/// What a subtask consists of.
pub(super) struct SubtaskParts {
    pub(super) id: SubtaskId,
    /// How far it had come in the checkpoint that it is restored from.
    pub(super) past: Past,
    pub(super) operators: Vec<OperatorSeed>,
    pub(super) wiring: SubtaskWiring,
    /// The folder of the subtask's working segments.
    pub(super) directory: Option<PathBuf>,
}

/// One operator of a subtask that is still to be made.
pub(super) struct OperatorSeed {
    pub(super) id: OperatorId,
    pub(super) component: Component,
    pub(super) restored: Option<RestorePlan>,
}

impl SubtaskSeed {
    /// Makes the subtask and its actor, on this thread. A failure is reported to the coordinator.
    pub(super) fn grow(self, coordinator: Addr<CoordinatorActor>) {
        let wake = Arc::clone(&self.parts.wiring.wake);
        if let Some(driver) = self.make() {
            SubtaskActor::new(driver, wake, coordinator).start();
        }
    }

    /// Makes the subtask, and begins its background. A failure is reported to the coordinator.
    pub(super) fn make(self) -> Option<SubtaskDriver> {
        let subtask = self.parts.id.clone();
        let reporter = Arc::clone(&self.shared.reporter);
        match self.try_make() {
            Ok(driver) => Some(driver),
            Err((operator, error)) => {
                for body in [ReportBody::Failed(operator, error), ReportBody::Ended] {
                    let subtask = subtask.clone();
                    reporter(Report { subtask, body });
                }
                None
            }
        }
    }

    fn try_make(self) -> Result<SubtaskDriver, (OperatorId, Error)> {
        let Self {
            parts,
            mut writer,
            shared,
        } = self;
        for operator in &parts.operators {
            if let Some(plan) = &operator.restored {
                writer.inherit(&operator.id, &plan.inherited);
            }
        }
        let id = parts.id.clone();
        let (outlet, uploads) = writer.base_way(base_lane::STREAMED_BYTES_MIN);
        let subtask = parts.assemble(&shared.setting, Some(&outlet))?;
        let base_lane = base_lane::run(id.clone(), uploads, Arc::clone(&shared.reporter));
        shared.executor.spawn_to_its_end(base_lane.boxed());
        let (commits, commit_jobs) = mpsc::channel(BACKGROUND_JOBS_MAX);
        let commit_lane = CommitLane {
            subtask: id.clone(),
            store: writer.store().clone(),
            reporter: Arc::clone(&shared.reporter),
            executor: Arc::clone(&shared.executor),
        };
        shared.executor.spawn(commit_lane.run(commit_jobs).boxed());
        let (snapshots, sealed) = mpsc::channel(BACKGROUND_JOBS_MAX);
        let background = Background {
            subtask: id,
            writer,
            reporter: Arc::clone(&shared.reporter),
            executor: Arc::clone(&shared.executor),
            clock: Arc::clone(&shared.setting.clock),
        };
        shared.executor.spawn(background.run(sealed).boxed());
        Ok(SubtaskDriver::new(
            subtask,
            shared.reporter,
            snapshots,
            commits,
            &shared.setting,
        ))
    }
}

impl SubtaskParts {
    /// Makes the subtask, which is not open yet. The bases of its states are offered to `outlet`, if there is one.
    pub(super) fn assemble(
        self,
        setting: &Setting,
        outlet: Option<&Arc<dyn BaseOutlet>>,
    ) -> Result<Subtask, (OperatorId, Error)> {
        let Self {
            id,
            past,
            mut operators,
            mut wiring,
            directory,
        } = self;
        for (position, operator) in operators.iter_mut().enumerate() {
            let Some(plan) = &mut operator.restored else {
                continue;
            };
            // Only the first of a chain reads links.
            let inputs = match position {
                0 => &mut wiring.inputs[..],
                _ => &mut [],
            };
            let in_flight = std::mem::take(&mut plan.in_flight);
            let is_rescaled = plan.parallelism != setting.targets.parallelism;
            replay(in_flight, is_rescaled, inputs, id.index, setting.targets)
                .map_err(|error| (operator.id.clone(), error))?;
        }
        let mut slots = Vec::with_capacity(operators.len());
        for operator in operators {
            let operator_id = operator.id.clone();
            let slot = operator.grow(&id, directory.as_deref(), setting, outlet);
            slots.push(slot.map_err(|error| (operator_id, error))?);
        }
        let head = if wiring.inputs.is_empty() {
            Head::Source { stopped: false }
        } else {
            let may_overtake = wiring.inputs.iter().map(|input| {
                let exchange = input.origin.exchange.as_ref();
                exchange.is_some_and(|exchange| setting.may_overtake(exchange))
            });
            let gate = Gate::new(wiring.inputs.len(), setting.mode).with_overtaking(may_overtake);
            Head::Links(Box::new(Inputs::new(wiring.inputs, gate)))
        };
        Ok(Subtask::new(
            id,
            setting.clone(),
            wiring.wake,
            Chain::new(slots),
            head,
            SubtaskWiring::make_outputs(wiring.outputs, setting),
            past,
        ))
    }
}

impl OperatorSeed {
    fn grow(
        self,
        subtask: &SubtaskId,
        directory: Option<&Path>,
        setting: &Setting,
        outlet: Option<&Arc<dyn BaseOutlet>>,
    ) -> Result<Slot> {
        // A panic here would take the whole worker with it, before any actor could report it.
        let component = catch_panic(|| {
            Ok(match &self.component {
                Component::Source(make) => Instance::Source(make()?),
                Component::Operator(make) => Instance::Operator(make()?),
                Component::Sink(make) => Instance::Sink(make()?),
            })
        })?;
        let take_back = self.restored.as_ref().and_then(|plan| plan.local);
        let settings = setting.state_settings(directory, &self.id, subtask.index, take_back);
        let parallelism = setting.targets.parallelism;
        let (states, operator_state, restored) = match self.restored {
            Some(plan) => {
                let subtasks = plan.items;
                (
                    plan.states,
                    plan.operator_state,
                    Some(Arc::new(RestoredOperatorState { subtasks })),
                )
            }
            None => (Vec::new(), Vec::new(), None),
        };
        Ok(Slot::new(
            self.id,
            component,
            KeyedStateBackend::new(settings, states).with_base_outlet(outlet.cloned()),
            OperatorStateBackend::new(subtask.index, parallelism, operator_state),
            restored,
        ))
    }
}
